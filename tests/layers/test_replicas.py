"""Every public layer under MirroredStrategy on two CPUs, in `fit`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf import layers
from tests.layers.conftest import assert_sigma_is_the_largest_singular_value, fitted

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.standard_normal((4, 4, 4, 8)).astype(np.float32)
LABELS = np.array([2, 0, 1, 2], np.int32)
CONDITIONS = RANDOM.standard_normal((4, 3)).astype(np.float32)
KINDS = {
    "SNDense": (lambda: layers.SNDense(3), (IMAGES,)),
    "SNConv2D": (lambda: layers.SNConv2D(3), (IMAGES,)),
    "SNEmbedding": (lambda: layers.SNEmbedding(3, 4), (LABELS,)),
    "SpectralNorm": (lambda: layers.SpectralNorm(keras.layers.Conv2D(3, 3)), (IMAGES,)),
    "SelfAttention": (lambda: layers.SelfAttention(), (IMAGES,)),
    "MatchedResidualBlock": (lambda: layers.MatchedResidualBlock(), (IMAGES,)),
    "ConditionalBatchNormalization": (
        lambda: layers.ConditionalBatchNormalization(3, synchronized=True),
        (IMAGES, LABELS),
    ),
    "LinearConditionalBatchNormalization": (
        lambda: layers.LinearConditionalBatchNormalization(3, synchronized=True),
        (IMAGES, CONDITIONS),
    ),
}


def test_they_are_all_public_layers():
    tables = {"ATTENTION_FORMS", "SpectrallyNormalized"}  # a table and a base class
    assert set(KINDS) == set(layers.__all__) - tables


@pytest.mark.parametrize("kind", KINDS)
def test_fit_on_two_replicas(kind):
    make, inputs = KINDS[kind]
    # Several strategies over CPUs in one process would collide in the keys of their collective operations.
    reduction = tf.distribute.ReductionToOneDevice()
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], cross_device_ops=reduction)
    with strategy.scope():
        layer = make()
        model = fitted(layer, inputs, steps=40, jit_compile=False)
    assert_sigma_is_the_largest_singular_value(layer, 0.05)
    moved = {variable.name for variable in layer.variables if not variable.trainable}
    assert moved >= ({"moving_mean"} if "Normalization" in kind else {"u"})
    for variable in layer.variables:
        first, second = strategy.experimental_local_results(variable.value)
        np.testing.assert_array_equal(first, second, err_msg=variable.path)
    if "Normalization" in kind:
        rows = IMAGES.reshape(-1, 8)
        np.testing.assert_allclose(layer.moving_mean, rows.mean(axis=0), atol=0.02)
        np.testing.assert_allclose(layer.moving_variance, rows.var(axis=0), rtol=0.02)
    assert model.predict(list(inputs), verbose=0).shape[0] == 4
