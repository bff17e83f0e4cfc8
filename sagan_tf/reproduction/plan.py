"""What a sweep will cost, from the layers' shapes and a measured speed."""

import time
import typing

import tensorflow as tf

from sagan_tf.monitoring import estimate
from sagan_tf.reproduction.sweep import PlannedRun, Sweep
from sagan_tf.runs import objects, run_files
from sagan_tf.system.progress import hours

_CLASSES = {"imagenet": 1000, "cifar10": 10, "digits": 10}


class RunCost(typing.NamedTuple):
    """The cost of one run.

    Attributes:
      generator, discriminator: trainable parameters.
      image, step: GFLOP of an image, and of a step.
    """

    generator: int
    discriminator: int
    image: float
    step: float


class Rate(typing.NamedTuple):
    """GFLOP a second, and how this was found."""

    value: float
    source: str


def costs(runs: typing.Sequence[PlannedRun], folder: str) -> dict[str, RunCost]:
    """The costs by row, from networks made for it. The flagfiles' folder tells the number of classes."""
    found = {}
    for run in runs:
        if run.row not in found:
            found[run.row] = cost(run.config, _CLASSES[folder])
    return found


def cost(config, classes: int) -> RunCost:
    """The cost of a run with this configuration."""
    generator = objects.make_generator(config, classes)
    discriminator = objects.make_discriminator(config, classes)
    of = estimate.estimate(config, generator, discriminator, replicas=1)
    image = of.flop_per_image / 1e9
    return RunCost(of.generator_parameters, of.discriminator_parameters, image, image * config.batch_size)


def measured_rate(sweep: Sweep, known: dict[str, RunCost]) -> Rate | None:
    """The rate from the speeds that runs have reported so far; None if there are none."""
    work = seconds = 0.0
    for run in sweep.runs:
        step = 0
        for line in run_files.read_metrics(run.config.workdir):
            if line["step"] > step:
                work += (line["step"] - step) * known[run.row].step
                seconds += (line["step"] - step) / line[run_files.SPEED]
                step = line["step"]
    return Rate(work / seconds, "of the steps of this sweep so far") if seconds else None


def try_rate(run: PlannedRun, of_run: RunCost, train: typing.Callable) -> Rate:
    """The rate from a few steps of a run, if they are likely to take a minute; otherwise an upper bound.

    Args:
      run: the run to measure.
      of_run: its cost.
      train: trains `run` for some steps. It returns the steps per second, or None if that failed.
    """
    bound = matrix_product_rate(run.config.precision)
    if tf.config.list_physical_devices("GPU") or of_run.step < bound:  # at least a step a second
        speed = train(run)
        if speed:
            return Rate(of_run.step * speed, f"measured: {run.row}, {speed:.3g} steps/s")
        return Rate(bound, "of a matrix product, as the step could not be measured: it will take longer")
    return Rate(bound, "of a matrix product, as a step takes too long to be measured: it will take longer")


def matrix_product_rate(precision: str, size: int = 2048, times: int = 5) -> float:
    """GFLOP/s of one large matrix product."""
    a = tf.cast(tf.random.normal((size, size)), precision)
    tf.matmul(a, a).numpy()
    begin = time.perf_counter()
    for _ in range(times):
        a_squared = tf.matmul(a, a)
    a_squared.numpy()
    return 2 * size**3 * times / 1e9 / (time.perf_counter() - begin)


def table(sweep: Sweep, known: dict[str, RunCost], rate: Rate) -> str:
    """The plan as Markdown."""
    lines = [
        "| run | G parameters | D parameters | GFLOP an image | steps | TFLOP | hours | state |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    total = left = 0.0
    for run in sweep.runs:
        of = known[run.row]
        work, to_do = (of.step * steps for steps in (run.config.train_steps, _steps_left(sweep, run)))
        total, left = total + work, left + to_do
        lines.append(
            f"| {run.name} | {of.generator:,} | {of.discriminator:,} | {of.image:.3g} |"
            f" {run.config.train_steps:,} | {work / 1e3:.4g} | {work / rate.value / 3600:.3g} |"
            f" {sweep.status(run)} |"
        )
    lines += [
        "",
        f"{total / 1e3:.4g} TFLOP in all, {left / 1e3:.4g} left: {left / rate.value / 3600:.3g} hours of"
        f" training, without starts and scores, at {rate.value:.4g} GFLOP/s ({rate.source}).",
    ]
    return "\n".join(lines)


def _steps_left(sweep: Sweep, run: PlannedRun) -> int:
    return max(run.config.train_steps - sweep.step(run), 0)


class Clock:
    """Tells how long a sweep has yet to go, from the share of its work that is done.

    Args:
      runs: the runs to perform.
      sweep: tells how far they are.
      known: costs by row.
    """

    def __init__(self, runs: typing.Sequence[PlannedRun], sweep: Sweep, known: dict[str, RunCost]):
        self._begin, self._done = time.monotonic(), 0.0
        self._left = {run.name: _steps_left(sweep, run) * known[run.row].step for run in runs}
        self._first = {run.name: sweep.step(run) for run in runs}
        self._known = known

    def finished(self, run: PlannedRun) -> None:
        """Call this when a run has ended, well or not."""
        self._done += self._left.pop(run.name)

    def left(self, run: PlannedRun, step: int) -> str:
        """The time to go as H:MM:SS while `run` is at `step`; empty if it cannot be told yet."""
        doing = (step - self._first[run.name]) * self._known[run.row].step
        done, left = self._done + doing, sum(self._left.values()) - doing
        if done <= 0:
            return ""
        return hours((time.monotonic() - self._begin) * left / done)
