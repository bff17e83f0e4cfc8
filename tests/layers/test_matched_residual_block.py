"""The residual block in attention's place: NumPy, and its parameters against those of real layers."""

import numpy as np
import pytest

from sagan_tf.layers import MatchedResidualBlock, SelfAttention
from sagan_tf.layers.matched_residual_block import matched_hidden_channels


def inputs_of(channels=24, size=3):
    return np.random.default_rng(0).standard_normal((2, size, size + 1, channels)).astype(np.float32)


def kernel_of(layer):
    """W / sigma after one power iteration from u, as a list of rows and columns of matrices (C_in, C_out)."""
    kernel, u = layer.kernel.numpy().astype(np.float64), layer.u.numpy().astype(np.float64)
    matrix = kernel.reshape(-1, kernel.shape[-1])
    v = u @ matrix.T
    v /= np.linalg.norm(v)
    return kernel / np.linalg.norm(v @ matrix)


def convolution(x, layer):
    """3x3, zeros around, position by position."""
    kernel, padded = kernel_of(layer), np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    outputs = np.zeros((*x.shape[:-1], kernel.shape[-1])) + layer.bias.numpy()
    for row, column in np.ndindex(3, 3):
        part = padded[:, row : row + x.shape[1], column : column + x.shape[2]]
        outputs += part @ kernel[row, column]
    return outputs


def test_against_numpy():
    inputs, layer = inputs_of(), MatchedResidualBlock(key_ratio=1)
    layer.build(inputs.shape)
    assert layer.conv_1.filters == 4
    for conv in (layer.conv_1, layer.conv_2):
        conv.bias.assign(np.random.default_rng(1).standard_normal(conv.bias.shape))
    hidden = convolution(np.maximum(inputs, 0), layer.conv_1)
    expected = inputs + convolution(np.maximum(hidden, 0), layer.conv_2)
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("channels", "key_ratio"), [(1, 8), (4, 8), (24, 1), (64, 8), (100, 4), (256, 8)])
def test_no_other_width_is_nearer_to_the_attention(channels, key_ratio):
    """Counted on the variables of layers that are built."""

    def parameters(layer):
        layer.build((None, 4, 4, channels))
        return sum(variable.value.shape.num_elements() for variable in layer.trainable_variables)

    wanted = parameters(SelfAttention("original", min(key_ratio, channels)))
    block = MatchedResidualBlock(key_ratio)
    found, hidden = parameters(block), block.conv_1.filters
    widening = 9 * channels + 1 + 9 * channels  # a filter more: its kernel and bias, and its part of the next
    assert found == hidden * widening + channels
    assert abs(found - wanted) <= abs(found + widening - wanted)
    assert hidden == 1 or abs(found - wanted) <= abs(found - widening - wanted)


def test_the_papers_size():
    """256 channels, k = 8: 81,921 parameters of the attention; 17.7 hidden channels would match them."""
    assert matched_hidden_channels(256, 8) == 18
    block = MatchedResidualBlock()
    block.build((None, 32, 32, 256))
    assert block.count_params() - 18 - 256 == 83_218  # less u


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="key_ratio=0: must be at least 1"):
        MatchedResidualBlock(0)


@pytest.mark.parametrize("spectral_norm", [True, False])
def test_layer_contract(run_layer_test, spectral_norm):
    weights = {
        "conv_1/kernel": (3, 3, 24, 4),
        "conv_1/bias": (4,),
        "conv_2/kernel": (3, 3, 4, 24),
        "conv_2/bias": (24,),
    }
    if spectral_norm:
        weights |= {"conv_1/u": (1, 4), "conv_2/u": (1, 24)}

    def make(dtype):
        return MatchedResidualBlock(1, spectral_norm, "he_normal", dtype=dtype)

    run_layer_test(make, (inputs_of(),), weights)
