"""BigGAN's conditional batch norm against NumPy: gains and biases projected from a vector."""

import numpy as np
import pytest

from sagan_tf.layers import LinearConditionalBatchNormalization

SHAPE, SIZE = (4, 3, 2, 5), 6


def inputs_of(shape=SHAPE):
    random = np.random.default_rng(0)
    channels = np.arange(shape[-1])
    x = (channels - 1 + (channels + 0.5) * random.standard_normal(shape)).astype(np.float32)
    return x, random.standard_normal((shape[0], SIZE)).astype(np.float32)


def kernel_of(projection, spectral_norm):
    """W / sigma after one power iteration from u."""
    kernel = projection.kernel.numpy().astype(np.float64)
    if not spectral_norm:
        return kernel
    v = projection.u.numpy().astype(np.float64) @ kernel.T
    return kernel / np.linalg.norm(v / np.linalg.norm(v) @ kernel)


def oracle(x, condition, layer, mean, variance):
    """Row by row: (1 + A c) * (x - mean) / sqrt(variance + epsilon) + B c."""
    gain, bias = (kernel_of(projection, layer.spectral_norm) for projection in (layer.gain, layer.bias))
    normalized = (x.astype(np.float64) - mean) / np.sqrt(variance + 1e-5)
    return np.stack([(1 + c @ gain) * row + c @ bias for row, c in zip(normalized, condition, strict=True)])


@pytest.mark.parametrize("spectral_norm", [True, False])
@pytest.mark.parametrize("shape", [SHAPE, (4, 5)])
def test_training_and_inference(shape, spectral_norm):
    (x, condition), layer = inputs_of(shape), LinearConditionalBatchNormalization(SIZE, spectral_norm)
    layer.build(shape)
    rows = x.reshape(-1, shape[-1]).astype(np.float64)
    expected = oracle(x, condition, layer, rows.mean(axis=0), rows.var(axis=0))
    np.testing.assert_allclose(layer(x, condition, training=True), expected, rtol=1e-4, atol=1e-4)
    mean, variance = np.linspace(-2, 2, shape[-1]), np.linspace(0.1, 3, shape[-1])
    layer.moving_mean.assign(mean)
    layer.moving_variance.assign(variance)
    expected = oracle(x, condition, layer, mean, variance)
    np.testing.assert_allclose(layer(x, condition), expected, rtol=1e-4, atol=1e-4)


def test_a_condition_of_zeros_is_gain_1_and_bias_0():
    (x, condition), layer = inputs_of(), LinearConditionalBatchNormalization(SIZE)
    outputs = layer(x, np.zeros_like(condition), training=True).numpy()
    np.testing.assert_allclose(outputs.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(outputs.std(axis=(0, 1, 2)), 1, atol=1e-3)


def test_gains_and_biases_are_not_one_draw():
    layer = LinearConditionalBatchNormalization(SIZE)
    layer.build(SHAPE)
    assert np.abs(layer.gain.kernel - layer.bias.kernel).max() > 0.01


def test_layer_contract(run_layer_test):
    weights = {"gain/kernel": (SIZE, 5), "bias/kernel": (SIZE, 5)}
    weights |= {"moving_mean": (5,), "moving_variance": (5,), "updates": ()}
    weights |= {"gain/u": (1, 5), "bias/u": (1, 5)}

    def make(dtype):
        return LinearConditionalBatchNormalization(SIZE, kernel_initializer="he_normal", dtype=dtype)

    run_layer_test(make, inputs_of(), weights, training=True)
