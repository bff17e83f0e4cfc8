"""A stand-in for the processes of a sweep: as quick as a sweep's own work, and it writes what they write."""

import subprocess
import sys

import pytest

from sagan_tf.reproduction.sweep import PlannedRun, Scoring, Sweep
from sagan_tf.runs.config import Config
from sagan_tf.system import options

# Trains from its newest checkpoint on, a step each 10 ms, with a score each second step; scores its end.
# A file `fail` in the directory of the row makes it end at step 3 with exit code 3.
COMMAND = r"""
import json, os, pathlib, signal, sys, time
command, *arguments = sys.argv[1:]
options = dict(argument[2:].split("=", 1) for argument in arguments)
workdir = pathlib.Path(options["workdir"])
def score(step, samples, metric, value):
    (workdir / "scores").mkdir(parents=True, exist_ok=True)
    line = {"metric": metric, "value": value, "step": step, "samples": samples, "weights": "EMA weights",
            "batch_statistics": "moving", "precision": "float32", "seed": 0, "truncation": 0.0,
            "class_distribution": "uniform",
            "network": "Inception", "network_fingerprint": "abc", "resize": "to 299x299", "reference": "real"}
    with open(workdir / "scores" / "scores.jsonl", "a") as file:
        file.write(json.dumps(line) + "\n")
done = max((int(path.name) for path in workdir.glob("checkpoints/*")), default=0)
if command == "evaluate":
    score(done, int(options["num_samples"]), "fid", 100.0 - done + int(workdir.name[-1]))
    (workdir / "scores" / "reference-abc.h5").touch()
    print("scored")
    sys.exit()
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
for step in range(done + 1, int(options["train_steps"]) + 1):
    if stopped:
        print("SIGTERM: saved")
        sys.exit(143)
    if step == 3 and (workdir.parent / "fail").exists():
        print("train: diverged at step 3", file=sys.stderr)
        sys.exit(3)
    (workdir / "checkpoints" / f"{step:08d}").mkdir(parents=True)
    with open(workdir / "metrics.jsonl", "a") as file:
        scalars = {"step": step, "loss/discriminator": 1.0, "speed/steps_per_second": 0.5}
        file.write(json.dumps(scalars) + "\n")
    if step % 2 == 0:
        score(step, 10, "fid", 100.0 - step + int(workdir.name[-1]))
    print("a line of text", flush=True)
    if step >= 3 and workdir.parent.name == "sn_d":
        with open(workdir / "divergence.jsonl", "a") as file:
            line = {"step": step, "kind": "collapse", "reason": "the generator has collapsed"}
            file.write(json.dumps(line | {"ignored": True}) + "\n")
    time.sleep(0.01)
"""


@pytest.fixture
def make_sweep(tmp_path, monkeypatch):
    """Makes a sweep over rows and seeds in one directory; its processes are the stand-in."""

    def popen(command, **arguments):
        if command[1] != "-m":
            return original(command, **arguments)
        assert command[2].startswith("sagan_tf.")
        stand_in = [sys.executable, "-c", COMMAND, command[2].removeprefix("sagan_tf.")]
        return original([*stand_in, *command[3:]], **arguments)

    original = subprocess.Popen
    monkeypatch.setattr("sagan_tf.reproduction.sweep.subprocess.Popen", popen)

    def make(rows=("sn_d", "sn_gd_ttur"), seeds=(0, 1), steps=4):
        runs = []
        for seed in seeds:
            for row in rows:
                arguments = (
                    f"--workdir={tmp_path}/{row}/seed_{seed}",
                    f"--seed={seed}",
                    f"--train_steps={steps}",
                )
                runs.append(PlannedRun(row, options.parse(Config, arguments)[0], arguments))
        return Sweep(str(tmp_path), runs, Scoring(("fid",), 20, "network"), "a machine")

    return make
