"""What tests of the training step share: a run in memory, and the comparison of two runs."""

import functools

import keras
import numpy as np
import tensorflow as tf

from sagan_tf.layers import ConditionalBatchNormalization
from sagan_tf.runs import objects
from sagan_tf.runs.config import Config
from sagan_tf.system.devices import make_workers

TINY = Config(
    precision="float32",
    workdir="unused",
    image_size=32,
    batch_size=8,
    z_dim=8,
    generator_channels=1,
    discriminator_channels=1,
    generator_attention=(16,),
    discriminator_attention=(16,),
)
# For comparisons, since Adam divides even a gradient that is only rounding by its own size.
DESCENT = functools.partial(keras.optimizers.SGD, 0.05)


class Trainer:
    """A run in memory."""

    def __init__(self, digits, config, first_step=0, optimizer=None):
        self.config = config
        self.strategy = make_workers(config.devices).strategy
        self.state = objects.make_state(config, digits.num_classes, self.strategy)
        if optimizer is not None:
            with self.strategy.scope():
                for role in ("generator", "discriminator"):
                    instance = optimizer()
                    instance.build(getattr(self.state, role).trainable_variables)
                    setattr(self.state, f"{role}_optimizer", instance)
        self._train = objects.make_step(config, self.state, self.strategy)
        self._iterator = objects.make_iterator(config, digits, self.strategy, first_step)

    def train(self, steps):
        values = {
            tag: value.numpy() for tag, value in self._train(self._iterator, tf.constant(steps)).items()
        }
        self.histograms = {tag: value for tag, value in values.items() if value.ndim}
        return {tag: float(value) for tag, value in values.items() if not value.ndim}

    def weights(self):
        state = self.state
        networks = (state.generator, state.discriminator, state.ema_generator)
        return {variable.path: variable.numpy() for network in networks for variable in network.variables}


def largest_difference(ours, theirs):
    """The largest relative difference of two runs' weights, and the path of that variable."""
    return max(
        (np.abs(ours[path] - theirs[path]).max() / (np.abs(theirs[path]).max() + 0.05), path)
        for path in theirs
    )


def without_batch_statistics(generator):
    """Makes batch norm use its moving averages in training too: a part's statistics are not the whole's."""
    for layer in generator.inner_layers:
        if isinstance(layer, ConditionalBatchNormalization):
            layer._batch_moments = lambda _, layer=layer: (
                layer.moving_mean.value,
                layer.moving_variance.value,
            )
