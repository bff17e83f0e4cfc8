"""The command `train`: a run from the command line, taken up, stopped; mistakes in one line each."""

import json
import os
import pathlib
import re
import shutil
import signal
import zipfile

import numpy as np
import pytest
from PIL import Image

from sagan_tf.monitoring.guards import Guards
from sagan_tf.session import workdir
from tests.tiny_run import PLAIN, TINY, reports, run, tensors

FLAGS = pathlib.Path(__file__).parent.parent / "flags"


def refusal(*arguments):
    """The one line with which the command refuses to start."""
    code, _, error = run(*arguments)
    lines = [line for line in error.splitlines() if line.startswith("train: error: ")]
    assert code == 2 and len(lines) == 1 and "Traceback" not in error, error
    return lines[0]


@pytest.fixture
def finished(finished_run):
    return finished_run[0]


def test_progress_and_an_estimate_are_printed(finished_run):
    out = finished_run[1]
    assert "steps: 8 of 8" in out and "to go" in out and "parameters: generator " in out


def test_workdir_holds_everything(finished):
    assert sorted(os.listdir(finished / "checkpoints")) == ["00000002", "00000004", "00000006", "00000008"]
    assert sorted(os.listdir(finished / "samples")) == [
        "ema_00000004.png",
        "ema_00000008.png",
        "real_00000000.png",
    ]
    assert Image.open(finished / "samples" / "ema_00000008.png").height == 10 * 66 - 2  # twice enlarged
    assert os.listdir(finished / "tensorboard")
    assert (finished / "classes.txt").read_text().split() == list("0123456789")
    lines = reports(finished)
    assert [line["step"] for line in lines] == [2, 4, 6, 8]
    assert {"loss/discriminator", "loss/generator", "logits/real", "logits/fake"} <= set(lines[-1])
    assert {"gamma/generator_16", "attention_share/generator_16", "learning_rate/generator"} <= set(lines[-1])
    assert lines[-1]["speed/images_per_second"] > 0


def test_same_command_on_a_complete_run_says_so(finished):
    code, out, _ = run(f"--workdir={finished}", *TINY, "--train_steps=8")
    assert code == 0 and "complete at step 8" in out


def test_contradicting_flags_are_refused_by_name(finished):
    line = refusal(f"--workdir={finished}", *TINY, "--seed=3", "--train_steps=9")
    assert "--seed: '0' before, '3' now" in line and "train_steps" not in line


def test_taken_up_with_the_workdir_alone_it_is_the_run_that_was_not_stopped(finished, tmp_path):
    """As after a kill at step 7, whose checkpoint of step 6 was not complete: the same losses and weights."""
    workdir = tmp_path / "run"
    shutil.copytree(finished, workdir)
    for step in (6, 8):
        shutil.rmtree(workdir / "checkpoints" / f"{step:08d}")
    code, out, error = run(f"--workdir={workdir}")
    assert code == 0 and "from step 4" in out, error
    ours, theirs = (
        [(line["step"], line["loss/discriminator"], line["loss/generator"]) for line in reports(each)]
        for each in (workdir, finished)
    )
    assert ours == theirs and [step for step, *_ in ours] == [2, 4, 6, 8]
    ours, theirs = (tensors(each, 8) for each in (workdir, finished))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


def test_stopped_by_a_signal_it_saves_and_says_how_to_go_on(tmp_path, eagerly, monkeypatch):
    """At step 3, between two checkpoints. The signal comes to this process, which runs the command."""
    before, see = signal.getsignal(signal.SIGTERM), Guards.see_losses

    def see_and_signal(guards, step, *arguments):
        see(guards, step, *arguments)
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Guards, "see_losses", see_and_signal)
    code, out, error = run(*PLAIN, f"--workdir={tmp_path}", "--train_steps=1000", "--steps_per_call=1")
    assert code == 128 + signal.SIGTERM, error
    assert "SIGTERM: saved step 3; the same command takes the run up" in out
    assert (tmp_path / "checkpoints" / "00000003" / "manifest.json").exists()
    assert signal.getsignal(signal.SIGTERM) == before


def test_dry_run_prints_a_flagfile_and_writes_nothing(tmp_path):
    code, out, _ = run("--dry_run", f"--workdir={tmp_path / 'none'}", *TINY)
    assert code == 0 and "--generator_channels=1" in out and not (tmp_path / "none").exists()
    comments = [line for line in out.splitlines() if line.startswith("# ")]
    titles = ["# parameters", "# memory", "# all-reduced", "# disk", "# time"]
    assert [line.split(":")[0] for line in comments] == titles
    assert "GFLOP an image" in comments[0] and "time: not known" in comments[4]
    assert "for 10 classes: --dataset=folder:none: " in run("--dry_run", "--dataset=folder:none", *TINY)[1]


def folder(tmp_path, classes=("cat", "dog"), count=3):
    for name in classes:
        (tmp_path / name).mkdir(parents=True)
        for index in range(count):
            Image.fromarray(np.full((40, 50, 3), 40 * index, np.uint8)).save(tmp_path / name / f"{index}.png")
    return tmp_path


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--chanels=3"], "chanels"),
        (["--batch_size=many"], "batch_size"),
        (["--dataset=folder:/no/such/place"], "/no/such/place"),
        (["--dataset=cats"], "--dataset=cats: did you mean tfds:cats. Allowed are"),
        (["--batch_size=3", "--devices=cpu:2"], "--batch_size=3.*must be a multiple.*replicas, 2"),
        (["--generator_attention=24"], "--generator_attention=24.*allowed are 8, 16, 32"),
        (
            ["--class_conditioning=auxiliary_classifier", "--noconditional"],
            "--class_conditioning=auxiliary_classifier.*--noconditional",
        ),
        (
            ["--gradient_penalty=r1", "--gradient_penalty_weight=0"],
            "--gradient_penalty_weight=0: .*=r1 would",
        ),
        (
            ["--class_conditioning=auxiliary_classifier", "--auxiliary_weight=0"],
            "--auxiliary_weight=0: .*above",
        ),
        (["--gradient_penalty_weight=5"], "--gradient_penalty_weight=5: .*nothing without --gradient_"),
        (["--auxiliary_weight=0"], "--auxiliary_weight=0: .*nothing without --class_conditioning=aux"),
        (["--generator_embedding=8", "--noconditional"], "--generator_embedding=8: .*--noconditional"),
        (["--xla", "--recompute_blocks"], "--recompute_blocks: .*--xla"),
        (["--hierarchical_z"], "--hierarchical_z: needs --generator_embedding"),
        (
            ["--hierarchical_z", "--generator_embedding=8", "--z_dim=30"],
            "--z_dim=30: .* 4 equal parts at --image_size=32; allowed are multiples of 4, e.g. 28",
        ),
        (["--discriminator_attention=32"], "--discriminator_attention=32.*allowed are 8, 16"),
        (["--devices=tpu:1"], "--devices=tpu:1: allowed are"),
        (["--devices=gpu:64"], "--devices=gpu:64: TensorFlow sees"),
        (["--flagfile=/no/such/file.cfg"], "/no/such/file.cfg"),
        (["--workdir=/proc/none/run"], "--workdir=/proc/none/run: cannot be written"),
    ],
)
def test_mistakes_are_one_line(tmp_path, flags, message):
    line = refusal(*TINY, f"--workdir={tmp_path / 'run'}", *flags)
    assert re.search(message, line), line
    assert not (tmp_path / "run" / "config.cfg").exists()


def test_workdir_is_needed():
    assert "--workdir is missing" in refusal(*TINY)


def test_folder_mistakes_are_one_line(tmp_path):
    workdir = f"--workdir={tmp_path / 'run'}"
    (tmp_path / "empty" / "cat").mkdir(parents=True)
    assert "empty" in refusal(*TINY, workdir, f"--dataset=folder:{tmp_path / 'empty'}")
    folder(tmp_path / "high" / "train")
    assert "level" in refusal(*TINY, workdir, f"--dataset=folder:{tmp_path / 'high'}")


def test_corrupt_image_is_named_then_skipped(tmp_path, eagerly):
    images = folder(tmp_path / "images")
    (images / "cat" / "1.png").write_bytes(b"not a picture")
    arguments = [*PLAIN, f"--workdir={tmp_path / 'run'}", f"--dataset=folder:{images}", "--train_steps=2"]
    assert "1.png" in refusal(*arguments)
    code, out, error = run(*arguments, "--bad_images=skip")
    assert code == 0 and "1.png" in out + error


def test_a_class_more_is_refused_before_anything_is_read_or_written(tmp_path, eagerly):
    images = folder(tmp_path / "images")
    arguments = [*PLAIN, f"--workdir={tmp_path / 'run'}", f"--dataset=folder:{images}", "--train_steps=2"]
    assert run(*arguments)[0] == 0
    folder(images, classes=("eel",))
    line = refusal(*arguments, "--train_steps=4")
    assert "learnt other classes (2 classes before, 3 now)" in line and "it began with" in line


def test_second_trainer_in_a_workdir_is_refused(tmp_path):
    with workdir.lock(str(tmp_path)):
        assert "another process is training in it" in refusal(*TINY, f"--workdir={tmp_path}")


def test_flagfiles_of_the_project_are_sound():
    files = sorted(FLAGS.glob("*.cfg"))
    assert len(files) >= 3
    for file in files:
        # In float32, which every machine and every limit of oneDNN has.
        code, _, error = run(f"--flagfile={file}", "--initialize_from=", "--precision=float32", "--dry_run")
        assert code == 0, error
        assert file.read_text().splitlines()[1].startswith("#   python -m sagan_tf.train")


@pytest.mark.slow
def test_cifar10_from_a_folder(shared, tmp_path):
    """200 steps on real photographs: no NaN, and a discriminator loss that falls but not to 0."""
    with zipfile.ZipFile(shared / "data" / "cifar10_train_jpeg.zip") as archive:
        archive.extractall(tmp_path)
    flags = [
        f"--flagfile={FLAGS / 'cifar10.cfg'}",
        f"--dataset=folder:{tmp_path / 'cifar10'}",
        "--batch_size=32",
    ]
    widths = ["--generator_channels=8", "--discriminator_channels=8", "--devices=cpu:1"]
    steps = ["--train_steps=200", "--summary_every_steps=20", f"--workdir={tmp_path / 'run'}"]
    code, _, error = run(*flags, *widths, *steps)
    assert code == 0, error
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss/discriminator"] for line in lines]
    assert np.isfinite([value for line in lines for value in line.values()]).all()
    assert np.mean(losses[-3:]) < np.max(losses[:4])
    assert min(losses) > 0.3
