"""What a run will cost, said before it begins."""

from sagan_tf import data
from sagan_tf.monitoring import estimate, exchange
from sagan_tf.runs import objects
from sagan_tf.runs.config import Config
from sagan_tf.session import speed
from sagan_tf.system import runtime
from sagan_tf.system.devices import device_names
from sagan_tf.system.errors import UserError

_CLASSES = 10  # where the images are not there


def describe(config: Config, environment: runtime.Environment) -> str:
    """Lines for the user: parameters, arithmetic, memory, disk, and hours if a speed is known.

    Args:
      config: of the run, resolved. Its images are looked at, not decoded and not downloaded.
      environment: what this process computes with.
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
    lines.append(speed.describe(config, environment, cost.flop_per_image * config.batch_size))
    return "\n".join(lines)
