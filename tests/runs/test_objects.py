"""From a configuration to the objects of a run."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.networks import Generator
from sagan_tf.runs import objects, run_files
from sagan_tf.runs.config import Config
from sagan_tf.system.errors import UserError
from tests.conftest import without_values
from tests.training.game import TINY


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


def test_networks_are_those_of_the_configuration():
    config = Config(
        **{"image_size": 64, "z_dim": 20, "generator_channels": 2, "discriminator_channels": 3},
        **{"generator_attention": (16,), "discriminator_attention": (8,), "attention_form": "paper_v1"},
        **{"attention_key_ratio": 2, "generator_spectral_norm": False, "sync_batch_norm": True},
        **{"generator_embedding": 6, "hierarchical_z": True, "initializer": "orthogonal"},
        **{"class_conditioning": "auxiliary_classifier", "discriminator_shortcut": "activated"},
        **{"fast_forms": "no", "precision": "bfloat16", "freeze_discriminator_blocks": 1},
    )
    with without_values():
        generator = objects.make_generator(config, 7)
        discriminator = objects.make_discriminator(config, 7)
    both = {"image_size": 64, "classes": 7, "attention_form": "paper_v1", "attention_key_ratio": 2}
    both |= {"initializer": "orthogonal", "fast": False}
    of_generator = {"channels": 2, "z_dim": 20, "attention": (16,), "spectral_norm": False}
    of_generator |= {"synchronized": True, "embedding_size": 6, "hierarchical_z": True}
    of_discriminator = {"channels": 3, "attention": (8,), "spectral_norm": True}
    of_discriminator |= {"class_conditioning": "auxiliary_classifier", "shortcut": "activated"}
    for network, expected in ((generator, of_generator), (discriminator, of_discriminator)):
        found = network.get_config()
        assert {name: found[name] for name in both | expected} == both | expected
        assert network.compute_dtype == "bfloat16"
    first, second, *_ = discriminator.blocks
    assert second.trainable_variables and not first.trainable_variables
    with without_values():
        others = {"conditional": False, "sync_batch_norm": False}
        generator = objects.make_generator(dataclasses.replace(TINY, **others), 7)
    assert generator.classes == 0 and not generator.synchronized


def test_each_network_is_trained_by_adam_with_the_numbers_of_its_run():
    """Two updates by the formula, in the steps that warm the rate up. D is updated twice a step."""
    config = dataclasses.replace(
        TINY,
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


@pytest.mark.parametrize("recompute", [True, False])
def test_both_networks_recompute_their_blocks_if_asked_to(recompute):
    strategy = tf.distribute.get_strategy()
    state = objects.make_state(TINY, 2, strategy)
    objects.make_step(dataclasses.replace(TINY, recompute_blocks=recompute), state, strategy)
    assert state.generator.recompute_blocks == state.discriminator.recompute_blocks == recompute


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
