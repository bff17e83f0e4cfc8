"""The networks against the 2018 release: its outputs, its u, its gradients and its parameter counts."""

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.importing import original
from sagan_tf.networks import Discriminator, Generator
from tests.conftest import without_values


@pytest.fixture(scope="module")
def networks(golden):
    weights = {
        original.strip_scope(name[2:]): value for name, value in golden.items() if name.startswith("w:")
    }
    generator, discriminator = Generator(channels=4, classes=10), Discriminator(channels=4, classes=10)
    for network in (generator, discriminator):
        network.build()
        original.load_original(network, weights)
    return generator, discriminator


def relative_error(value, expected):
    value, expected = np.asarray(value, np.float64), np.asarray(expected, np.float64)
    return np.linalg.norm(value.reshape(expected.shape) - expected) / (np.linalg.norm(expected) + 1e-30)


def test_outputs_u_and_generator_gradients_are_the_originals(golden, networks):
    generator, discriminator = networks
    z, labels = golden["z"], golden["labels"]
    fake = generator(z, labels, training=True, update_state=True)
    fake_logits = discriminator(fake, labels)
    real_logits = discriminator(golden["real"], labels, update_u=True)
    # The original's gradients are those of its next pass, which starts from the u just stored: with
    # the first pass's u a few ReLUs that are 0 to rounding switch, and the gradients differ by 1e-3.
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(discriminator(generator(z, labels, training=True, update_state=False), labels))
    gradients = tape.gradient(loss, [v.value for v in generator.trainable_variables])

    assert relative_error(fake, golden["fake"]) < 1e-4
    assert relative_error(fake_logits, golden["logits_fake"]) < 1e-4
    assert relative_error(real_logits, golden["logits_real"]) < 1e-4
    checked_u = 0
    for network in networks:
        names = original.original_names(network)
        for variable in network.variables:
            if variable.path.endswith("/u"):
                assert relative_error(variable, golden[f"u:model/{names[variable.path]}"]) < 1e-4, (
                    variable.path
                )
                checked_u += 1
    assert checked_u == sum(name.startswith("u:") for name in golden)
    names = original.original_names(generator)
    # A gradient that is zero but for rounding (the bias before a batch norm) is measured against the largest.
    scale = max(np.abs(value).max() for name, value in golden.items() if name.startswith("ggrad:"))
    checked_gradients = 0
    for variable, gradient in zip(generator.trainable_variables, gradients, strict=True):
        expected = golden[f"ggrad:model/{names[variable.path]}"]
        gradient = tf.convert_to_tensor(gradient).numpy().reshape(expected.shape)
        error = np.linalg.norm(gradient - expected)
        assert error < 1e-5 * np.linalg.norm(expected) + 3e-6 * scale * expected.size**0.5, variable.path
        checked_gradients += 1
    assert checked_gradients == sum(name.startswith("ggrad:") for name in golden)


def test_missing_and_misshapen_variables_are_named(networks):
    generator, _ = networks
    with pytest.raises(ValueError, match="g_snh0/Matrix is missing.*g_bn/gamma has shape"):
        arrays = {name: np.zeros(3) for name in original.original_names(generator).values()}
        del arrays["g_snh0/Matrix"]
        original.load_original(generator, arrays)


@pytest.mark.parametrize(
    ("attention", "generator_count", "discriminator_count"),
    [((32,), 42_078_852, 39_463_618), ((), 41_996_931, 39_443_137), ((64,), 42_017_412, 39_448_258)],
)
def test_parameter_counts_at_full_width(attention, generator_count, discriminator_count):
    for network, count in ((Generator, generator_count), (Discriminator, discriminator_count)):
        with without_values():
            instance = network(channels=64, classes=1000, attention=attention)
            instance.build()
        assert sum(np.prod(v.shape) for v in instance.trainable_variables) == count
