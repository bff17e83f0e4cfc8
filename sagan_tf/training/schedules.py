"""Learning rates as functions of the step alone, computed inside the compiled step."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("sagan_tf")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """Warm-up from 0, then constant or falling linearly to 0 at the last step.

    Step t = 0, 1, ... uses rate * (t + 1) / W during the W steps of warm-up; afterwards the rate itself, or
    rate * (T - t) / (T - W). It depends only on the optimizer's counter, which is in the checkpoint. So a run
    that was stopped goes on with the same rates.

    Args:
      rate: the highest learning rate.
      warmup_steps: W, less than `decay_steps`.
      decay_steps: T; 0 for a constant rate.
      updates_per_step: the optimizer's updates in one training step. They share one rate.
    """

    def __init__(self, rate: float, warmup_steps: int = 0, decay_steps: int = 0, updates_per_step: int = 1):
        if decay_steps and warmup_steps >= decay_steps:
            raise ValueError(f"warmup_steps={warmup_steps}: must be less than decay_steps={decay_steps}")
        self.rate, self.warmup_steps = rate, warmup_steps
        self.decay_steps, self.updates_per_step = decay_steps, updates_per_step

    def __call__(self, updates):
        """The rate of the update that follows `updates` (an integer): a float32 scalar."""
        step = tf.cast(tf.convert_to_tensor(updates), tf.int64) // self.updates_per_step
        step = tf.cast(step, tf.float32)  # exact up to 16 million steps
        factor = tf.constant(1.0)
        if self.decay_steps:
            factor = tf.maximum(self.decay_steps - step, 0.0) / (self.decay_steps - self.warmup_steps)
        if self.warmup_steps:
            factor = tf.where(step < self.warmup_steps, (step + 1.0) / self.warmup_steps, factor)
        return self.rate * factor

    def get_config(self):
        return {
            "rate": self.rate,
            "warmup_steps": self.warmup_steps,
            "decay_steps": self.decay_steps,
            "updates_per_step": self.updates_per_step,
        }
