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
