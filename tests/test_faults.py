"""What ends runs: kill -9 at any moment, damaged checkpoints, a full disk; and how they go on afterwards."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

KILLS = 20
STEPS = 300
TINY = (
    "--dataset=digits --image_size=32 --batch_size=8 --z_dim=8 --steps_per_call=2 --devices=cpu"
    " --generator_channels=1 --discriminator_channels=1 --generator_attention=16 --discriminator_attention=16"
    " --summary_every_steps=10 --sample_every_steps=50 --checkpoint_every_steps=4 --keep_checkpoints=3"
).split()


def start(workdir, *options, steps=STEPS):
    command = [
        sys.executable,
        "-m",
        "sagan_tf.train",
        *TINY,
        f"--workdir={workdir}",
        f"--train_steps={steps}",
        *options,
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def train(workdir, *options, steps=STEPS, code=0):
    process = start(workdir, *options, steps=steps)
    text, _ = process.communicate(timeout=900)
    assert process.returncode == code, text
    assert "Traceback" not in text
    return text


def saved_steps(workdir):
    folder = workdir / "checkpoints"
    return sorted(int(name) for name in os.listdir(folder) if name.isdigit()) if folder.exists() else []


def newest_step(workdir):
    return max(saved_steps(workdir), default=0)


def newest(workdir):
    return workdir / "checkpoints" / f"{newest_step(workdir):08d}"


def assert_same_state(ours, theirs):
    readers = [tf.train.load_checkpoint(str(newest(workdir) / "state")) for workdir in (ours, theirs)]
    names, others = (
        reader.get_variable_to_shape_map().keys() - {"_CHECKPOINTABLE_OBJECT_GRAPH"} for reader in readers
    )
    assert names == others and len(names) > 200
    for name in names:
        np.testing.assert_array_equal(*(reader.get_tensor(name) for reader in readers), err_msg=name)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("faults") / "undisturbed"
    train(workdir)
    return workdir


def being_written(workdir, started):
    """Names of the checkpoints that a process that started then has begun to write, and not finished."""
    names = set()
    for path in workdir.glob("checkpoints/*.partial/*"):
        with contextlib.suppress(FileNotFoundError):  # finished, in the meantime
            if path.stat().st_mtime > started:
                names.add(path.parent.name)
    return sorted(names)


@pytest.mark.slow
def test_killed_at_20_random_moments_it_is_bit_for_bit_the_run_that_was_not(undisturbed, tmp_path):
    draw, workdir, moments = random.Random(time.time_ns()), tmp_path / "killed", []
    for kill in range(KILLS):
        before, started, process = newest_step(workdir), time.time(), start(workdir)
        first = before + 4 * draw.randint(0, 2)  # a checkpoint that is to be complete
        while process.poll() is None and newest_step(workdir) < first:
            time.sleep(0.01)
        if kill % 2:  # while the next one is being written
            while not being_written(workdir, started) and process.poll() is None:
                time.sleep(0.001)
            time.sleep(draw.uniform(0, 0.03))
        else:
            time.sleep(draw.uniform(0, 12 if first == before else 1))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        moments.append((newest_step(workdir), being_written(workdir, started)))
    print("newest checkpoint, and what was being written, at each kill:", moments)
    train(workdir)
    assert_same_state(workdir, undisturbed)
    assert sum(bool(half) for _, half in moments) >= KILLS // 4, "checkpoints were hardly ever being written"
    assert 20 < moments[-1][0] < STEPS, "the run hardly went on, or was over before the last kill"


@pytest.fixture
def run_of_12(tmp_path):
    workdir = tmp_path / "run"
    train(workdir, steps=12)
    assert saved_steps(workdir) == [4, 8, 12]
    return workdir


def damage(workdir):
    """Damages the two newest checkpoints: one byte flipped, one file cut off."""
    flipped, cut = (workdir / "checkpoints" / name for name in ("00000012", "00000008"))
    data = next(flipped.glob("state.data*"))
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    with open(next(cut.glob("state.data*")), "r+b") as file:
        file.truncate(1000)


def test_damaged_checkpoints_are_passed_over(run_of_12):
    damage(run_of_12)
    text = train(run_of_12, steps=14)
    assert "checkpoint of step 12 is damaged" in text and "checkpoint of step 8 is damaged" in text
    assert "from step 4" in text and saved_steps(run_of_12)[-1] == 14


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"mounting a file system needs more rights: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_full_disk_ends_the_run_in_one_line_and_loses_nothing(small_disk):
    workdir = small_disk / "run"
    train(workdir, "--keep_checkpoints=1", steps=4)
    shutil.rmtree(workdir / "samples")
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - 60_000))
    text = train(workdir, "--keep_checkpoints=1", steps=12, code=2)
    assert "No space left on device" in text.splitlines()[-1] and "step 4" in text.splitlines()[-1]
    assert saved_steps(workdir) == [4] and not list(workdir.glob("checkpoints/*.partial"))
    ballast.unlink()
    assert "from step 4" in train(workdir, "--keep_checkpoints=1", steps=12)


def test_read_only_workdir(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    text = train(small_disk / "run", code=2)
    assert "cannot be written (Read-only file system)" in text
