"""Singular values, sizes of gradients and the search for NaN, against NumPy."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.monitoring.diagnostics import Diagnostics, initial_sigma
from sagan_tf.runs import objects
from tests.training import game

TINY = dataclasses.replace(game.TINY, generator_channels=2, discriminator_channels=2)


def make(**options):
    return objects.make_state(dataclasses.replace(TINY, **options), 10, tf.distribute.get_strategy())


@pytest.fixture(scope="module")
def state():
    return make()


def matrices(state):
    """Every kernel as a matrix, by the names that the diagnostics use."""
    return {
        f"{role}/{variable.path.partition('/')[2].removesuffix('/kernel')}": variable.numpy().reshape(
            -1, variable.shape[-1]
        )
        for role in ("generator", "discriminator")
        for variable in getattr(state, role).variables
        if variable.path.endswith("/kernel")
    }


@pytest.mark.parametrize("normalized", [True, False])
def test_singular_values(normalized, eagerly):
    options = {"initializer": "glorot" if normalized else "orthogonal"}
    state = make(generator_spectral_norm=normalized, discriminator_spectral_norm=normalized, **options)
    if normalized:  # u has to settle first: what it converges to
        for layer in (*state.generator.kernel_layers, *state.discriminator.kernel_layers):
            layer.u.assign(np.linalg.svd(layer._matrix())[2][:1])
    found, expected = Diagnostics(state).kernels(), matrices(state)
    assert found.keys() == expected.keys() and len(found) > 30
    assert "generator/block_8/conv_1" in found and "discriminator/attention_16/query" in found
    for name, matrix in expected.items():
        sigma = np.linalg.norm(matrix, 2)
        assert found[name].sigma == pytest.approx(sigma, rel=0.05), name
        assert found[name].normalized == normalized
        if not normalized:  # orthogonal at first: all singular values are 1
            assert found[name].growth == pytest.approx(1.0, rel=1e-3), name


@pytest.mark.parametrize("shape", [(128, 512), (96, 64), (1, 1, 64, 128), (3, 3, 32, 64)])
def test_growth_is_one_at_first(shape):
    """That of a kernel which Keras has just drawn."""
    kernel = np.asarray(keras.initializers.GlorotUniform(seed=0)(shape))
    sigma = np.linalg.norm(kernel.reshape(-1, shape[-1]), 2)
    assert sigma / initial_sigma(shape) == pytest.approx(1.0, abs=0.1)


def test_gradient_norms_are_those_of_adams_second_moments(state):
    generator = np.random.default_rng(0)
    optimizer, variables = state.generator_optimizer, state.generator.trainable_variables
    beta2, total, weight = optimizer.beta_2, 0.0, 0.0
    diagnostics = Diagnostics(state)
    assert diagnostics.gradient_norms() == {"generator": 0.0, "discriminator": 0.0}
    for _ in range(3):
        gradients = [generator.normal(size=variable.shape).astype(np.float32) for variable in variables]
        optimizer.apply([tf.constant(gradient) for gradient in gradients], variables)
        square = sum(float(np.sum(np.square(gradient, dtype=np.float64))) for gradient in gradients)
        total, weight = beta2 * total + (1 - beta2) * square, beta2 * weight + 1 - beta2
    norms = diagnostics.gradient_norms()
    assert norms["generator"] == pytest.approx(np.sqrt(total / weight), rel=1e-4)
    assert norms["discriminator"] == 0.0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_found_wherever_it_is(state, value):
    diagnostics = Diagnostics(state)
    assert diagnostics.not_finite() == []
    owners = {
        "generator": state.generator,
        "discriminator": state.discriminator,
        "ema_generator": state.ema_generator,
        "generator_optimizer": state.generator_optimizer,
        "discriminator_optimizer": state.discriminator_optimizer,
    }
    for name, owner in owners.items():
        for variable in (owner.variables[-1], owner.variables[len(owner.variables) // 2]):
            kept = variable.numpy()
            spoilt = kept.copy()
            spoilt.reshape(-1)[-1] = value
            variable.assign(spoilt)
            assert diagnostics.not_finite() == [f"{name}/{variable.path.partition('/')[2]}"]
            variable.assign(kept)
