"""Runs that are lost, each provoked for real with the command, and a memory that is too small."""

import json
import resource
import subprocess
import sys
import types

import pytest
import tensorflow as tf

from sagan_tf.runs import objects
from sagan_tf.runs.config import Config
from sagan_tf.session import failures
from sagan_tf.system.errors import UserError
from tests.conftest import ROOT
from tests.tiny_run import run

TINY = (
    "--image_size=32 --batch_size=8 --z_dim=8 --generator_channels=2 --discriminator_channels=2"
    " --generator_attention= --discriminator_attention= --summary_every_steps=50 --sample_every_steps=1000"
    " --checkpoint_every_steps=20 --diagnostics_every_steps=50 --steps_per_call=10 --devices=cpu:1"
).split()


def complaints(error):
    return [line for line in error.splitlines() if "train: " in line]


def diverged(workdir, *flags):
    """A run that is lost: its complaints, and the kinds of what was seen. Figures and a picture are there."""
    code, _, error = run(*TINY, f"--workdir={workdir}", *flags)
    lines = complaints(error)
    assert code == 3 and lines and "Traceback" not in error
    records = [json.loads(line) for line in (workdir / "divergence.jsonl").read_text().splitlines()]
    assert len(records) == len(lines)
    for line, record in zip(lines, records, strict=True):
        assert f"diverged at step {record['step']}: {record['reason']} (" in line
        assert {"loss/discriminator", "gradient_norm/generator"} <= record.keys()
        assert (workdir / "samples" / f"divergence_{record['step']:08d}.png").exists()
    return lines, {record["kind"] for record in records}


def rates(generator, discriminator):
    return f"--generator_learning_rate={generator}", f"--discriminator_learning_rate={discriminator}"


def test_nan(tmp_path, eagerly):
    """A rate so large that float32 overflows in the first steps."""
    lines, kinds = diverged(tmp_path, *rates(1e30, 1e30), "--train_steps=40", "--checkpoint_every_steps=5")
    assert kinds == {"not finite"} and len(lines) == 1 and "there is no good checkpoint" in lines[0]
    assert not (tmp_path / "checkpoints").exists()


def test_out_of_memory_is_one_line_and_a_full_disk_is_another_matter():
    """TensorFlow raises the same error for both."""
    config = Config(workdir="unused", precision="float32", generator_channels=1, discriminator_channels=1)
    state = types.SimpleNamespace(
        generator=objects.make_generator(config, 10),
        discriminator=objects.make_discriminator(config, 10),
    )

    def meet(message):
        with failures.memory_explained(config, state, replicas=1):
            raise tf.errors.ResourceExhaustedError(None, None, message)

    with pytest.raises(UserError, match="^out of memory: about .*--accumulation_steps=2"):
        meet("OOM when allocating tensor with shape[12288,1024,256]")
    with pytest.raises(tf.errors.ResourceExhaustedError):
        meet("/x/state.data; No space left on device")


@pytest.mark.slow
def test_out_of_memory(tmp_path):
    """The scores of attention at 32 take 1 MiB an image: 12 GiB in one piece, beside 7 of 15 in use by then.

    Smaller pieces would fail where TensorFlow's libraries do not expect it and end the process.
    """
    flags = "--batch_size=12288 --generator_attention=32".split()
    limit = 15 * 2**30

    def limited():
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    command = [
        sys.executable,
        "-m",
        "sagan_tf.train",
        *TINY,
        "--dataset=digits",
        f"--workdir={tmp_path}",
        *flags,
        "--train_steps=2",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, preexec_fn=limited)
    lines = complaints(done.stderr)
    assert done.returncode == 2 and len(lines) == 1 and "Traceback" not in done.stderr, done.stderr
    assert "error: out of memory: about " in lines[0] and "--accumulation_steps=2" in lines[0]
    assert "parameters: generator " in done.stdout and "GiB a replica" in done.stdout


@pytest.mark.slow
def test_learning_rate_of_1(tmp_path):
    lines, kinds = diverged(tmp_path, *rates(1, 1), "--train_steps=400")
    assert kinds <= {"blow-up", "dead"} and "lower --generator_learning_rate" in lines[0]


@pytest.mark.slow
def test_discriminator_that_has_won(tmp_path):
    """A generator that does not learn is no match for it."""
    lines, kinds = diverged(
        tmp_path,
        *rates(0, 4e-3),
        "--discriminator_channels=4",
        "--checkpoint_every_steps=100",
        "--train_steps=3000",
    )
    assert kinds == {"won"} and "has won" in lines[0]


@pytest.mark.slow
def test_going_back_three_times_then_stopping(tmp_path):
    """A rate that rises until it is too large: what is good comes first, and no luck helps afterwards."""
    lines, kinds = diverged(
        tmp_path, *rates(1, 1), "--warmup_steps=2000", "--train_steps=3000", "--on_divergence=restore"
    )
    assert kinds <= {"dead", "blow-up"} and len(lines) >= 4
    good = {line.rpartition("good checkpoint is of step ")[2].partition(";")[0].rstrip(")") for line in lines}
    steps = [path.name for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit()]
    assert max(steps) == f"{max(map(int, good)):08d}"
