"""A generator's batch statistics estimated from samples, in place of its moving averages."""

import contextlib
import typing

import tensorflow as tf

from sagan_tf.layers import ConditionalBatchNormalization, LinearConditionalBatchNormalization
from sagan_tf.networks.generator import Generator

BATCHES, BATCH_SIZE = 200, 32
_NORMS = (ConditionalBatchNormalization, LinearConditionalBatchNormalization)
_SEED = 2**41  # added to a seed, so that these z occur in no training step or evaluation


def random_inputs(generator: Generator, seed: int, batch_size: int = BATCH_SIZE) -> typing.Callable:
    """A `draw` for `estimate_statistics`: standard normal z, and every class as likely as any other."""

    def draw(number):
        pair = tf.stack([tf.constant(_SEED + seed, tf.int64), 2 * number])
        z = tf.random.stateless_normal((batch_size, generator.z_dim), pair)
        if not generator.classes:
            return z, None
        labels = tf.random.stateless_uniform((batch_size,), pair + [0, 1], 0, generator.classes, tf.int32)
        return z, labels

    return draw


def estimate_statistics(
    generator: Generator, draw: typing.Callable, batches: int = BATCHES, progress=lambda done: None
) -> None:
    """Sets the moving averages to plain means over batches; nothing else of the generator changes.

    The mean of the batches' means, and the mean of their biased variances: what the moving averages, the
    original's too, tend to while the weights stand still. ("Standing statistics" in BigGAN's code.)

    Args:
      generator: built; its weights and u are what the statistics belong to.
      draw: takes the batch's number, an int64 tensor, and returns z float32 (b, z_dim) and labels int32 (b,),
        or None for these where the generator is unconditional.
      batches: how many.
      progress: called with the number of batches done.
    """
    norms = [layer for layer in generator.inner_layers if isinstance(layer, _NORMS)]
    averages = [variable for norm in norms for variable in (norm.moving_mean, norm.moving_variance)]
    kept = [v for v in generator.variables if not v.trainable and v.path.endswith(("/u", "/updates"))]
    kept = [(variable, variable.numpy()) for variable in kept]

    @tf.function
    def statistics_of(number):
        z, labels = draw(number)
        generator(z, labels, training=True, update_state=True)
        for variable, value in kept:  # u moves too, and the statistics must belong to it
            variable.assign(value)
        return [tf.cast(average.value, tf.float64) for average in averages]

    with _without_momentum(norms):
        sums = [0.0] * len(averages)
        for number in range(batches):
            found = statistics_of(tf.constant(number, tf.int64))
            sums = [total + value for total, value in zip(sums, found, strict=True)]
            progress(number + 1)
    for average, total in zip(averages, sums, strict=True):
        average.assign(tf.cast(total / batches, tf.float32))


@contextlib.contextmanager
def _without_momentum(norms):
    """Lets a pass that is traced within leave the batch's own statistics in the moving averages."""
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 0.0
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
