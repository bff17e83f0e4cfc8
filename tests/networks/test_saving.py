"""Configurations, .keras files, and the names and shapes that saved runs depend on."""

import json
import math
import pathlib

import keras
import numpy as np
import pytest

from sagan_tf.networks import Discriminator, Generator
from tests.conftest import without_values

MANIFEST = pathlib.Path(__file__).parent / "variables_128_ch64.txt"


@pytest.mark.parametrize(
    ("network", "arguments"),
    [
        (Generator, {"attention": (8, 32), "attention_form": "paper_v2", "synchronized": True}),
        (Generator, {"classes": 0, "spectral_norm": False, "dtype": "mixed_bfloat16", "name": "ema"}),
        (Generator, {"embedding_size": 3, "hierarchical_z": True, "initializer": "orthogonal"}),
        (Discriminator, {"attention": (16,), "attention_key_ratio": 2, "dtype": "mixed_bfloat16"}),
        (Discriminator, {"attention": (8,), "attention_form": "residual", "attention_key_ratio": 2}),
        (Discriminator, {"class_conditioning": "auxiliary_classifier", "initializer": "orthogonal"}),
        (Discriminator, {"classes": 0, "spectral_norm": False, "size": 64}),
    ],
)
def test_configuration_and_saved_file_give_the_same_network(small, inputs_of, network, arguments, tmp_path):
    instance = small(network, **arguments)
    copy = network.from_config(json.loads(json.dumps(instance.get_config())))
    copy.build()
    copy.set_weights(instance.get_weights())
    instance.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    inputs = inputs_of(instance)
    for other in (copy, loaded):
        assert other.get_config() == instance.get_config()
        assert other.dtype_policy == instance.dtype_policy
        assert [v.path for v in other.variables] == [v.path for v in instance.variables]
        np.testing.assert_array_equal(other(*inputs), instance(*inputs))


def test_a_copy_has_the_weights_that_fit(small, inputs_of):
    generator = small(Generator, attention=(16,), attention_key_ratio=2)
    copy = generator.copy(name="other", classes=4, fast=True)
    assert (copy.name, copy.classes, copy.fast) == ("other", 4, True)
    below = {v.path.partition("/")[2]: v for v in generator.variables}
    for variable in copy.variables:
        own = below[variable.path.partition("/")[2]]
        if own.shape == variable.shape:
            np.testing.assert_array_equal(variable, own, err_msg=variable.path)
        else:
            assert own.name in ("gain", "bias") and own.shape[0] == 3
    same, inputs = generator.copy(), inputs_of(generator)
    np.testing.assert_array_equal(same(*inputs), generator(*inputs))


def test_a_copy_of_a_part_of_a_model_has_its_weights(small, inputs_of):
    class Outer(keras.Model):
        def __init__(self):
            super().__init__(name="outer")
            self.network = small(Generator, attention=(16,)).from_config(small(Generator).get_config())

        def call(self, z, labels):
            return self.network(z, labels)

    outer = Outer()
    inputs = inputs_of(small(Generator))
    images = outer(*inputs)
    assert outer.network.variables[0].path.startswith("outer/")
    np.testing.assert_array_equal(outer.network.copy()(*inputs), images)


def test_frozen_networks_and_blocks_stay_frozen(small, tmp_path):
    """Also those that are loaded as parts of a model."""
    discriminator = small(Discriminator, attention=(16,))
    learning = len(discriminator.trainable_variables)
    discriminator.freeze_blocks(1)
    some = len(discriminator.trainable_variables)
    discriminator.save(tmp_path / "blocks.keras")
    loaded = keras.saving.load_model(tmp_path / "blocks.keras")
    assert 0 < len(loaded.trainable_variables) == some < learning
    for network in (discriminator, small(Generator)):
        network.trainable = False
        network.save(tmp_path / "network.keras")
        assert not keras.saving.load_model(tmp_path / "network.keras").trainable_variables


BIGGAN = {"embedding_size": 128, "hierarchical_z": True, "z_dim": 120}


@pytest.mark.parametrize(
    ("channels", "arguments", "millions"),
    [(96, {"embedding_size": 128}, 160.6), (96, BIGGAN, 158.3), (64, BIGGAN, 71.3)],
)
def test_parameters_are_those_of_biggans_table_1(channels, arguments, millions):
    """Of both networks at 128x128, attention at 64. Its figures are met if the embedding is not counted."""
    total = 0
    size = {"channels": channels, "attention": (64,)}
    with without_values():
        for network in (Generator(**size, **arguments), Discriminator(**size)):
            network.build()
            total += sum(math.prod(v.shape) for v in network.trainable_variables)
    assert round((total - 1000 * arguments.get("embedding_size", 0)) / 1e6, 1) == millions


def test_names_and_shapes_of_all_variables_are_pinned(tmp_path):
    """A changed name or shape makes saved runs unreadable: change the manifest only with that in mind."""
    lines = []
    for network in (Generator(), Discriminator()):
        with without_values():
            network.build()
        for variable in network.variables:
            shape = "x".join(map(str, variable.shape)) or "scalar"
            lines.append(f"{variable.path} {shape} {'trained' if variable.trainable else 'state'}")
    (tmp_path / MANIFEST.name).write_text("\n".join(lines) + "\n")
    pinned = [line for line in MANIFEST.read_text().splitlines() if not line.startswith("#")]
    assert lines == pinned, f"the present variables are in {tmp_path / MANIFEST.name}"
