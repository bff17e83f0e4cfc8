"""The residual blocks of the two networks (SAGAN and its original code; Miyato and Koyama 2018)."""

import keras
import tensorflow as tf

from sagan_tf.layers.resampling import downsample, upsample


class UpBlock(keras.layers.Layer):
    """Residual block of the generator: cBN, ReLU, x2, conv3x3; cBN, ReLU, conv3x3; shortcut x2, conv1x1.

    The 1x1 convolution of the shortcut runs before the upsampling, which is the same function at a
    quarter of the work. `conv` and `norm` are factories of the two kinds of layer.

    (B, H, W, C), and what the norms depend on (labels or vectors) -> (B, 2H, 2W, filters).
    """

    def __init__(self, filters: int, conv, norm, **layer_arguments):
        super().__init__(**layer_arguments)
        self.norm_1, self.norm_2 = norm(name="norm_1"), norm(name="norm_2")
        self.conv_1, self.conv_2 = conv(filters, resampling="up", name="conv_1"), conv(filters, name="conv_2")
        self.shortcut = conv(filters, 1, name="shortcut")

    def build(self, input_shape):
        wide = (*input_shape[:-1], self.conv_1.filters)
        for layer, shape in (
            (self.norm_1, input_shape),
            (self.conv_1, input_shape),
            (self.norm_2, wide),
            (self.conv_2, wide),
            (self.shortcut, input_shape),
        ):
            layer.build(shape)

    def call(self, inputs, condition=None, training=False, update_state=None):
        statistics = {"training": training, "update_statistics": update_state}
        x = tf.nn.relu(self.norm_1(inputs, condition, **statistics))
        x = self.conv_1(x, update_u=update_state)
        x = tf.nn.relu(self.norm_2(x, condition, **statistics))
        x = self.conv_2(x, update_u=update_state)
        return x + upsample(self.shortcut(inputs, update_u=update_state))


class DownBlock(keras.layers.Layer):
    """Residual block of the discriminator: ReLU, conv3x3, ReLU, conv3x3, pool; shortcut pool, conv1x1.

    Pooling before the shortcut's 1x1 convolution is the same function as after it, as most of the
    original's blocks have it, at a quarter of the work. The first block has no ReLU on its input; a
    block that does not downsample has no pooling, and no shortcut convolution if its width stays.
    With `activated_shortcut` the shortcut too starts from the input after the ReLU.

    (B, H, W, C) -> (B, H/2, W/2, filters).
    """

    def __init__(
        self, filters: int, conv, first: bool, downsampling: bool, activated_shortcut=False, **arguments
    ):
        super().__init__(**arguments)
        self.activated_shortcut = activated_shortcut
        self.first = first
        self.downsampling = downsampling
        self.conv_1 = conv(filters, name="conv_1")
        self.conv_2 = conv(filters, resampling="down" if downsampling else None, name="conv_2")
        self.shortcut = conv(filters, 1, name="shortcut")

    def build(self, input_shape):
        filters = self.conv_1.filters
        self.conv_1.build(input_shape)
        self.conv_2.build((*input_shape[:-1], filters))
        if self.downsampling or input_shape[-1] != filters:
            self.shortcut.build(input_shape)
        else:
            self.shortcut = None

    def call(self, inputs, update_u=None):
        x = inputs if self.first else tf.nn.relu(inputs)
        residual = x if self.activated_shortcut else inputs
        residual = downsample(residual) if self.downsampling else residual
        x = tf.nn.relu(self.conv_1(x, update_u=update_u))
        x = self.conv_2(x, update_u=update_u)
        if self.shortcut is not None:
            residual = self.shortcut(residual, update_u=update_u)
        return x + residual
