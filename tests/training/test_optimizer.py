"""The fused update against Keras's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.training.optimizer import FusedAdam


@pytest.mark.parametrize("beta_1", [0.0, 0.5])
def test_is_keras_adam(beta_1):
    rng = np.random.default_rng(0)
    start = [rng.normal(size=(4, 3)).astype(np.float32), rng.normal(size=5).astype(np.float32)]
    results = []
    for cls in (keras.optimizers.Adam, FusedAdam):
        variables = [keras.Variable(value) for value in start]
        optimizer = cls(0.01, beta_1=beta_1, beta_2=0.9, epsilon=1e-8)
        optimizer.build(variables)
        gradients = np.random.default_rng(1)
        for _ in range(5):
            optimizer.apply(
                [tf.constant(gradients.normal(size=v.shape), tf.float32) for v in variables], variables
            )
        results.append([v.numpy() for v in (*variables, *optimizer.variables)])
    for expected, value in zip(*results, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-7)


def test_gradient_of_an_embedding():
    """Rows that no label asked for get a zero gradient: their velocity decays, they do not move."""
    table = keras.Variable(np.ones((4, 2), np.float32))
    optimizer = FusedAdam(0.1, beta_1=0.0, beta_2=0.9)
    optimizer.build([table])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.gather(table.value, [1, 1]))
    optimizer.apply([tape.gradient(loss, table.value)], [table])
    np.testing.assert_allclose(table.numpy()[[0, 2, 3]], 1.0)
    np.testing.assert_allclose(table.numpy()[1], 0.9, rtol=1e-5)


def _after_four_steps(optimizer, dtype="float32"):
    variable = keras.Variable(np.linspace(-1, 1, 6), dtype=dtype)
    optimizer.build([variable])
    for step in range(4):
        optimizer.apply([tf.cast(tf.linspace(-1.0, 2.0, 6) * (step + 1), dtype)], [variable])
    return variable.numpy().astype(np.float64)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_variables_of_other_types(dtype):
    of_keras, fused = (_after_four_steps(kind(0.1), dtype) for kind in (keras.optimizers.Adam, FusedAdam))
    np.testing.assert_allclose(fused, of_keras, atol=1e-5 if dtype == "float64" else 0.02)


def test_accumulated_gradients():
    kinds = (keras.optimizers.Adam, FusedAdam)
    of_keras, fused = (_after_four_steps(kind(0.1, gradient_accumulation_steps=2)) for kind in kinds)
    np.testing.assert_allclose(fused, of_keras, atol=1e-5)
    assert np.abs(fused - np.linspace(-1, 1, 6)).max() > 0.1


def test_amsgrad_is_refused():
    with pytest.raises(ValueError, match="amsgrad=True: .*keras.optimizers.Adam"):
        FusedAdam(amsgrad=True)
