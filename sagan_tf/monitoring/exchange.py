"""What the replicas of a run send to one another in a step, from the shapes of the networks' variables."""

import math

from sagan_tf.layers import ConditionalBatchNormalization, LinearConditionalBatchNormalization

_NORMS = (ConditionalBatchNormalization, LinearConditionalBatchNormalization)
_BYTES = 4  # of a value: all of them are float32


def reduced_bytes(config, generator, discriminator) -> int:
    """Bytes that replicas all-reduce in a step of `config` with these built networks.

    They are the gradients of all updates; the moving averages of G's batch statistics; and, if these are
    synchronized, the statistics themselves in every pass through G, and their gradients.
    """
    gradients = config.discriminator_steps * _values(discriminator.trainable_variables)
    gradients += _values(generator.trainable_variables)
    norms = [layer for layer in generator.inner_layers if isinstance(layer, _NORMS)]
    channels = [norm.moving_mean.shape[0] for norm in norms]
    averages = sum(2 * each + 1 for each in channels)  # mean, variance, number of updates
    moments = [3 * each + 1 for each in channels]  # mean, variance, mean^2, number of examples
    statistics = _passes(config, moments) if config.sync_batch_norm else 0
    return _BYTES * (gradients + averages + statistics)


def _passes(config, values: list[int]) -> int:
    """The values of all norms in all passes of a step through G, forward and back; `values` are of a pass."""
    parts, fakes = config.accumulation_steps, config.discriminator_steps
    if config.reuse_fakes and parts == 1:  # D's last pass is that of G's update
        fakes -= 1
    again = values[:-1] if config.recompute_blocks else []  # all norms but the last are in blocks
    return parts * ((fakes + 2) * sum(values) + sum(again))


def _values(variables) -> int:
    return sum(math.prod(variable.shape) for variable in variables)


def ring_seconds(count: int, replicas: int, bytes_a_second: float) -> float:
    """The time to all-reduce so many bytes over a ring whose links carry `bytes_a_second` each way."""
    return 2 * (replicas - 1) / replicas * count / bytes_a_second


def describe(config, generator, discriminator, replicas: int) -> str:
    """A line for the user."""
    size = f"{reduced_bytes(config, generator, discriminator) / 1e6:.3g} MB a step"
    return f"all-reduced: {size} " + (
        f"over {replicas} replicas" if replicas > 1 else "between replicas, if any"
    )
