"""Batch normalization whose gain and bias depend on the class (Dumoulin et al. 2017; SAGAN's generator).

Or on a vector, as in BigGAN's (Brock et al. 2019).

Every training pass moves the moving averages, as in `keras.layers.BatchNormalization`: each pass has a batch
of its own. A frozen layer (`trainable=False`) is at inference, also in training. `update_statistics`
says for one pass whether they move. The training step of this project does so in every pass.
"""

import keras
import tensorflow as tf

from sagan_tf.layers.checks import check_input_shape, checked_labels
from sagan_tf.layers.spectral_normalization import SNDense


class _BatchNormalization(keras.layers.Layer):
    """y = gain * (x - mean) / sqrt(variance + epsilon) + bias; its subclasses give gain and bias.

    In training, mean and variance are those of the batch (over all positions and, with
    `synchronized`, all replicas); at inference they are moving averages, so that a sample does not
    depend on its batch. The variance is the biased one, as in the original code. Moments, the moving
    averages and all arithmetic are float32 whatever the policy; the result has the dtype of the inputs.

    The moving averages forget their initial 0 and 1 within the first few updates: update n = 0, 1, ...
    uses the momentum min(momentum, (1 + n) / (10 + n)). The original's momentum is constant, which is
    the same after some thousand steps.
    """

    def __init__(self, momentum: float, epsilon: float, synchronized: bool, **layer_arguments):
        super().__init__(**layer_arguments)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum={momentum}: must be in [0, 1)")
        self.momentum = momentum
        self.epsilon = epsilon
        self.synchronized = synchronized

    def _add_float32(self, name: str, shape, initializer, **arguments):
        return self.add_weight(
            name=name, shape=shape, initializer=initializer, dtype="float32", autocast=False, **arguments
        )

    def _add_statistics(self, channels: int) -> None:
        statistics = {"trainable": False, "aggregation": "mean"}
        self.moving_mean = self._add_float32("moving_mean", (channels,), "zeros", **statistics)
        self.moving_variance = self._add_float32("moving_variance", (channels,), "ones", **statistics)
        self.updates = self._add_float32("updates", (), "zeros", **statistics)

    def _normalize(self, inputs, gain, bias, training: bool | None, update_statistics: bool | None):
        """gain, bias: float32, (C,) or one a row, (B, C)."""
        if training and (self.trainable or update_statistics):
            mean, variance = self._batch_moments(inputs)
            if update_statistics is None or update_statistics:
                self._move(mean, variance)
        else:
            mean, variance = self.moving_mean.value, self.moving_variance.value
        if len(gain.shape) == 2:
            shape = (-1, *[1] * (len(inputs.shape) - 2), inputs.shape[-1])
            gain, bias = tf.reshape(gain, shape), tf.reshape(bias, shape)
        # As one multiplication and one addition a value. The two terms cancel where means are large against
        # deviations, so they are float32, and only their sum is rounded.
        scale = gain * tf.math.rsqrt(variance + self.epsilon)
        shift = bias - mean * scale
        return tf.cast(tf.cast(inputs, tf.float32) * scale + shift, inputs.dtype)

    def _batch_moments(self, inputs):
        """Mean and biased variance of each channel, float32 (C,), of this batch or of all replicas'."""
        axes = list(range(len(inputs.shape) - 1))
        mean, variance = tf.nn.moments(tf.cast(inputs, tf.float32), axes)
        replica = tf.distribute.get_replica_context()
        if self.synchronized and replica is not None and replica.num_replicas_in_sync > 1:
            # Var = E[var_i] + Var[mean_i], in one reduction. Only the second part, the smaller one,
            # loses digits where means are large against deviations. The replicas count by their examples:
            # the last batch of a dataset leaves some with fewer, or none, whose moments are NaN.
            count = tf.cast(tf.shape(inputs)[0], tf.float32)
            local = tf.math.multiply_no_nan(tf.concat([mean, variance, tf.square(mean)], 0), count)
            sums = replica.all_reduce("SUM", tf.concat([local, [count]], 0))
            mean, within, mean_of_squares = tf.split(sums[:-1] / sums[-1], 3)
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
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "synchronized": self.synchronized,
        }


@keras.saving.register_keras_serializable("sagan_tf")
class ConditionalBatchNormalization(_BatchNormalization):
    """y = gain[label] * (x - mean) / sqrt(variance + epsilon) + bias[label].

    In training, mean and variance are those of the batch; at inference they are moving averages. They are
    float32 whatever the policy. The averages forget their initial 0 and 1 in the first few updates, see
    `_BatchNormalization`.

    Args:
      classes: rows of the tables of gains and biases; 0 for one gain and bias (no labels).
      momentum: decay of the moving averages, in [0, 1); the original's is 0.999, in its last layer 0.9999.
      epsilon: added to the variance.
      synchronized: whether training statistics are those of all replicas' batches together. The
        original's are per replica.

    Call arguments:
      inputs: (B, ..., C).
      labels: int32 (B,), in [0, classes); None where `classes` is 0.
      training: whether to normalize by the batch's statistics; set by Keras.
      update_statistics: whether a training pass moves the moving averages; None: it does, unless the layer
        is frozen. See the module's docstring.

    Returns: the shape and dtype of `inputs`.

    Raises:
      ValueError: the channels are unknown, momentum is out of range, or a label is, where labels are known
        before the layer runs (see `checked_labels`).

    >>> layer = ConditionalBatchNormalization(10)
    >>> layer(np.ones((2, 4, 4, 3), "float32"), np.array([7, 0]), training=True).shape
    TensorShape([2, 4, 4, 3])
    """

    def __init__(
        self,
        classes: int,
        momentum: float = 0.999,
        epsilon: float = 1e-5,
        synchronized: bool = False,
        **layer_arguments,
    ):
        super().__init__(momentum, epsilon, synchronized, **layer_arguments)
        self.classes = classes

    def build(self, input_shape):
        check_input_shape(self, input_shape, range(2, 9), "(batch, ..., channels), the channels known")
        channels = input_shape[-1]
        self.input_spec = keras.layers.InputSpec(axes={-1: channels})
        table = (self.classes, channels) if self.classes else (channels,)
        self.gain = self._add_float32("gain", table, "ones")
        self.bias = self._add_float32("bias", table, "zeros")
        self._add_statistics(channels)

    def call(
        self,
        inputs,
        labels=None,
        training: bool | None = None,
        update_statistics: bool | None = None,
    ) -> tf.Tensor:
        gain, bias = self.gain.value, self.bias.value
        if self.classes:
            labels = checked_labels(labels, self.classes)
            if labels.shape.rank not in (1, None):
                raise ValueError(f"labels of shape {tuple(labels.shape)}: must be (batch,)")
            gain, bias = tf.gather(gain, labels), tf.gather(bias, labels)
        return self._normalize(inputs, gain, bias, training, update_statistics)

    def get_config(self):
        return super().get_config() | {"classes": self.classes}


@keras.saving.register_keras_serializable("sagan_tf")
class LinearConditionalBatchNormalization(_BatchNormalization):
    """y = (1 + A c) * (x - mean) / sqrt(variance + epsilon) + B c, c being a vector.

    BigGAN's (Brock et al. 2019, section 3 and appendix B): c, a class embedding, a part of z, or both, is
    linearly projected to gains, which are centred at 1, and biases. That A and B have no biases and
    are spectrally normalized is taken from its author's code (BigGAN-PyTorch). They are float32
    whatever the policy. For mean and variance see `ConditionalBatchNormalization`.

    Args:
      condition_size: length of c.
      spectral_norm, kernel_initializer: of A and B.
      momentum, epsilon, synchronized: as of `ConditionalBatchNormalization`.

    Call arguments:
      inputs: (B, ..., C).
      condition: float (B, condition_size).
      training: whether to normalize by the batch's statistics; set by Keras.
      update_statistics: whether this pass stores the new u of A and B and, with `training`, moves the
        moving averages; None: in training passes, unless the layer is frozen.

    Returns: the shape and dtype of `inputs`.

    Raises:
      ValueError: the channels are unknown, or momentum is out of range.

    >>> layer = LinearConditionalBatchNormalization(condition_size=5)
    >>> layer(np.ones((2, 4, 4, 3), "float32"), np.ones((2, 5), "float32"), training=True).shape
    TensorShape([2, 4, 4, 3])
    """

    def __init__(
        self,
        condition_size: int,
        spectral_norm: bool = True,
        kernel_initializer="glorot_uniform",
        momentum: float = 0.999,
        epsilon: float = 1e-5,
        synchronized: bool = False,
        **layer_arguments,
    ):
        super().__init__(momentum, epsilon, synchronized, **layer_arguments)
        self.condition_size = condition_size
        self.spectral_norm = spectral_norm
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, inputs_shape, condition_shape=None):
        check_input_shape(self, inputs_shape, range(2, 9), "(batch, ..., channels), the channels known")
        self.input_spec = keras.layers.InputSpec(axes={-1: inputs_shape[-1]})
        if condition_shape is not None and tuple(condition_shape[1:]) != (self.condition_size,):
            raise ValueError(
                f"{self.name}: condition of shape {tuple(condition_shape)}:"
                f" must be (batch, {self.condition_size})"
            )
        self.gain, self.bias = (self._projection(inputs_shape[-1], name) for name in ("gain", "bias"))
        self._add_statistics(inputs_shape[-1])

    def _projection(self, channels: int, name: str) -> SNDense:
        layer = SNDense(
            channels,
            use_bias=False,
            spectral_norm=self.spectral_norm,
            kernel_initializer=self.kernel_initializer.clone(),
            name=name,
            dtype="float32",
            trainable=self.trainable,
        )
        layer.build((None, self.condition_size))
        return layer

    def call(
        self,
        inputs,
        condition,
        training: bool | None = None,
        update_statistics: bool | None = None,
    ) -> tf.Tensor:
        condition = tf.cast(condition, tf.float32)
        moving = {"update_u": update_statistics, "training": training}
        gain = 1.0 + self.gain(condition, **moving)  # (B, C)
        bias = self.bias(condition, **moving)
        return self._normalize(inputs, gain, bias, training, update_statistics)

    def get_config(self):
        return super().get_config() | {
            "condition_size": self.condition_size,
            "spectral_norm": self.spectral_norm,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
