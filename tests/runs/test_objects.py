"""From a configuration to the objects of a run."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.networks import Generator
from sagan_tf.runs import objects, run_files
from sagan_tf.runs.config import Config
from sagan_tf.system.errors import UserError


@pytest.mark.parametrize(
    ("ema_decay", "momentum"), [(0.0, 0.99), (0.9, 0.99), (0.999, 0.999), (0.9999, 0.9999)]
)
def test_batch_statistics_remember_as_long_as_the_averaged_weights(ema_decay, momentum):
    config = Config(
        image_size=32,
        z_dim=8,
        generator_channels=1,
        generator_attention=(),
        ema_decay=ema_decay,
        precision="float32",
        fast_forms="no",
    )
    generator = objects.make_generator(config, 2)
    momenta = {layer.momentum for layer in generator.inner_layers if hasattr(layer, "momentum")}
    assert momenta == {momentum}
    again = Generator.from_config(generator.get_config())
    assert again.last_norm.momentum == momentum


def test_each_network_is_trained_by_adam_with_the_numbers_of_its_run():
    """Two updates by the formula, in the steps that warm the rate up. D is updated twice a step."""
    config = Config(
        **{"image_size": 32, "z_dim": 8, "generator_channels": 1, "discriminator_channels": 1},
        **{"generator_attention": (), "discriminator_attention": (), "precision": "float32"},
        **{"generator_learning_rate": 0.1, "discriminator_learning_rate": 0.3, "warmup_steps": 4},
        **{"beta1": 0.3, "beta2": 0.7, "adam_epsilon": 0.01, "discriminator_steps": 2},
    )
    state = objects.make_state(config, 2, tf.distribute.get_strategy())
    for network, optimizer, rates in (
        (state.generator, state.generator_optimizer, (0.1 * 1 / 4, 0.1 * 2 / 4)),
        (state.discriminator, state.discriminator_optimizer, (0.3 * 1 / 4, 0.3 * 1 / 4)),
    ):
        variables = network.trainable_variables
        expected, m, v = variables[0].numpy().astype(np.float64), 0.0, 0.0
        for update, (gradient, rate) in enumerate(zip((0.05, -0.02), rates, strict=True), 1):
            optimizer.apply([tf.fill(variable.shape, gradient) for variable in variables], variables)
            m, v = 0.3 * m + 0.7 * gradient, 0.7 * v + 0.3 * gradient**2
            rate *= np.sqrt(1 - 0.7**update) / (1 - 0.3**update)
            expected -= rate * m / (np.sqrt(v) + 0.01)
        np.testing.assert_allclose(variables[0].numpy(), expected, atol=1e-5)


def test_a_run_with_classes_needs_labels_and_one_without_does_not(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.zeros((6, 8, 8, 3), np.uint8), y=np.array([0, 1, -1, 0, 1, -1]))
    config = Config(dataset=f"npz:{tmp_path}/x.npz", image_size=8)
    assert objects.open_dataset(config).num_examples == 6
    with pytest.raises(UserError, match="2 of 6 images have no label; train without .*--nocond"):
        objects.open_dataset(config, needs_labels=True)


def test_numbers_of_an_imported_run_become_the_names_of_its_images(tmp_path):
    config = Config(workdir=str(tmp_path), dataset="digits", image_size=32)
    config = dataclasses.replace(config, generator_attention=(16,), discriminator_attention=(16,))
    for names, known in (("01", "01"), ("ab", "ab"), ("cd", "ab"), ("01", "ab")):
        run_files.write_description(config, tuple(names))
        assert run_files.read_class_names(str(tmp_path)) == tuple(known)
