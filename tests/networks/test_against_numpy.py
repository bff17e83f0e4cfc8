"""The networks against NumPy: outputs, and what a pass does to u and to the moving averages."""

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.networks import Discriminator, Generator

# The oracle: float64, operations in the order in which the paper and the original code write them.


def power_iteration(matrix, u):
    """sigma and the new u: v = u W^T / |.|, u' = v W / |.|, sigma = v W u'^T = |v W|."""
    v = u @ matrix.T
    v = v / np.sqrt((v * v).sum())
    product = v @ matrix
    sigma = np.sqrt((product * product).sum())
    return sigma, product / sigma


def array(variable):
    return variable.numpy().astype(np.float64)


def matrix_of(kernel, u):
    """The kernel as the matrix (fan_in, outputs) that u belongs to; the embedding's is its transpose."""
    matrix = kernel.reshape(-1, kernel.shape[-1])
    return matrix if u.shape[-1] == matrix.shape[-1] else matrix.T


def kernel_of(layer):
    kernel = array(layer.kernel)
    if layer.spectral_norm:
        u = array(layer.u)
        kernel = kernel / power_iteration(matrix_of(kernel, u), u)[0]
    return kernel


def convolution(x, layer):
    """Stride 1, zero padding, odd kernel."""
    kernel = kernel_of(layer)
    size = len(kernel)
    height, width = x.shape[1:3]
    padded = np.pad(x, [(0, 0), (size // 2, size // 2), (size // 2, size // 2), (0, 0)])
    parts = [
        padded[:, row : row + height, column : column + width] @ kernel[row, column]
        for row in range(size)
        for column in range(size)
    ]
    return sum(parts) + array(layer.bias)


def normalized(x, layer, condition):
    """At inference; the condition is labels, or vectors."""
    x = (x - array(layer.moving_mean)) / np.sqrt(array(layer.moving_variance) + 1e-5)
    if hasattr(layer, "condition_size"):
        assert condition.shape == (len(x), layer.condition_size)
        gain, bias = 1 + condition @ kernel_of(layer.gain), condition @ kernel_of(layer.bias)
        return x * gain[:, None, None] + bias[:, None, None]
    gain, bias = array(layer.gain), array(layer.bias)
    if layer.classes:
        gain, bias = gain[condition][:, None, None], bias[condition][:, None, None]
    return x * gain + bias


def relu(x):
    return np.maximum(x, 0)


def up(x):
    return x.repeat(2, axis=1).repeat(2, axis=2)


def pool(x):
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def up_block(x, block, condition):
    """The shortcut in the naive order: upsampling, then the 1x1 convolution at the high resolution."""
    y = convolution(up(relu(normalized(x, block.norm_1, condition))), block.conv_1)
    y = convolution(relu(normalized(y, block.norm_2, condition)), block.conv_2)
    return y + convolution(up(x), block.shortcut)


def down_block(x, block, first, last):
    """The shortcut as in the original: pool then convolution in the first block, the other way elsewhere."""
    y = x if first else relu(x)
    y = convolution(relu(convolution(y, block.conv_1)), block.conv_2)
    if last:
        return y + (x if block.shortcut is None else convolution(x, block.shortcut))
    shortcut = convolution(pool(x), block.shortcut) if first else pool(convolution(x, block.shortcut))
    return pool(y) + shortcut


def placed(x, network):
    """After the residual block that stands at this resolution in the place of attention, if one does."""
    layer = network.residual_layers.get(str(x.shape[1]))
    return x if layer is None else x + convolution(relu(convolution(relu(x), layer.conv_1)), layer.conv_2)


def conditions_oracle(generator, z, labels):
    """What the dense layer gets, and what each block's norms get: BigGAN's figure 15, or labels."""
    count = len(generator.blocks)
    embedded = [] if generator.embedding is None else [array(generator.embedding.kernel)[labels]]
    if generator.hierarchical_z:
        length = z.shape[1] // (count + 1)
        parts = [z[:, start : start + length].astype(np.float64) for start in range(0, z.shape[1], length)]
        return parts[0], [np.concatenate([part, *embedded], axis=1) for part in parts[1:]]
    return z, [embedded[0] if embedded else labels] * count


def generator_oracle(generator, z, labels=None):
    z, conditions = conditions_oracle(generator, z, labels)
    x = z.astype(np.float64) @ kernel_of(generator.dense) + array(generator.dense.bias)
    x = x.reshape(len(z), 4, 4, -1)
    for block, condition in zip(generator.blocks, conditions, strict=True):
        x = placed(up_block(x, block, condition), generator)
    return np.tanh(convolution(relu(normalized(x, generator.last_norm, labels)), generator.last_conv))


def features_oracle(discriminator, downsampling, images):
    """h (B, C)."""
    x = images.astype(np.float64)
    for index, block in enumerate(discriminator.blocks):
        x = down_block(x, block, first=index == 0, last=index >= downsampling)
        x = placed(x, discriminator) if index < downsampling else x
    return relu(x).sum(axis=(1, 2))


def discriminator_oracle(discriminator, downsampling, images, labels=None):
    h = features_oracle(discriminator, downsampling, images)
    logits = (h @ kernel_of(discriminator.dense) + array(discriminator.dense.bias))[:, 0]
    if discriminator.embedding is not None:
        logits = logits + (h * kernel_of(discriminator.embedding)[labels]).sum(axis=1)
    return logits


def assert_equal_to_rounding(value, expected):
    """Rounding of many layers, seen by values near 0, is measured against the whole."""
    assert value.shape == expected.shape
    assert np.linalg.norm(value - expected) < 1e-4 * np.linalg.norm(expected)


VARIANTS = [{}, {"spectral_norm": False}, {"classes": 0}, {"size": 64}]
VARIANTS.append({"attention": (8, 16), "attention_form": "residual", "attention_key_ratio": 2})
BIGGAN = {"embedding_size": 5, "hierarchical_z": True, "initializer": "orthogonal"}
BIGGAN_VARIANTS = [BIGGAN, {"embedding_size": 5}, {"classes": 0, "hierarchical_z": True}]
BIGGAN_VARIANTS.append(BIGGAN | {"spectral_norm": False})


@pytest.mark.parametrize("variant", VARIANTS + BIGGAN_VARIANTS)
def test_generator(small, inputs_of, variant):
    generator = small(Generator, **variant)
    images = generator(*inputs_of(generator))
    assert images.dtype == tf.float32
    assert np.std(images, axis=(1, 2)).min() > 0.01  # not empty
    assert_equal_to_rounding(images, generator_oracle(generator, *inputs_of(generator)))


@pytest.mark.parametrize("variant", VARIANTS)
def test_discriminator(small, inputs_of, variant):
    """Sum over positions, then dense + <h, embedding(label)>."""
    discriminator = small(Discriminator, **variant)
    logits = discriminator(*inputs_of(discriminator))
    assert logits.dtype == tf.float32
    downsampling = {32: 2, 64: 4}[discriminator.image_size]
    expected = discriminator_oracle(discriminator, downsampling, *inputs_of(discriminator))
    assert_equal_to_rounding(logits, expected)


@pytest.mark.parametrize("spectral_norm", [True, False])
def test_auxiliary_classifier(small, inputs_of, spectral_norm):
    """AC-GAN: the logit is that without projection, whatever the label; class logits of the same h."""
    arguments = {"spectral_norm": spectral_norm, "channels": 2, "attention": (8,)}
    discriminator = small(Discriminator, class_conditioning="auxiliary_classifier", **arguments)
    discriminator.attention_layers["8"].gamma.assign(0.0)
    images, labels = inputs_of(discriminator)
    logits, class_logits = (
        discriminator(images, labels),
        discriminator.class_logits(discriminator.features(images)),
    )
    assert class_logits.dtype == tf.float32
    h = features_oracle(discriminator, 2, images)
    expected = h @ kernel_of(discriminator.classifier) + array(discriminator.classifier.bias)
    assert_equal_to_rounding(class_logits.numpy(), expected)
    assert class_logits.shape == (3, 3)
    expected = (h @ kernel_of(discriminator.dense) + array(discriminator.dense.bias))[:, 0]
    assert_equal_to_rounding(logits.numpy(), expected)
    np.testing.assert_allclose(discriminator(images, (labels + 1) % 3), logits, rtol=1e-5)


def snapshot(network):
    return {variable.path: array(variable) for variable in network.variables}


def assert_same(before, after, paths):
    for path in paths:
        np.testing.assert_array_equal(before[path], after[path], err_msg=path)


def assert_one_power_iteration(before, after):
    """Of every u. Returns their paths."""
    paths = [path for path in before if path.endswith("/u")]
    for path in paths:
        kernel = before[path.removesuffix("u") + "kernel"]
        _, u = power_iteration(matrix_of(kernel, before[path]), before[path])
        np.testing.assert_allclose(after[path], u, rtol=1e-3, atol=1e-5, err_msg=path)
        assert np.abs(after[path] - before[path]).max() > 1e-4, path
    return paths


@pytest.mark.parametrize("variant", [{}, BIGGAN])
def test_a_generator_pass_that_may_not_changes_nothing(small, inputs_of, variant):
    generator = small(Generator, attention=(16,), **variant)
    before = snapshot(generator)
    generator(*inputs_of(generator))
    generator(*inputs_of(generator), training=True, update_state=False)
    generator.look(*inputs_of(generator))
    assert_same(before, snapshot(generator), before)


@pytest.mark.parametrize("variant", [{}, BIGGAN])
def test_a_generator_pass_that_may_moves_its_state_once(small, inputs_of, variant):
    generator = small(Generator, attention=(16,), channels=4, **variant)
    before = snapshot(generator)
    generator(*inputs_of(generator), training=True, update_state=True)
    after = snapshot(generator)
    moved = set(assert_one_power_iteration(before, after))
    norms = [path.removesuffix("updates") for path in before if path.endswith("/updates")]
    assert len(norms) == 7  # two in each of three blocks, and the last
    for norm in norms:
        assert after[f"{norm}updates"] == 1
        for name in ("moving_mean", "moving_variance"):
            assert np.abs(after[norm + name] - before[norm + name]).max() > 1e-3
        moved |= {f"{norm}{name}" for name in ("updates", "moving_mean", "moving_variance")}
    assert_same(before, after, set(before) - moved)


@pytest.mark.parametrize("classifier", [False, True])
def test_a_discriminator_pass_moves_u_once_if_it_may(small, inputs_of, classifier):
    conditioning = "auxiliary_classifier" if classifier else "projection"
    discriminator = small(Discriminator, attention=(16,), channels=4, class_conditioning=conditioning)
    before = snapshot(discriminator)
    images, labels = inputs_of(discriminator)

    def passes(update_u):
        h = discriminator.features(images, update_u)
        discriminator.logits(h, labels, update_u)
        if classifier:
            discriminator.class_logits(h, update_u)

    discriminator.look(images, labels)
    passes(update_u=False)
    assert_same(before, snapshot(discriminator), before)
    passes(update_u=True)
    after = snapshot(discriminator)
    moved = assert_one_power_iteration(before, after)
    assert len(moved) == len(before) - len(discriminator.trainable_variables)
    assert_same(before, after, set(before) - set(moved))
