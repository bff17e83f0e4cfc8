"""The bias of a layer, with a gradient that is right in bfloat16."""

import tensorflow as tf

from sagan_tf.layers.custom_gradient import custom_gradient


def add_bias(x, bias):
    """x + bias: (B, ..., C) and float32 (C,) -> the shape and dtype of x; the gradient of bias is float32.

    TensorFlow's own gradient sums bfloat16 in bfloat16 on a CPU. That sum stalls after about 256 addends.
    """
    return _add_bias(x, tf.convert_to_tensor(bias))  # a function with a custom gradient may read no variable


@custom_gradient
def _add_bias(x, bias):

    def gradient(upstream):
        total = upstream
        if len(x.shape) > 2:
            # Along one axis in the dtype of x: `reduce_sum` adds in float32 and rounds the result. This
            # leaves little to cast. In float32 too, two short sums lose less than a long one.
            total = tf.reduce_sum(total, axis=1)
        axes = list(range(len(total.shape) - 1))
        return upstream, tf.reduce_sum(tf.cast(total, bias.dtype), axis=axes)

    return tf.nn.bias_add(x, tf.cast(bias, x.dtype)), gradient
