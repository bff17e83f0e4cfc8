"""Every image size, attention at every resolution, labels, precision; what a sample and a trace depend on."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.networks import ARCHITECTURES, Discriminator, Generator
from tests.conftest import without_values

BOTH = pytest.mark.parametrize("network", [Generator, Discriminator])

# Channels after the block that reaches a resolution, in multiples of the base channels. 32: Miyato et
# al. 2018, table 4; 128: the original code; the others: Brock et al. 2019, appendix B.
WIDTHS = {
    Generator: {
        32: {8: 4, 16: 4, 32: 4},
        64: {8: 16, 16: 8, 32: 4, 64: 2},
        128: {8: 16, 16: 8, 32: 4, 64: 2, 128: 1},
        256: {8: 16, 16: 8, 32: 8, 64: 4, 128: 2, 256: 1},
        512: {8: 16, 16: 8, 32: 8, 64: 4, 128: 2, 256: 1, 512: 1},
    },
    Discriminator: {
        32: {16: 4, 8: 4},
        64: {32: 1, 16: 2, 8: 4, 4: 8},
        128: {64: 1, 32: 2, 16: 4, 8: 8, 4: 16},
        256: {128: 1, 64: 2, 32: 4, 16: 8, 8: 8, 4: 16},
        512: {256: 1, 128: 1, 64: 2, 32: 4, 16: 8, 8: 8, 4: 16},
    },
}


@pytest.mark.parametrize("size", ARCHITECTURES)
def test_every_size_gives_its_shapes(small, inputs_of, size):
    generator, discriminator = (small(network, size, spectral_norm=False) for network in WIDTHS)
    images = generator(*inputs_of(generator, batch=1))
    assert images.shape == (1, size, size, 3)
    assert np.abs(images).max() <= 1
    logits = discriminator(images, np.zeros(1, np.int32))
    assert logits.shape == (1,)
    assert np.isfinite(logits).all()


@BOTH
@pytest.mark.parametrize("size", ARCHITECTURES)
def test_attention_can_stand_at_every_resolution(network, size):
    """After the block that reaches it: the layer's queries are made from that block's channels."""
    widths = WIDTHS[network][size]
    with without_values():
        instance = network(size, channels=2, classes=0, attention=tuple(widths), spectral_norm=False)
        instance.build()
    kernels = {v.path: v.shape[0] for v in instance.variables if v.path.endswith("query/kernel")}
    name = network.__name__.lower()
    assert kernels == {f"{name}/attention_{place}/query/kernel": 2 * width for place, width in widths.items()}


@pytest.mark.parametrize(
    ("network", "resolution"),
    [(network, resolution) for network in WIDTHS for resolution in WIDTHS[network][32]],
)
def test_attention_is_used_where_it_is_placed(small, inputs_of, network, resolution):
    instance, plain = small(network, attention=(resolution,), attention_key_ratio=2), small(network)
    values = {variable.path: variable for variable in instance.variables}
    for variable in plain.variables:
        variable.assign(values.pop(variable.path))
    assert all(path.startswith(f"{instance.name}/attention_{resolution}/") for path in values)
    layer, inputs = instance.attention_layers[str(resolution)], inputs_of(instance)
    layer.gamma.assign(0.0)
    np.testing.assert_allclose(instance(*inputs), plain(*inputs), rtol=1e-5, atol=1e-6)
    layer.gamma.assign(1.0)
    outputs, maps, shares = instance.look(*inputs)
    assert np.abs(outputs - plain(*inputs)).max() > 1e-3
    assert list(maps) == [resolution]
    assert maps[resolution].shape == (3, resolution**2, resolution**2 // 4)
    np.testing.assert_allclose(np.sum(maps[resolution], axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(instance(*inputs), outputs, rtol=1e-5, atol=1e-6)
    assert list(shares) == [resolution] and shares[resolution].shape == (3,)
    layer.gamma.assign(-0.5)
    half = instance.look(*inputs).shares[resolution]  # what comes before the layer is the same
    np.testing.assert_allclose(half, 0.5 * shares[resolution], rtol=1e-5)
    assert np.min(half) > 1e-3


@BOTH
def test_form_and_key_ratio_reach_every_attention_layer(small, network):
    instance = small(network, attention=(8, 16), attention_form="paper_v1", attention_key_ratio=2)
    kernels = [v for v in instance.variables if "attention" in v.path and v.name == "kernel"]
    assert len(kernels) == 6  # query, key and value, twice: this form has no projection
    assert {tuple(v.shape) for v in kernels if "query" in v.path} == {(4, 2)}


@BOTH
def test_a_residual_block_in_the_place_of_attention(small, inputs_of, network):
    """As many blocks as attention layers would be, and no maps; nothing else changes."""
    arguments = {"attention": (8, 16), "attention_key_ratio": 2, "channels": 4}
    instance, attentive = small(network, attention_form="residual", **arguments), small(network, **arguments)
    assert list(instance.residual_layers) == list(attentive.attention_layers)
    assert not instance.attention_layers and not attentive.residual_layers
    seen = instance.look(*inputs_of(instance))
    assert (seen.maps, seen.shares) == ({}, {})
    others, inner = (
        [v.path for v in network.variables if not re.search("/(residual|attention)_", v.path)]
        for network in (instance, attentive)
    )
    assert others == inner
    assert {v.path.split("/")[1] for v in instance.variables if "residual" in v.path} == {
        "residual_8",
        "residual_16",
    }


@pytest.mark.parametrize(
    ("network", "size", "attention", "message"),
    [
        (Generator, 32, (8, 4), "generator attention at 4: allowed are 8, 16, 32$"),
        (Generator, 128, (256,), "generator attention at 256: allowed are 8, 16, 32, 64, 128$"),
        (Discriminator, 32, (32,), "discriminator attention at 32: allowed are 16, 8$"),
        (Discriminator, 128, (128,), "discriminator attention at 128: allowed are 64, 32, 16, 8, 4$"),
    ],
)
def test_attention_elsewhere_is_refused(network, size, attention, message):
    with pytest.raises(ValueError, match=message):
        network(size, channels=1, attention=attention)


@BOTH
def test_spectral_norm_is_on_every_kernel_or_on_none(small, network):
    normalized, plain = (small(network, attention=(16,), spectral_norm=on) for on in (True, False))
    kernels = [v.path for v in normalized.variables if v.name == "kernel"]
    us = [v.path for v in normalized.variables if v.name == "u"]
    assert us == [path.removesuffix("kernel") + "u" for path in kernels]
    assert [v.path for v in plain.variables if v.name == "kernel"] == kernels
    assert not any(v.name == "u" for v in plain.variables)


@BOTH
def test_labels_matter_where_there_are_classes(small, inputs_of, network):
    instance = small(network, channels=2)
    first, labels = inputs_of(instance)
    difference = np.abs(instance(first, labels) - instance(first, (labels + 1) % 3))
    assert difference.reshape(len(labels), -1).max(axis=1).min() > 1e-3
    unconditional = small(network, classes=0)
    assert not any("embedding" in v.path for v in unconditional.variables)
    assert {len(v.shape) for v in unconditional.variables if v.name == "gain"} <= {1}
    np.testing.assert_array_equal(unconditional(first), unconditional(first, labels))


def test_class_logits_where_there_are_none_are_refused(small, inputs_of):
    projecting = small(Discriminator)
    with pytest.raises(ValueError, match="class_logits: .* no auxiliary classifier"):
        projecting.class_logits(projecting.features(inputs_of(projecting)[0]))
    with pytest.raises(ValueError, match="class_conditioning='auxiliary_classifier': there are no classes"):
        small(Discriminator, classes=0, class_conditioning="auxiliary_classifier")
    with pytest.raises(ValueError, match="'acgan': allowed are projection, auxiliary_classifier"):
        small(Discriminator, class_conditioning="acgan")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"embedding_size": 4, "classes": 0}, "embedding_size=4: there are no classes"),
        ({"hierarchical_z": True}, "hierarchical_z: needs embedding_size"),
        ({"hierarchical_z": True, "classes": 0, "size": 64}, "z_dim=8: .* a multiple of 5 is needed"),
        ({"initializer": "normal"}, "initializer='normal': allowed are glorot, orthogonal"),
    ],
)
def test_conditioning_that_cannot_be_is_refused(small, arguments, message):
    with pytest.raises(ValueError, match=message):
        small(Generator, **arguments)


@BOTH
@pytest.mark.parametrize("form", ["original", "residual"])
def test_orthogonal_kernels(network, form):
    """As matrices (fan-in, outputs): rows or columns, whichever are fewer, are orthonormal."""
    arguments = {"embedding_size": 5, "hierarchical_z": True, "z_dim": 8} if network is Generator else {}
    instance = network(32, 2, 3, attention=(16,), attention_form=form, initializer="orthogonal", **arguments)
    instance.build()
    kernels = [v.numpy() for v in instance.variables if v.name == "kernel"]
    with without_values():
        plain = network(32, 2, 3, attention=(16,), attention_form=form, **arguments)
        plain.build()
    assert [kernel.shape for kernel in kernels] == [v.shape for v in plain.variables if v.name == "kernel"]
    for kernel in kernels:
        matrix = kernel.reshape(-1, kernel.shape[-1]).astype(np.float64)
        product = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
        np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-5)
    first, second = (instance.blocks[1].conv_2.kernel.numpy(), instance.blocks[2].conv_2.kernel.numpy())
    assert first.shape != second.shape or np.abs(first - second).max() > 0.01  # not one draw for all


def test_a_sample_at_inference_does_not_depend_on_its_batch(small, inputs_of):
    generator = small(Generator, attention=(16,), channels=2)
    z, labels = inputs_of(generator)
    batch = generator(z, labels)
    for rows in (slice(0, 1), slice(1, 3)):
        np.testing.assert_allclose(generator(z[rows], labels[rows]), batch[rows], rtol=1e-5, atol=1e-5)
    in_training = generator(z, labels, training=True)
    assert np.abs(generator(z[:2], labels[:2], training=True) - in_training[:2]).max() > 1e-2


@pytest.mark.parametrize("conditioned", [{}, {"embedding_size": 5, "hierarchical_z": True}])
def test_every_trainable_variable_has_a_gradient(small, inputs_of, conditioned):
    generator = small(Generator, attention=(16,), channels=2, **conditioned)
    discriminator = small(Discriminator, attention=(8,), channels=2)
    z, labels = inputs_of(generator)
    variables = generator.trainable_variables + discriminator.trainable_variables
    with tf.GradientTape() as tape:
        logits = discriminator(generator(z, labels, training=True), labels)
        loss = tf.reduce_sum(tf.sin(logits))
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    for variable, gradient in zip(variables, gradients, strict=True):
        assert gradient is not None, variable.path
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, variable.path


@BOTH
def test_bfloat16_inside_float32_outside(small, inputs_of, network):
    exact = small(network, attention=(16,), channels=4)
    mixed = small(network, attention=(16,), channels=4, dtype="mixed_bfloat16")
    assert {variable.dtype for variable in mixed.variables} == {"float32"}
    assert {block.compute_dtype for block in mixed.blocks} == {"bfloat16"}
    mixed.set_weights(exact.get_weights())
    outputs, maps, _ = mixed.look(*inputs_of(mixed))
    np.testing.assert_array_equal(mixed(*inputs_of(mixed)), outputs)
    assert (outputs.dtype, maps[16].dtype) == (tf.float32, tf.float32)
    expected = exact(*inputs_of(exact)).numpy()
    assert 0 < np.abs(outputs - expected).mean() < 0.02 * np.abs(expected).mean()


@BOTH
def test_one_trace_serves_every_batch_size(small, inputs_of, network):
    instance = small(network, attention=(16,), spectral_norm=False)
    inputs = inputs_of(instance)
    signature = [tf.TensorSpec((None, *array.shape[1:]), array.dtype) for array in inputs]
    compiled = tf.function(lambda *arrays: instance(*arrays), input_signature=signature)
    for batch in (1, 3):
        arrays = [array[:batch] for array in inputs]
        np.testing.assert_allclose(compiled(*arrays), instance(*arrays), rtol=1e-4, atol=1e-5)
    assert compiled.experimental_get_tracing_count() == 1


def test_shortcuts_from_the_activated_input():
    """One block by hand: with x > 0 both forms are the same; else the shortcut sees relu(x)."""
    keras.utils.set_random_seed(0)
    made = {
        shortcut: Discriminator(32, 1, classes=0, attention=(), shortcut=shortcut)
        for shortcut in ("raw", "activated")
    }
    for network in made.values():
        network.build()
    made["activated"].set_weights(made["raw"].get_weights())
    x = tf.random.stateless_normal((2, 16, 16, 4), (0, 0))
    raw, activated = (network.blocks[1] for network in made.values())
    np.testing.assert_allclose(activated(tf.abs(x)), raw(tf.abs(x)), atol=1e-6)
    assert np.abs(activated(x) - raw(x)).max() > 0.1
    np.testing.assert_allclose(activated(x), raw(tf.nn.relu(x)), atol=1e-6)
    last = [network.blocks[-1] for network in made.values()]  # no convolution in the shortcut
    difference = last[1](x[:, :8, :8]) - last[0](x[:, :8, :8])
    np.testing.assert_allclose(difference, tf.nn.relu(x)[:, :8, :8] - x[:, :8, :8], atol=1e-6)
    assert made["activated"].get_config()["shortcut"] == "activated"
    with pytest.raises(ValueError, match="shortcut='x': allowed are raw, activated"):
        Discriminator(32, 1, shortcut="x", attention=())


def test_frozen_blocks():
    network = Discriminator(32, 1, classes=3, attention=(16,))
    network.build()
    every = {variable.path for variable in network.trainable_variables}
    network.freeze_blocks(1)
    frozen = every - {variable.path for variable in network.trainable_variables}
    assert {path.split("/")[1] for path in frozen} == {"block_16", "attention_16"}
    with pytest.raises(ValueError, match="at most 2"):
        network.freeze_blocks(3)


def test_images_of_unknown_size_pass_through_attention(small):
    """As images do that a dataset has decoded."""
    discriminator = small(Discriminator, attention=(16,))
    images = tf.random.stateless_normal((2, 32, 32, 3), (0, 1))
    labels = tf.constant([0, 2])
    for shape in ((None, None, None, 3), None):
        signature = [tf.TensorSpec(shape), tf.TensorSpec((None,), tf.int32)]
        traced = tf.function(lambda x, y: discriminator(x, y), input_signature=signature)
        np.testing.assert_allclose(
            traced(images, labels), discriminator(images, labels), rtol=1e-4, atol=1e-4
        )
    with pytest.raises(tf.errors.InvalidArgumentError, match="compatible"):
        traced(tf.zeros((2, 64, 64, 3)), labels)


@BOTH
def test_inputs_of_another_shape_are_refused(small, network):
    instance, what = small(network), {Generator: "z", Discriminator: "images"}[network]
    shapes = {
        Generator: [(2, 9), (2, 8, 1), (8,)],
        Discriminator: [(2, 64, 64, 3), (2, 32, 32, 6), (32, 32, 3)],
    }
    for shape in shapes[network]:
        with pytest.raises(ValueError, match=rf"{what} of shape \({shape[0]},.*: must be \(batch, "):
            instance(tf.zeros(shape), tf.constant([0, 1]))
