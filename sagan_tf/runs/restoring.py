"""From a run's directory back to its networks."""

import dataclasses
import sys
import typing

import tensorflow as tf

from sagan_tf.networks import Discriminator, Generator
from sagan_tf.networks.batch_statistics import estimate_statistics, random_inputs
from sagan_tf.runs.choice import choose
from sagan_tf.runs.config import Config
from sagan_tf.runs.objects import make_discriminator, make_generator
from sagan_tf.runs.run_files import has_discriminator, read_class_names, read_config
from sagan_tf.system.errors import UserError, printable
from sagan_tf.training.checkpoint import Checkpoints, DamagedCheckpointError
from sagan_tf.training.state import named_variables


class Run(typing.NamedTuple):
    """A run read back from its directory, to sample from, score or export; its networks are in float32.

    `discriminator` is None for an imported generator alone.
    """

    config: Config
    class_names: tuple[str, ...]
    step: int
    generator: Generator
    discriminator: Discriminator | None


def restore(
    workdir: str, checkpoint: str = "latest", ema: bool = True, batch_statistics: str = "moving"
) -> Run:
    """Reads a run from its directory.

    The networks are in float32 whatever the run was trained in, so that samples, attention, scores and
    exports agree.

    Args:
      workdir: the run's directory.
      checkpoint: "latest" (the newest sound one; damaged ones after it are named on standard error), "best"
        (see --best_metric) or a step.
      ema: whether `generator` has the averaged weights.
      batch_statistics: "moving" (the generator's moving averages, as training left them) or "estimated"
        (from samples, for these very weights; the same every time).

    Raises:
      UserError: no run, no such checkpoint, or a damaged one.
    """
    config = read_config(workdir)
    class_names = read_class_names(workdir)
    folder, steps = choose(workdir, checkpoint)
    in_float32 = dataclasses.replace(config, precision="float32")
    generator = make_generator(in_float32, len(class_names))
    networks, discriminator = {"ema_generator" if ema else "generator": generator}, None
    if has_discriminator(workdir):
        discriminator = networks["discriminator"] = make_discriminator(in_float32, len(class_names))
    objects = {name: named_variables(network) for name, network in networks.items()}
    saved = Checkpoints(folder)
    problems = {}
    for step in reversed(steps):
        try:
            saved.restore(tf.train.Checkpoint(**objects), step, partial=True)
            if batch_statistics == "estimated":
                estimate_statistics(generator, random_inputs(generator, seed=0))
            _warn(problems, step)
            return Run(config, class_names, step, generator, discriminator)
        except DamagedCheckpointError as error:
            problems[step] = error
    raise UserError(f"--workdir={workdir}: checkpoint is damaged: {'; '.join(map(str, problems.values()))}")


def _warn(problems: dict[int, DamagedCheckpointError], used: int) -> None:
    """Names the damaged checkpoints on standard error, and the one that is used instead."""
    for step, problem in problems.items():
        line = f"warning: checkpoint of step {step} is damaged ({problem}); step {used} is used instead"
        print(printable(line), file=sys.stderr, flush=True)
