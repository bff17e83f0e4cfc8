"""What a run will cost, said before it begins."""

import os

from sagan_tf import data
from sagan_tf.monitoring import estimate, exchange
from sagan_tf.runs import objects, run_files
from sagan_tf.runs.config import Config
from sagan_tf.system.devices import device_names
from sagan_tf.system.errors import UserError
from sagan_tf.system.progress import hours

_CLASSES = 10  # where the images are not there


def describe(config: Config) -> str:
    """Lines for the user: parameters, arithmetic, memory, disk, and hours if the run's speed is known.

    Args:
      config: of the run, resolved. Its images are looked at, not decoded and not downloaded.
    """
    lines, classes = [], _CLASSES
    try:
        classes = len(data.read_class_names(config.dataset, config.split, config.data_dir))
    except UserError as error:
        lines = [f"the images cannot be opened, so what follows is for {classes} classes: {error}"]
    generator = objects.make_generator(config, classes)
    discriminator = objects.make_discriminator(config, classes)
    replicas = max(1, len(device_names(config.devices)))
    cost = estimate.estimate(config, generator, discriminator, replicas)
    lines += estimate.describe(cost, config.batch_size).splitlines()
    lines.append(exchange.describe(config, generator, discriminator, replicas))
    lines.append(estimate.describe_disk(config, cost))
    return "\n".join([*lines, *_time(config)])


def _time(config: Config) -> list[str]:
    """The hours that are left, from the speed of the steps that the run has done."""
    metrics = run_files.read_metrics(config.workdir) if os.path.isdir(config.workdir) else []
    if not metrics:
        return ["time: not known before the run has done some steps"]
    step, speed = metrics[-1]["step"], metrics[-1][run_files.SPEED]
    left = max(0, config.train_steps - step) / speed
    return [f"time: {hours(left)} for the steps after {step:,}, at {speed:.3g} steps/s"]
