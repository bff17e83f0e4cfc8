"""Pixels, uint8 in [0, 255], and what networks take and give, float32 in [-1, 1]: one pair for tensors.

`sagan_tf.pictures` has the same pair for arrays; a test holds them to each other.
"""

import tensorflow as tf


def from_uint8(pixels):
    """uint8 in [0, 255] -> float32 in [-1, 1], as the original: x * (2 / 255) - 1."""
    return tf.cast(pixels, tf.float32) * (2.0 / 255.0) - 1.0


@tf.function(reduce_retracing=True)
def to_uint8(images):
    """float in [-1, 1] -> uint8 in [0, 255], rounded; the inverse of `from_uint8`."""
    return tf.cast(
        tf.clip_by_value(tf.round((tf.cast(images, tf.float32) + 1.0) * 127.5), 0.0, 255.0), tf.uint8
    )
