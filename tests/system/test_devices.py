"""Replicas and worker processes: the same training on one, several, and after one of them was killed."""

import inspect
import json
import os
import signal
import socket
import subprocess
import sys
import time
import types

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from sagan_tf import train
from sagan_tf.cluster import meeting
from sagan_tf.runs.config import Config
from sagan_tf.system import cli
from sagan_tf.system.devices import choose_devices, make_workers
from sagan_tf.system.errors import UserError
from tests.conftest import LOGICAL_CPUS
from tests.tiny_run import run

TINY = (
    "--dataset=digits --image_size=32 --batch_size=8 --z_dim=8 --steps_per_call=2 --summary_every_steps=1"
    " --generator_channels=1 --discriminator_channels=1 --generator_attention= --discriminator_attention="
    " --sample_every_steps=100 --checkpoint_every_steps=10 --precision=float32"
).split()
LOSSES = ("loss/discriminator", "loss/generator", "logits/real", "logits/fake")


class Worker:
    """One process of a run; its output goes to a file."""

    def __init__(self, workdir, steps, hosts=(), index=0, devices="cpu"):
        self.log = workdir.parent / f"{workdir.name}_{index}.log"
        task = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
        environment = os.environ | ({"TF_CONFIG": json.dumps(task)} if hosts else {})
        options = [f"--workdir={workdir}", f"--train_steps={steps}", f"--devices={devices}"]
        with open(self.log, "w") as log:
            command = [sys.executable, "-m", "sagan_tf.train", *TINY, *options]
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)

    def wait(self) -> str:
        """Waits for the end; returns the output."""
        self.process.wait(timeout=600)
        return self.log.read_text()


def two_workers(workdir, steps):
    with socket.socket() as first, socket.socket() as second:
        for free in (first, second):
            free.bind(("127.0.0.1", 0))
        hosts = [f"127.0.0.1:{free.getsockname()[1]}" for free in (first, second)]
    return [Worker(workdir, steps, hosts, index) for index in (0, 1)]


def finish(*workers):
    for worker in workers:
        assert worker.wait() and worker.process.returncode == 0, worker.log.read_text()


def scalars(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return np.array([[line[name] for name in LOSSES] for line in lines])


def weights(workdir, step):
    reader = tf.train.load_checkpoint(str(workdir / "checkpoints" / f"{step:08d}" / "state"))
    names = reader.get_variable_to_shape_map().keys() - {"_CHECKPOINTABLE_OBJECT_GRAPH"}
    return {name: reader.get_tensor(name) for name in names}


def test_two_workers_train_as_one_process(tmp_path, eagerly):
    workers = two_workers(tmp_path / "two", 4)
    code, _, error = run(*TINY, f"--workdir={tmp_path / 'one'}", "--train_steps=4", "--devices=cpu")
    assert code == 0, error
    finish(*workers)
    np.testing.assert_allclose(scalars(tmp_path / "two"), scalars(tmp_path / "one"), rtol=1e-4, atol=1e-4)
    assert sorted(os.listdir(tmp_path / "two")) == sorted(os.listdir(tmp_path / "one"))


@pytest.mark.slow
def test_50_steps_are_the_same_whatever_the_replicas(tmp_path):
    finish(Worker(tmp_path / "1", 50))
    expected = scalars(tmp_path / "1")
    for count in (2, 4):
        finish(Worker(tmp_path / str(count), 50, devices=f"cpu:{count}"))
    finish(*two_workers(tmp_path / "workers", 50))
    for name in ("2", "4", "workers"):
        differences = np.abs(scalars(tmp_path / name) - expected) / (np.abs(expected) + 0.1)
        largest = [differences[:steps].max() for steps in (10, 25, 50)]
        print(f"{name}: largest relative difference by step 10, 25, 50:", *map("{:.1e}".format, largest))
        # Rounding, which training amplifies: Adam divides each gradient by its own size.
        assert largest[0] < 1e-5 and largest[1] < 1e-3 and largest[2] < 2e-2


@pytest.mark.slow
def test_killed_worker_ends_the_other_and_both_go_on(tmp_path):
    finish(*two_workers(tmp_path / "whole", 60))
    chief, other = two_workers(tmp_path / "killed", 60)
    while not (tmp_path / "killed" / "checkpoints" / "00000020").exists():
        assert chief.process.poll() is None, chief.log.read_text()
        time.sleep(0.05)
    other.process.send_signal(signal.SIGKILL)
    text = chief.wait()
    assert chief.process.returncode == 75 and "Traceback" not in text
    assert "worker 1, 127.0.0.1:" in text and "has ended without a word (killed?)" in text
    finish(*two_workers(tmp_path / "killed", 60))
    ours, theirs = weights(tmp_path / "killed", 60), weights(tmp_path / "whole", 60)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


@pytest.mark.slow
def test_signal_to_one_worker_saves_and_stops_all(tmp_path):
    workers = two_workers(tmp_path / "run", 100_000)
    while not (tmp_path / "run" / "checkpoints" / "00000010").exists():
        assert workers[0].process.poll() is None, workers[0].log.read_text()
        time.sleep(0.05)
    workers[1].process.send_signal(signal.SIGTERM)
    for worker in workers:
        assert "SIGTERM: saved step" in worker.wait()
        assert worker.process.returncode == 128 + signal.SIGTERM


def test_one_worker_is_no_cluster():
    workers = make_workers("cpu")
    assert (workers.count, workers.is_chief, workers.strategy.num_replicas_in_sync) == (1, True, 1)
    assert workers.agree(True, 3) == (True, 3)


def test_tensorflow_waits_longer_than_the_workers_for_a_silent_one(monkeypatch):
    real, asked = context.context().configure_coordination_service, {}
    assert "heartbeat_timeout_in_ms" in inspect.signature(real).parameters
    fake = types.SimpleNamespace(configure_coordination_service=lambda **options: asked.update(options))
    monkeypatch.setattr(context, "context", lambda: fake)
    strategy = "MultiWorkerMirroredStrategy"  # asks for the service as TensorFlow's own does
    monkeypatch.setattr(tf.distribute, strategy, lambda _: fake.configure_coordination_service(service="a"))
    make_workers("auto", ("a:1", "b:1"), 0, meeting._TENSORFLOWS_SILENCE_SECONDS)
    assert asked == {"service": "a", "heartbeat_timeout_in_ms": 120_000}
    assert meeting.SILENCE_SECONDS + meeting.BEAT_SECONDS < 120 / 2


@pytest.mark.parametrize("devices", ["gpu", "gpu:", "cpu:0", "tpu", "gpu:0,", "cpu:1,2"])
def test_devices_that_do_not_exist(devices, capsys, tmp_path):
    with pytest.raises(SystemExit) as exit_info:
        arguments = [f"--workdir={tmp_path / 'a'}", f"--devices={devices}"]
        cli.run(train.main, Config, train.__doc__, program="sagan_tf.train", argv=arguments)
    assert exit_info.value.code == 2 and "allowed are auto, cpu" in capsys.readouterr().err


@pytest.mark.parametrize("choose", [make_workers, choose_devices])
def test_gpus_that_are_not_here(choose):
    count = len(tf.config.list_physical_devices("GPU"))
    with pytest.raises(UserError, match=f"--devices=gpu:0,99: TensorFlow sees {count} GPUs"):
        choose("gpu:0,99")


def test_devices_of_a_command_without_replicas():
    assert choose_devices("auto") == choose_devices("cpu") == ("CPU:0",)
    assert choose_devices("cpu:3") == ("CPU:0", "CPU:1", "CPU:2")
    with pytest.raises(UserError, match=f"--devices=cpu:5: .* started with {LOGICAL_CPUS} such devices"):
        choose_devices("cpu:5")
