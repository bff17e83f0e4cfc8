"""What ends runs: kill -9 at any moment, damaged checkpoints, a full disk; and how they go on afterwards."""

import contextlib
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests import tiny_run
from tests.tiny_run import run, saved_steps, tensors

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


def newest_step(workdir):
    return max(saved_steps(workdir), default=0)


def newest(workdir):
    return workdir / "checkpoints" / f"{newest_step(workdir):08d}"


def assert_same_state(ours, theirs):
    ours, theirs = (tensors(workdir, newest_step(workdir)) for workdir in (ours, theirs))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


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


def damage(workdir):
    """Damages the two newest checkpoints, of steps 8 and 6: one byte flipped, one file cut off."""
    flipped, cut = (workdir / "checkpoints" / name for name in ("00000008", "00000006"))
    data = next(flipped.glob("state.data*"))
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    with open(next(cut.glob("state.data*")), "r+b") as file:
        file.truncate(1000)


def test_damaged_checkpoints_are_passed_over(finished_run, tmp_path, eagerly):
    workdir = tmp_path / "run"
    shutil.copytree(finished_run[0], workdir)
    damage(workdir)
    few = ("--keep_checkpoints=1", "--keep_every_steps=4")
    code, out, error = run(f"--workdir={workdir}", "--train_steps=10", *few)
    assert code == 0 and "Traceback" not in error, error
    assert "checkpoint of step 8 is damaged" in out and "checkpoint of step 6 is damaged" in out
    assert "from step 4" in out and saved_steps(workdir) == [4, 8, 10]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"the right to mount a file system ({mounted.stderr.decode().strip()})")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)  # a writer of this process may be open still


def test_full_disk_ends_the_run_in_one_line_and_loses_nothing(small_disk, eagerly):
    workdir = small_disk / "run"
    flags = [*tiny_run.PLAIN, f"--workdir={workdir}", "--keep_checkpoints=1"]
    assert run(*flags, "--train_steps=2")[0] == 0
    shutil.rmtree(workdir / "samples")
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - 60_000))
    code, _, error = run(*flags, "--train_steps=6")
    (line,) = [line for line in error.splitlines() if line.startswith("train: error: ")]
    assert code == 2 and "No space left on device" in line and "step 2" in line and "Traceback" not in error
    assert saved_steps(workdir) == [2] and not list(workdir.glob("checkpoints/*.partial"))
    ballast.unlink()
    code, out, error = run(*flags, "--train_steps=4")
    assert code == 0 and "from step 2" in out, error
    assert saved_steps(workdir) == [2, 4]  # 2: the guards have seen too few logits since


def test_read_only_workdir(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    code, _, error = run(*tiny_run.PLAIN, f"--workdir={small_disk / 'run'}")
    assert code == 2 and error.count("\n") == 1
    assert "cannot be written (Read-only file system)" in error
