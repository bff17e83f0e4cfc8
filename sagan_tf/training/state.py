"""Everything that a training run saves: networks, their average, optimizers, the step."""

import keras
import tensorflow as tf

from sagan_tf.networks import Discriminator, Generator

# What each going back to a checkpoint adds to the seed, so that the run does not die the same death again.
RESTORE_SEED = 1_000_003
# What training adds to the seed of z, so that it never sees the z that samples and evaluations draw: it is
# larger than any seed that an option takes.
TRAINING_SEED = 2**40


def named_variables(owner) -> dict[str, tf.Variable]:
    """The variables of a network or optimizer by their path below it, e.g. `block_8/conv_1/kernel`.

    Checkpoints are made of these rather than of Keras objects: those do not hand all of their layers
    to TensorFlow (none that was appended to a list), and what is not handed over is not saved, in silence.
    """
    return {variable.path.partition("/")[2]: variable.value for variable in owner.variables}


class State:
    """The mutable state of a run. Make it inside the strategy's scope.

    `restores` is how often a run that had diverged has gone back to a checkpoint.

    `ema_generator` holds the average of the generator's weights; its u and batch statistics are
    copies of the generator's.

    Args:
      generator, discriminator: built networks.
      generator_optimizer, discriminator_optimizer: Keras optimizers, not built yet.
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

    def checkpoint(self) -> tf.train.Checkpoint:
        """All of the state as one object to save and restore."""
        parts = (
            "generator",
            "discriminator",
            "ema_generator",
            "generator_optimizer",
            "discriminator_optimizer",
        )
        return tf.train.Checkpoint(
            step=self.step,
            restores=self.restores,
            **{part: named_variables(getattr(self, part)) for part in parts},
        )

    def update_ema(self, decay: float) -> None:
        """Moves the average by one step; call it in cross-replica context, after the generator's update.

        The decay of step t is min(decay, (1 + t) / (10 + t)), so that the average follows from the
        first step on instead of remembering the initial weights.
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
