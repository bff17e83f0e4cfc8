"""Compiles many steps of the alternation, with the moving average of G's weights, into one call."""

import tensorflow as tf

from sagan_tf.training import histogram
from sagan_tf.training.objective import HISTOGRAMS
from sagan_tf.training.state import State
from sagan_tf.training.step import Alternation


def make_train_function(
    strategy, state: State, alternation: Alternation, ema_decay: float, xla: bool = False
):
    """Compiles several steps into one call.

    Args:
      strategy: the replicas.
      state: what is trained.
      alternation: one step.
      ema_decay: decay of the average of G's weights.
      xla: whether XLA compiles the step. With several replicas it cannot; then TensorFlow's auto-clustering
        compiles what it can, on GPUs only (see `objects.make_state`).

    Returns:
      A function of an iterator of distributed (images, labels) and a number of steps (int32 tensor). It
      returns the means of the scalars and histograms over these steps.
    """

    # Nothing of a step is computed before its images are there: a step without images changes nothing.
    # A replica is traced in a thread of its own, which knows no dependency from outside.
    def run_replica(images, labels):
        with tf.control_dependencies([images, labels]):
            return alternation(images, labels)

    if xla and strategy.num_replicas_in_sync == 1:
        run_replica = tf.function(run_replica, jit_compile=True)

    def run_step(iterator):
        batch = next(iterator)
        with tf.control_dependencies(_tensors(strategy, batch)):
            scalars = strategy.run(run_replica, args=batch)
            scalars = {name: strategy.reduce("SUM", value, axis=None) for name, value in scalars.items()}
            with strategy.scope():
                state.update_ema(ema_decay)
            state.step.assign_add(1)
        return scalars

    @tf.function(reduce_retracing=True)
    def train(iterator, steps):
        totals = {name: tf.zeros(()) for name in alternation.objective.scalars}
        totals |= {name: tf.zeros((histogram.BINS,)) for name in HISTOGRAMS}
        for _ in tf.range(steps):  # the graph holds one copy of the step, for any number of steps
            scalars = run_step(iterator)
            totals = {name: total + scalars[name] for name, total in totals.items()}
        return {name: total / tf.cast(steps, tf.float32) for name, total in totals.items()}

    return train


def _tensors(strategy, batch) -> list[tf.Tensor]:
    """Every replica's images and labels of a distributed batch."""
    return [tensor for values in batch for tensor in strategy.experimental_local_results(values)]
