"""Functions whose gradient is written out."""

import functools

import tensorflow as tf


def custom_gradient(function):
    """`tf.custom_gradient`, without its leak.

    TensorFlow registers the gradient of every traced call for ever, and with it the whole graph around the
    call. So within a graph the call is a function of its own: traced, and kept, once for each shape and
    dtype. Eager calls leave nothing behind. They are made directly: TensorFlow warns of a function that is
    traced for many shapes.
    """
    direct = tf.custom_gradient(function)
    traced = tf.function(direct, autograph=False)

    @functools.wraps(function)
    def call(*tensors):
        return (direct if tf.executing_eagerly() else traced)(*tensors)

    return call
