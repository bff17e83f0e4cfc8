"""How long a run will take: from its own steps, or from those of runs beside it on the same machine."""

import contextlib
import os
import statistics
import typing

from sagan_tf.monitoring import estimate
from sagan_tf.runs import objects, run_files
from sagan_tf.runs.config import Config
from sagan_tf.system import json_lines, runtime
from sagan_tf.system.errors import UserError
from sagan_tf.system.progress import hours
from sagan_tf.system.run_directory import RunFiles, is_run

_LOOKED_AT = 3  # runs beside it; networks are made for each
_STEPS = 100  # the least that a run beside it must have done
_LINES = 20  # of metrics.jsonl: the median of so many speeds is not disturbed by a pause
_MACHINE = ("processor", "cores", "gpus", "onednn", "precision")  # keys of environment.jsonl


class _Measured(typing.NamedTuple):
    """A run's speed, and the arithmetic of its step in FLOP."""

    workdir: str
    steps_per_second: float
    step: float


def describe(config: Config, environment: runtime.Environment, step_flop: float) -> str:
    """A line for the user: the hours that are left, and how that is known.

    Args:
      config: of the run, resolved.
      environment: what this process computes with.
      step_flop: arithmetic of the run's step.
    """
    if lines := run_files.read_latest_metrics(config.workdir):
        step, speed = lines[-1]["step"], _speed(lines)
        left = max(0, config.train_steps - step) / speed
        return f"time: {hours(left)} for the steps after {step:,}, at {speed:.3g} steps/s"
    folder = os.path.dirname(os.path.abspath(config.workdir)) if config.workdir else "runs"
    found = _beside(folder, environment.record() | {"precision": config.precision})
    if not found:
        return (
            f"time: not known, as no run in {os.path.relpath(folder)} has the speed of this machine; the run"
            " itself says it in its first minutes (Ctrl-C stops it, the same command goes on)"
        )
    nearest = min(found, key=lambda run: max(run.step, step_flop) / min(run.step, step_flop))
    seconds = config.train_steps * step_flop / (nearest.step * nearest.steps_per_second)
    start = (
        f"time: about {_about(seconds)}, from the speed of {os.path.relpath(nearest.workdir)} on this machine"
    )
    if abs(step_flop / nearest.step - 1) < 0.01:
        return f"{start}: {nearest.steps_per_second:.3g} steps/s with as much arithmetic a step"
    rate = nearest.step * nearest.steps_per_second / 1e9
    times = step_flop / nearest.step
    return (
        f"{start}: {rate:.3g} GFLOP/s; a step of this run has {times:,.{1 if times < 10 else 0}f} times its"
        " arithmetic, so this is rough (larger steps mostly compute faster)"
    )


def _about(seconds: float) -> str:
    """A duration in minutes, or in hours with two digits."""
    if seconds < 2 * 3600:
        return f"{max(1, round(seconds / 60))} minutes"
    return f"{float(f'{seconds / 3600:.2g}'):,.{1 if seconds < 36000 else 0}f} hours"


def _speed(lines: list[dict]) -> float:
    """The steps a second of a run's last steps."""
    speeds = [line[run_files.SPEED] for line in lines]
    speeds = speeds[1:] or speeds  # the first steps are slower
    return statistics.median(speeds[-_LINES:])


def _beside(folder: str, machine: dict) -> list[_Measured]:
    """The newest runs in a folder whose speed was measured on this machine in this precision."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    workdirs = [os.path.join(folder, name) for name in names]
    found = []
    for workdir in sorted(filter(is_run, workdirs), key=os.path.getmtime, reverse=True):
        if len(found) == _LOOKED_AT:
            break
        environments = json_lines.read_end(RunFiles(workdir).environment)
        lines = run_files.read_latest_metrics(workdir)
        if not environments or not lines or lines[-1]["step"] < _STEPS:
            continue
        if all(environments[-1].get(key) == machine[key] for key in _MACHINE):
            with contextlib.suppress(UserError):  # a run that cannot be read
                found.append(_Measured(workdir, _speed(lines), _step_flop(workdir)))
    return found


def _step_flop(workdir: str) -> float:
    config, classes = run_files.read_config(workdir), len(run_files.read_class_names(workdir))
    networks = objects.make_generator(config, classes), objects.make_discriminator(config, classes)
    return estimate.estimate(config, *networks, replicas=1).flop_per_image * config.batch_size
