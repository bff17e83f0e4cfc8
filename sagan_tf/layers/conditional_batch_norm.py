"""Batch normalization whose gain and bias depend on the class (Dumoulin et al. 2017; SAGAN's generator)."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("sagan_tf")
class ConditionalBatchNormalization(keras.layers.Layer):
    """y = gain[label] * (x - mean) / sqrt(variance + epsilon) + bias[label].

    In training, mean and variance are those of the batch (over all positions and, with
    `synchronized`, all replicas); at inference they are moving averages, so that a sample does not
    depend on its batch. The variance is the biased one, as in the original code. Moments and the
    moving averages are float32 whatever the policy.

    The moving averages forget their initial 0 and 1 within the first few updates: update n = 0, 1, ...
    uses the momentum min(momentum, (1 + n) / (10 + n)). The original's momentum is constant, which is
    the same after some thousand steps.

    Args:
      classes: rows of the tables of gains and biases; 0 for one gain and bias (no labels).
      momentum: decay of the moving averages; the original's is 0.999, and 0.9999 in its last layer.
      epsilon: added to the variance.
      synchronized: whether training statistics are those of all replicas' batches together. The
        original's are per replica.

    Call arguments:
      inputs: (B, ..., C).
      labels: int32 (B,), in [0, classes); None where `classes` is 0.
      training: whether to normalize by the batch's statistics.
      update_statistics: whether this pass moves the moving averages; only with `training`.

    Returns: the shape and dtype of `inputs`.
    """

    def __init__(
        self,
        classes: int,
        momentum: float = 0.999,
        epsilon: float = 1e-5,
        synchronized: bool = False,
        **layer_arguments,
    ):
        super().__init__(**layer_arguments)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum={momentum}: must be in [0, 1)")
        self.classes = classes
        self.momentum = momentum
        self.epsilon = epsilon
        self.synchronized = synchronized

    def build(self, input_shape):
        channels = input_shape[-1]
        table = (self.classes, channels) if self.classes else (channels,)

        def weight(name, shape, initializer, **arguments):
            return self.add_weight(
                name=name, shape=shape, initializer=initializer, dtype="float32", autocast=False, **arguments
            )

        statistics = {"trainable": False, "aggregation": "mean"}
        self.gain = weight("gain", table, "ones")
        self.bias = weight("bias", table, "zeros")
        self.moving_mean = weight("moving_mean", (channels,), "zeros", **statistics)
        self.moving_variance = weight("moving_variance", (channels,), "ones", **statistics)
        self.updates = weight("updates", (), "zeros", **statistics)

    def call(self, inputs, labels=None, training=False, update_statistics=False):
        if training:
            mean, variance = self._batch_moments(inputs)
            if update_statistics:
                self._move(mean, variance)
        else:
            mean, variance = self.moving_mean.value, self.moving_variance.value
        gain, bias = self.gain.value, self.bias.value
        if self.classes:
            shape = (-1, *[1] * (len(inputs.shape) - 2), inputs.shape[-1])
            gain = tf.reshape(tf.gather(gain, labels), shape)
            bias = tf.reshape(tf.gather(bias, labels), shape)
        # As one multiplication and one addition a value: x * scale + shift.
        scale = gain * tf.math.rsqrt(variance + self.epsilon)
        shift = bias - mean * scale
        return inputs * tf.cast(scale, inputs.dtype) + tf.cast(shift, inputs.dtype)

    def _batch_moments(self, inputs):
        """Mean and biased variance of each channel, float32 (C,), of this batch or of all replicas'."""
        axes = list(range(len(inputs.shape) - 1))
        mean, variance = tf.nn.moments(tf.cast(inputs, tf.float32), axes)
        replica = tf.distribute.get_replica_context()
        if self.synchronized and replica is not None and replica.num_replicas_in_sync > 1:
            # Var = E[var_i] + Var[mean_i], in one reduction. Only the second part, the smaller one,
            # loses digits where means are large against deviations.
            local = tf.stack([mean, variance, tf.square(mean)])
            mean, within, mean_of_squares = tf.unstack(replica.all_reduce("MEAN", local))
            variance = within + tf.maximum(mean_of_squares - tf.square(mean), 0.0)
        return mean, variance

    def _move(self, mean, variance):
        n = self.updates.value
        momentum = tf.minimum(self.momentum, (1.0 + n) / (10.0 + n))
        for average, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.assign(momentum * average.value + (1.0 - momentum) * tf.stop_gradient(value))
        self.updates.assign(n + 1.0)

    def compute_output_shape(self, input_shape, *_, **__):
        return input_shape

    def get_config(self):
        return super().get_config() | {
            "classes": self.classes,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "synchronized": self.synchronized,
        }
