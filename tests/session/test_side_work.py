"""What does not end a run: pictures, events and lines that cannot be written. What saves it: see below."""

import errno
import os
import shutil
import signal

import numpy as np
import pytest
from PIL import Image

from sagan_tf.data.order import ShuffledOrder
from sagan_tf.session.observer import Chief
from sagan_tf.system import files
from sagan_tf.training import loop
from tests.tiny_run import PLAIN, run, saved_steps


@pytest.fixture(autouse=True)
def _eagerly(eagerly):
    """Without graphs."""


def between(monkeypatch, action):
    """Calls `action` after the checkpoint of step 2."""
    save = Chief._save

    def save_and_act(self, step, _=None):
        save(self, step)
        if step == 2:
            action()

    monkeypatch.setattr(Chief, "_save", save_and_act)


def test_the_directory_of_pictures_and_the_disk_for_lines_go_away(tmp_path, monkeypatch):
    workdir = tmp_path / "run"

    def act():
        shutil.rmtree(workdir / "samples")
        shutil.rmtree(workdir / "tensorboard")
        (workdir / "metrics.jsonl").unlink()
        (workdir / "metrics.jsonl").mkdir()
        for name in ("config.cfg", "classes.txt"):
            (workdir / name).unlink()

    between(monkeypatch, act)
    code, _, error = run(*PLAIN, f"--workdir={workdir}", "--train_steps=4")
    assert code == 0 and saved_steps(workdir) == [2, 4], error
    assert error.count("warning: scalars cannot be written") == 1 and "Traceback" not in error
    assert (workdir / "samples" / "ema_00000004.png").exists() and os.listdir(workdir / "tensorboard")
    assert (workdir / "config.cfg").exists() and (workdir / "classes.txt").exists()


def test_a_checkpoint_that_cannot_be_written_ends_the_run_in_one_line(tmp_path, monkeypatch):
    sync, number = files.sync, errno.EDQUOT

    def refuse(path):
        if "00000002" in path:
            raise OSError(number, os.strerror(number), path)
        sync(path)

    monkeypatch.setattr("sagan_tf.training.checkpoint.sync", refuse)
    code, _, error = run(*PLAIN, f"--workdir={tmp_path}", "--train_steps=4")
    lines = [line for line in error.splitlines() if line.startswith("train: error: ")]
    assert code == 2 and len(lines) == 1 and "Traceback" not in error, error
    assert os.strerror(number) in lines[0] and "there is no checkpoint yet" in lines[0]
    assert not list(tmp_path.glob("checkpoints/*.partial"))


def test_an_image_that_goes_away_saves_the_run(tmp_path, monkeypatch):
    draw, images = np.random.default_rng(0), tmp_path / "c"
    for number in range(20):
        (images / str(number % 2)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (32, 32, 3), np.uint8)).save(
            images / str(number % 2) / f"{number:02d}.png"
        )
    sixth = int(ShuffledOrder(20, 0).indices(14, 15)[0])  # in the fourth batch of four
    path = sorted(images.rglob("*.png"))[sixth]
    begin = Chief.begin

    def begin_and_delete(self, step):
        begin(self, step)
        shutil.move(path, tmp_path / "kept.png")

    monkeypatch.setattr(Chief, "begin", begin_and_delete)
    flags = [*PLAIN, f"--workdir={tmp_path}/run", f"--dataset=folder:{images}", "--in_memory=no"]
    code, out, error = run(*flags, "--train_steps=9", "--checkpoint_every_steps=5")
    lines = [line for line in error.splitlines() if line.startswith("train: error: ")]
    assert code == 2 and len(lines) == 1 and f"{path}: No such file or directory" in lines[0], error
    assert "saved step 3; the same command takes the run up" in out and saved_steps(tmp_path / "run") == [3]


def test_a_closed_terminal_saves(tmp_path, monkeypatch, signals_are_heard):
    between(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGHUP))
    code, out, error = run(*PLAIN, f"--workdir={tmp_path}", "--train_steps=40", "--checkpoint_every_steps=2")
    assert code == 128 + signal.SIGHUP and "SIGHUP: saved step 2" in out, error
    assert saved_steps(tmp_path) == [2]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGXCPU"])
def test_signals_that_would_end_the_process_are_noted(name, signals_are_heard):
    with loop.Interrupt() as interrupt:
        os.kill(os.getpid(), getattr(signal, name))
        assert interrupt.signal is getattr(signal, name)


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    try:
        with loop.Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGHUP)
            assert interrupt.signal is None
    finally:
        signal.signal(signal.SIGHUP, before)
