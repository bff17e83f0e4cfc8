"""The joined forms against layers one after the other: values and gradients, on both sides of each limit."""

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import SNConv2D, resampling


def repeat(x):
    return tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2)


def average(x):
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def plain(x, kernel):
    return tf.nn.conv2d(x, kernel, 1, "SAME")


FORMS = {
    "convolve": (resampling.convolve, plain),
    "up": (resampling.upsample_convolve, lambda x, kernel: plain(repeat(x), kernel)),
    "down": (resampling.convolve_downsample, lambda x, kernel: average(plain(x, kernel))),
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


@pytest.mark.parametrize("height, width", [(4, 6), (6, 4), (8, 10), (10, 8)])
@pytest.mark.parametrize("form", FORMS)
def test_joined_forms(form, height, width, monkeypatch):
    random = np.random.default_rng(0)
    x = random.standard_normal((2, height, width, 3)).astype(np.float32)
    kernel = random.standard_normal((3, 3, 3, 5)).astype(np.float32)
    ours, theirs = FORMS[form]
    assert_alike(ours, theirs, x, kernel)
    monkeypatch.setattr(resampling, "is_joined", lambda: False)
    assert_alike(ours, theirs, x, kernel)


@pytest.mark.parametrize("height, width", [(4, 6), (8, 10), (10, 8)])
@pytest.mark.parametrize(
    "form, size, filters", [(None, 3, 5), (None, 3, 3), (None, 1, 5), ("up", 3, 5), ("up", 3, 3)]
)
def test_prepared_forms(form, size, filters, height, width, monkeypatch):
    random = np.random.default_rng(0)
    x = random.standard_normal((2, height, width, 3)).astype(np.float32)
    kernel = random.standard_normal((size, size, 3, filters)).astype(np.float32)

    def ours(x, kernel):
        return resampling.convolve_prepared(x, resampling.prepare(kernel, form, height), form)

    theirs = FORMS["up" if form else "convolve"][1]
    assert_alike(ours, theirs, x, kernel)
    monkeypatch.setattr(resampling, "is_joined", lambda: False)
    assert resampling.prepare(kernel, form, height) is kernel
    assert_alike(ours, theirs, x, kernel)


@pytest.mark.parametrize("ours, theirs", [(resampling.upsample, repeat), (resampling.downsample, average)])
def test_resampling_alone(ours, theirs):
    assert_alike(ours, theirs, np.random.default_rng(0).standard_normal((2, 4, 6, 3)).astype(np.float32))


@pytest.mark.parametrize("resampling, size", [("up", 12), ("down", 3)])
def test_layer(run_layer_test, resampling, size):
    def make(dtype):
        return SNConv2D(5, resampling=resampling, name="layer", dtype=dtype)

    inputs = np.random.default_rng(0).standard_normal((2, 6, 6, 4)).astype(np.float32)
    assert make("float32")(inputs).shape == (2, size, size, 5)
    run_layer_test(make, (inputs,), {"kernel": (3, 3, 4, 5), "bias": (5,), "u": (1, 5)}, update_u=True)


def test_unknown_resampling_is_refused():
    for arguments in ({"resampling": "sideways"}, {"resampling": "up", "kernel_size": 1}):
        with pytest.raises(ValueError, match="resampling="):
            SNConv2D(5, **arguments)
