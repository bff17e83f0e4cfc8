"""Everything that a training run saves: networks, average of G, optimizers, step."""

import keras
import tensorflow as tf

from sagan_tf.networks import Discriminator, Generator


def named_variables(owner) -> dict[str, tf.Variable]:
    """The variables of a network or optimizer by their path below it, e.g. `block_8/conv_1/kernel`.

    Checkpoints hold these instead of Keras objects. A Keras object does not hand layers in a list to
    TensorFlow, which then does not save them, and says nothing.
    """
    return {variable.path.partition("/")[2]: variable.value for variable in owner.variables}


class State:
    """The mutable state of a run. Make it inside the strategy's scope.

    Args:
      generator, discriminator: built networks.
      generator_optimizer, discriminator_optimizer: Keras optimizers, not built yet.

    Attributes:
      ema_generator: holds the moving average of the generator's weights (EMA). Its u (see
        `SpectralNormalization`) and batch statistics are copies of the generator's.
      step: int64, steps done.
      restores: int64, how often the run has gone back to a checkpoint after it diverged.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        generator_optimizer: keras.optimizers.Optimizer,
        discriminator_optimizer: keras.optimizers.Optimizer,
    ):
        self.generator, self.discriminator = generator, discriminator
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer
        generator_optimizer.build(generator.trainable_variables)
        discriminator_optimizer.build(discriminator.trainable_variables)
        self.ema_generator = generator.copy(name="ema_generator")
        first = tf.VariableAggregation.ONLY_FIRST_REPLICA
        self.step = tf.Variable(0, dtype=tf.int64, aggregation=first)
        self.restores = tf.Variable(0, dtype=tf.int64, aggregation=first)

    @property
    def devices(self) -> tuple[str, ...]:
        """TensorFlow's names of this process's devices with a replica, e.g. GPU:0."""
        copies = getattr(self.step, "values", (self.step,))
        return tuple(copy.device.rpartition("device:")[2] for copy in copies)

    def checkpoint(self) -> tf.train.Checkpoint:
        """The whole state as one object to save and restore."""
        return tf.train.Checkpoint(
            step=self.step,
            restores=self.restores,
            generator=named_variables(self.generator),
            discriminator=named_variables(self.discriminator),
            ema_generator=named_variables(self.ema_generator),
            generator_optimizer=named_variables(self.generator_optimizer),
            discriminator_optimizer=named_variables(self.discriminator_optimizer),
        )

    def update_ema(self, decay: float) -> None:
        """Moves the average by one step. Call it in cross-replica context, after the generator's update.

        The decay of step t is min(decay, (1 + t) / (10 + t)): small at first, so that the average forgets
        the initial weights.
        """
        t = tf.cast(self.step, tf.float32)
        keep = tf.minimum(decay, (1.0 + t) / (10.0 + t))
        local = tf.distribute.get_strategy().experimental_local_results
        for average, variable in zip(self.ema_generator.variables, self.generator.variables, strict=True):
            for copy, value in zip(local(average.value), local(variable.value), strict=True):
                with tf.device(copy.device):
                    if variable.trainable:
                        copy.assign_add((1.0 - keep) * (value - copy))
                    else:
                        copy.assign(value)
