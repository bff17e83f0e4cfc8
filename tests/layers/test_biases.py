"""The bias and its gradients, against sums in float64 and the plain sum's second derivatives."""

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import SNConv2D, SNDense
from sagan_tf.layers.biases import add_bias


def positions(channels=2):
    """A gradient of one sign at 16,384 positions: a sum that stalls in bfloat16."""
    values = np.random.default_rng(0).uniform(0.5, 1.5, (4, 64, 64, channels))
    return tf.cast(values, tf.bfloat16)


def off(found, expected):
    expected = np.asarray(expected, np.float64)
    return np.linalg.norm(np.asarray(found, np.float64) - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("shape", [(16384, 2), (256, 64, 2), (4, 64, 64, 2), (4, 16, 16, 16, 2)])
def test_bfloat16_gradient_is_summed_in_float32(shape):
    upstream, bias = tf.reshape(positions(), shape), tf.constant([0.5, -3.0])
    x = 2 * upstream
    with tf.GradientTape() as tape:
        tape.watch([x, bias])
        y = add_bias(x, bias)
    of_x, of_bias = tape.gradient(y, [x, bias], upstream)
    np.testing.assert_array_equal(y, x + tf.cast(bias, tf.bfloat16))
    np.testing.assert_array_equal(of_x, upstream)
    assert (y.dtype, of_bias.dtype) == (tf.bfloat16, tf.float32)
    assert off(of_bias, upstream.numpy().astype(np.float64).reshape(-1, 2).sum(axis=0)) < 1e-3


@pytest.mark.parametrize(
    "make", [lambda **policy: SNConv2D(2, 1, **policy), lambda **policy: SNDense(2, **policy)]
)
def test_layers_have_the_bias_gradient_of_float32(make):
    upstream = positions()
    layer = make(dtype="mixed_bfloat16")
    layer.build(upstream.shape)
    with tf.GradientTape() as tape:
        outputs = layer(upstream)
    gradient = tape.gradient(outputs, layer.bias.value, upstream)
    assert gradient.dtype == tf.float32
    assert off(gradient, upstream.numpy().astype(np.float64).sum(axis=(0, 1, 2))) < 1e-3


@pytest.mark.parametrize("compiled", [False, True])
def test_second_derivatives_equal_those_of_the_plain_sum(compiled):
    """As gradient penalties of D need them."""
    random = np.random.default_rng(0)
    x, weights, bias = (
        tf.constant(random.standard_normal(s), tf.float32) for s in ((2, 3, 3, 2), (2,), (2,))
    )

    def second(add):
        def gradients():
            with tf.GradientTape() as outer:
                outer.watch([x, bias])
                with tf.GradientTape() as inner:
                    inner.watch([x, bias])
                    y = tf.tanh(add(x, bias)) ** 3
                of_x, of_bias = inner.gradient(y, [x, bias])
                total = tf.reduce_sum(of_x**2) + tf.reduce_sum(weights * of_bias**2)
            return outer.gradient(total, [x, bias])

        return (tf.function(gradients) if compiled else gradients)()

    for ours, expected in zip(second(add_bias), second(tf.add), strict=True):
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def test_a_variable_of_several_replicas_is_a_bias_without_graphs(eagerly):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice())
    with strategy.scope():
        layer = SNDense(2)
        layer.build((None, 3))
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(layer(np.ones((4, 3), np.float32)))
    np.testing.assert_array_equal(tape.gradient(total, layer.bias.value), [4, 4])
