"""Prepared layers against the layers that they stand for, on both sides of each limit."""

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import SNConv2D, SNDense
from sagan_tf.serving.prepared import PreparedLayer


def assert_prepared_alike(layer, shape, prepared_shape):
    """Its output and the shape of the kernel that it stores."""
    random = np.random.default_rng(0)
    layer.build((None, *shape))
    for variable in layer.variables:
        variable.assign(random.standard_normal(variable.shape))
    kernels = []
    prepared = PreparedLayer(layer, lambda kernel: kernels.append(tf.Variable(kernel)) or kernels[0])
    x = random.standard_normal((2, *shape)).astype(np.float32)
    np.testing.assert_allclose(prepared(x), layer(x), rtol=1e-4, atol=1e-4)
    assert kernels[0].shape == prepared_shape


FAST = [
    (4, None, 3, 5, (3, 3, 3, 5)),
    (8, None, 3, 3, (4, 4, 3, 12)),
    (10, None, 3, 3, (4, 4, 3, 12)),
    (5, None, 3, 3, (3, 3, 3, 3)),
    (10, None, 3, 5, (3, 3, 3, 5)),
    (8, None, 1, 5, (1, 1, 3, 5)),
    (10, None, 1, 5, (1, 1, 3, 5)),
    (8, "up", 3, 5, (3, 3, 5, 3)),
    (10, "up", 3, 5, (3, 3, 5, 3)),
]


@pytest.mark.parametrize(("height", "resampling", "size", "filters", "prepared"), FAST)
def test_convolutions(height, resampling, size, filters, prepared):
    layer = SNConv2D(filters, size, resampling, spectral_norm=False, fast=True)
    assert_prepared_alike(layer, (height, height, 3), prepared)


@pytest.mark.parametrize("resampling", [None, "up", "down"])
def test_plain_convolutions_keep_their_kernel(resampling):
    layer = SNConv2D(3, resampling=resampling, spectral_norm=False)
    assert_prepared_alike(layer, (8, 8, 3), (3, 3, 3, 3))


@pytest.mark.parametrize("use_bias", [False, True])
def test_dense_layers(use_bias):
    assert_prepared_alike(SNDense(5, use_bias, spectral_norm=False), (4, 3), (3, 5))
