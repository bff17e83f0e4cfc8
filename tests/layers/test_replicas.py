"""Every public layer under MirroredStrategy on two CPUs, in `fit`."""

import keras
import numpy as np
import tensorflow as tf

from sagan_tf import layers
from tests.layers.conftest import assert_sigma_is_the_largest_singular_value

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.standard_normal((4, 4, 4, 8)).astype(np.float32)
LABELS = np.array([2, 0, 1, 2], np.int32)
CONDITIONS = RANDOM.standard_normal((4, 3)).astype(np.float32)
INPUTS = (IMAGES, LABELS, CONDITIONS)
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


def fitted_together(made, steps=40):
    """A model of all these layers, after `fit` on one batch."""
    symbols = {id(array): keras.Input(array.shape[1:], dtype=array.dtype) for array in INPUTS}
    outputs = {kind: layer(*(symbols[id(array)] for array in KINDS[kind][1])) for kind, layer in made.items()}
    model = keras.Model(list(symbols.values()), outputs)
    model.compile(keras.optimizers.SGD(1e-5), loss=dict.fromkeys(made, "mse"), jit_compile=False)
    targets = {kind: np.zeros((4, *output.shape[1:]), np.float32) for kind, output in outputs.items()}
    model.fit(tf.data.Dataset.from_tensors((INPUTS, targets)).repeat(steps), verbose=0)
    return model


def test_fit_on_two_replicas():
    # Several strategies over CPUs in one process would collide in the keys of their collective operations.
    reduction = tf.distribute.ReductionToOneDevice()
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], cross_device_ops=reduction)
    with strategy.scope():
        made = {kind: make() for kind, (make, _) in KINDS.items()}
        model = fitted_together(made)
    for kind, layer in made.items():
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
    assert {output.shape[0] for output in model.predict(INPUTS, verbose=0).values()} == {4}
