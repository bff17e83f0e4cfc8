"""The control of SAGAN's table 1: a residual block with as many parameters as the attention it replaces."""

import keras
import tensorflow as tf

from sagan_tf.layers.checks import check_input_shape
from sagan_tf.layers.spectral_normalization import SNConv2D


def attention_parameters(channels: int, key_ratio: int) -> int:
    """Trainable parameters of `SelfAttention` with form "original": query, key, value, projection, gamma."""
    keys, values = max(1, channels // key_ratio), max(1, channels // 2)
    return 2 * channels * keys + 2 * channels * values + 1


def residual_parameters(channels: int, hidden: int) -> int:
    """Trainable parameters of a residual block: two 3x3 convolutions, C -> hidden -> C, with their biases."""
    return (9 * channels * hidden + hidden) + (9 * hidden * channels + channels)


def matched_hidden_channels(channels: int, key_ratio: int) -> int:
    """Hidden channels, at least 1, with which the block has nearly as many parameters as the attention.

    If two are equally near, the narrower one.

    Args:
      channels: of the feature map.
      key_ratio: of the attention, whose form is "original".
    """
    wanted = attention_parameters(channels, key_ratio)
    per_channel = residual_parameters(channels, 1) - residual_parameters(channels, 0)
    below = max(1, (wanted - residual_parameters(channels, 0)) // per_channel)
    return min(below, below + 1, key=lambda hidden: abs(residual_parameters(channels, hidden) - wanted))


@keras.saving.register_keras_serializable("sagan_tf")
class MatchedResidualBlock(keras.layers.Layer):
    """y = x + conv(ReLU(conv(ReLU(x)))), with nearly as many parameters as a `SelfAttention` layer.

    SAGAN's table 1 compares attention with 'a residual block with the same number of parameters', and does
    not say what is in the block. This one has two 3x3 convolutions C -> h -> C, spectrally normalized, with
    biases, without norms and without gamma; h is `matched_hidden_channels`.

    Args:
      key_ratio: of the attention, of form "original", whose parameters are counted.
      spectral_norm: whether the convolutions are spectrally normalized.
      kernel_initializer: of the convolutions.

    Call arguments:
      inputs: (B, H, W, C).
      update_u: whether this pass stores the new u of the convolutions; None: in training, see the
        docstring of `sagan_tf.layers.spectral_normalization`.
      training: set by Keras.

    Returns: the shape and dtype of `inputs`.

    Raises:
      ValueError: key_ratio is less than 1, or the input has another rank.

    >>> MatchedResidualBlock()(np.ones((1, 4, 4, 16), "float32")).shape
    TensorShape([1, 4, 4, 16])
    """

    def __init__(
        self,
        key_ratio: int = 8,
        spectral_norm: bool = True,
        kernel_initializer="glorot_uniform",
        **layer_arguments,
    ):
        super().__init__(**layer_arguments)
        if key_ratio < 1:
            raise ValueError(f"key_ratio={key_ratio}: must be at least 1")
        self.key_ratio = key_ratio
        self.spectral_norm = spectral_norm
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        meaning = "(batch, height, width, channels), the channels known"
        check_input_shape(self, input_shape, (4,), meaning)
        channels = input_shape[-1]
        hidden = matched_hidden_channels(channels, self.key_ratio)
        self.conv_1 = self._convolution(hidden, "conv_1", input_shape)
        self.conv_2 = self._convolution(channels, "conv_2", (*input_shape[:-1], hidden))

    def _convolution(self, filters: int, name: str, input_shape) -> SNConv2D:
        layer = SNConv2D(
            filters,
            spectral_norm=self.spectral_norm,
            kernel_initializer=self.kernel_initializer.clone(),
            name=name,
            dtype=self.dtype_policy,
            trainable=self.trainable,
        )
        layer.build(input_shape)
        return layer

    def call(self, inputs, update_u: bool | None = None, training: bool | None = None) -> tf.Tensor:
        moving = {"update_u": update_u, "training": training}
        # tf.maximum is ReLU here. A graph optimizer would fuse tf.nn.relu with the sum that made `inputs`,
        # which is needed a second time below, and fail with an error message.
        x = self.conv_1(tf.maximum(inputs, tf.zeros((), inputs.dtype)), **moving)
        return self.conv_2(tf.nn.relu(x), **moving) + inputs

    def compute_output_shape(self, input_shape, **_):
        return input_shape

    def get_config(self):
        return super().get_config() | {
            "key_ratio": self.key_ratio,
            "spectral_norm": self.spectral_norm,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
