"""Nearest-neighbour upsampling and average pooling by a factor of 2."""

import tensorflow as tf

from sagan_tf.layers.custom_gradient import custom_gradient


@custom_gradient
def upsample(x):
    """Nearest-neighbour x2: (B, H, W, C) -> (B, 2H, 2W, C). H and W may be unknown."""
    channels = x.shape[3]
    height, width = (tf.shape(x)[axis] if x.shape[axis] is None else x.shape[axis] for axis in (1, 2))
    wide = tf.broadcast_to(x[:, :, None, :, None, :], (tf.shape(x)[0], height, 2, width, 2, channels))
    # TensorFlow's own gradient is a sum over two axes, which is slower than pooling.
    return tf.reshape(wide, (-1, 2 * height, 2 * width, channels)), lambda gradient: 4 * downsample(gradient)


def downsample(x):
    """2x2 average pooling: (B, H, W, C) -> (B, H/2, W/2, C)."""
    return tf.nn.avg_pool2d(x, 2, 2, "VALID")
