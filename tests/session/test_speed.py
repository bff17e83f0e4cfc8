"""What --dry_run says of the time: from a run's own steps, or those of runs beside it on this machine."""

import dataclasses

import pytest

from sagan_tf.runs import run_files
from sagan_tf.runs.config import Config
from sagan_tf.session import speed
from sagan_tf.system import json_lines, runtime
from sagan_tf.system.run_directory import RunFiles

TINY = Config(
    precision="float32",
    image_size=32,
    z_dim=8,
    batch_size=4,
    generator_channels=1,
    discriminator_channels=1,
    generator_attention=(),
    discriminator_attention=(),
    train_steps=36_000,
)


@pytest.fixture(scope="module")
def environment():
    return runtime.environment(["CPU:0"])


def a_run(workdir, environment, speeds=(10.0,), **changes):
    """A run in a directory that has measured these speeds, a line of metrics.jsonl each."""
    config = dataclasses.replace(TINY, workdir=str(workdir), **changes)
    workdir.mkdir()
    run_files.write_description(config, ("a", "b"))
    run_files.write_environment(config, 0, environment)
    for number, value in enumerate(speeds, 1):
        json_lines.append(RunFiles(config.workdir).metrics, {"step": 3600 * number, run_files.SPEED: value})
    return config


def planned(tmp_path, environment, times=1.0, **changes):
    """The line for a new run in the same folder whose step has `times` the arithmetic of TINY's."""
    config = dataclasses.replace(TINY, workdir=str(tmp_path / "new"), **changes)
    return speed.describe(config, environment, times * step_flop(tmp_path))


def step_flop(tmp_path):
    return speed._step_flop(str(tmp_path / "a"))


def test_its_own_steps_tell_what_is_left_in_spite_of_a_pause(tmp_path, environment):
    config = a_run(tmp_path / "a", environment, speeds=(1.0, 10.0, 10.0, 0.1))
    line = speed.describe(config, environment, 1.0)
    assert line == "time: 0:36:00 for the steps after 14,400, at 10 steps/s"


def test_a_run_beside_it_with_the_same_arithmetic_tells_the_hours(tmp_path, environment):
    a_run(tmp_path / "a", environment)
    a_run(tmp_path / "wider", environment, speeds=(1.0,), generator_channels=4)
    line = planned(tmp_path, environment)
    assert line.startswith("time: about 60 minutes, from the speed of ") and "10 steps/s" in line
    assert "/a on this machine" in line


def test_of_other_networks_the_arithmetic_is_compared_and_this_is_said(tmp_path, environment):
    a_run(tmp_path / "a", environment)
    line = planned(tmp_path, environment, times=5)
    assert line.startswith("time: about 5.0 hours, ") and "5.0 times its arithmetic, so this is rough" in line


def test_other_machines_tell_nothing(tmp_path, environment, monkeypatch):
    another = environment.processor._replace(name="another")
    others = {"a": {"processor": another}, "b": {"gpus": ("A GPU",)}, "c": {"onednn": not environment.onednn}}
    for name, change in others.items():
        a_run(tmp_path / name, environment._replace(**change))
    with monkeypatch.context() as patch:
        patch.setattr(runtime, "usable_cpus", lambda: 1000)
        a_run(tmp_path / "d", environment)
    assert "time: not known" in planned(tmp_path, environment)


def test_another_precision_or_a_run_of_few_steps_tells_nothing(tmp_path, environment):
    a_run(tmp_path / "a", environment, speeds=())
    assert "time: not known" in planned(tmp_path, environment)
    a_run(tmp_path / "b", environment, precision="bfloat16")
    json_lines.append(str(tmp_path / "a" / "metrics.jsonl"), {"step": 50, run_files.SPEED: 1.0})
    assert "time: not known" in planned(tmp_path, environment)


def test_without_a_workdir_the_folder_runs_is_looked_at(tmp_path, environment, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    a_run(tmp_path / "runs" / "a", environment)
    flop = step_flop(tmp_path / "runs")
    line = speed.describe(dataclasses.replace(TINY, workdir=""), environment, flop)
    assert "from the speed of runs/a on this machine" in line
