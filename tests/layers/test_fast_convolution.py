"""Resampling, and the fast forms of it with a convolution against the plain ones: values and gradients."""

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import SNConv2D, fast_convolution
from sagan_tf.layers import resampling as resamplings


def repeat(x):
    return tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2)


def average(x):
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def plain(x, kernel):
    return tf.nn.conv2d(x, kernel, 1, "SAME")


FORMS = {
    None: plain,
    "up": lambda x, kernel: plain(repeat(x), kernel),
    "down": lambda x, kernel: average(plain(x, kernel)),
}


def value_and_gradients(function, *inputs):
    inputs = [tf.constant(value) for value in inputs]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        output = function(*inputs)
        weights = np.random.default_rng(1).standard_normal(output.shape).astype(np.float32)
        total = tf.reduce_sum(weights * output)
    return [output, *tape.gradient(total, inputs)]


def assert_alike(ours, theirs, *inputs):
    for a, b in zip(value_and_gradients(ours, *inputs), value_and_gradients(theirs, *inputs), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def convolution(resampling, fast, size=3, filters=5):
    layer = SNConv2D(filters, size, resampling=resampling, fast=fast, spectral_norm=False)
    layer.build((None, None, None, 3))
    return layer.convolve


@pytest.mark.parametrize("height, width", [(4, 6), (6, 4), (8, 10), (10, 8)])
@pytest.mark.parametrize("resampling", FORMS)
@pytest.mark.parametrize("fast", [False, True])
def test_both_forms(fast, resampling, height, width):
    """On both sides of the height up to which the fast form is a product."""
    random = np.random.default_rng(0)
    x = random.standard_normal((2, height, width, 3)).astype(np.float32)
    kernel = random.standard_normal((3, 3, 3, 5)).astype(np.float32)
    assert_alike(convolution(resampling, fast), FORMS[resampling], x, kernel)


@pytest.mark.parametrize("size", [7, 11])
@pytest.mark.parametrize("resampling", FORMS)
def test_odd_maps(resampling, size):
    x, kernel = tf.random.stateless_normal((2, size, size, 3), (0, 1)), tf.ones((3, 3, 3, 5))
    slow, fast = (convolution(resampling, fast)(x, kernel) for fast in (False, True))
    assert slow.shape[1] == {"up": 2 * size, "down": size // 2, None: size}[resampling]
    np.testing.assert_allclose(fast, slow, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("resampling", ["up", "down"])
def test_the_layers_argument_alone_decides(resampling, monkeypatch):
    """The devices of the process do not."""
    called = []
    monkeypatch.setitem(fast_convolution.FAST_FORMS, resampling, lambda x, kernel: called.append(1) or x)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    for fast, calls in ((False, 0), (True, 1)):
        convolution(resampling, fast)(tf.zeros((1, 4, 4, 3)), tf.zeros((3, 3, 3, 5)))
        assert len(called) == calls


@pytest.mark.parametrize("ours, theirs", [(resamplings.upsample, repeat), (resamplings.downsample, average)])
def test_resampling_alone(ours, theirs):
    assert_alike(ours, theirs, np.random.default_rng(0).standard_normal((2, 4, 6, 3)).astype(np.float32))


@pytest.mark.parametrize("resampling, size, fast", [("up", 12, True), ("down", 3, True), ("down", 3, False)])
def test_layer(run_layer_test, resampling, size, fast):
    def make(dtype):
        return SNConv2D(5, resampling=resampling, fast=fast, name="layer", dtype=dtype)

    inputs = np.random.default_rng(0).standard_normal((2, 6, 6, 4)).astype(np.float32)
    assert make("float32")(inputs).shape == (2, size, size, 5)
    run_layer_test(make, (inputs,), {"kernel": (3, 3, 4, 5), "bias": (5,), "u": (1, 5)}, update_u=True)


def test_unknown_resampling_is_refused():
    for arguments in ({"resampling": "sideways"}, {"resampling": "up", "kernel_size": 1}):
        with pytest.raises(ValueError, match="resampling="):
            SNConv2D(5, **arguments)
