"""Functions whose gradient is written out."""

import tensorflow as tf


def custom_gradient(function):
    """`tf.custom_gradient`, without its leak.

    TensorFlow registers the gradient of every traced call for ever, and with it the whole graph around the
    call. Here the call is a function of its own: traced, and kept, once for each shape and dtype.
    """
    return tf.function(tf.custom_gradient(function), autograph=False)
