"""Keras's own SpectralNormalization and ours on the same convolution: the table of layers/README.md."""

import re

import keras
import numpy as np
import tensorflow as tf

from sagan_tf.layers import SpectralNorm
from tests.conftest import ROOT

RANDOM = np.random.default_rng(0)
IMAGES, TARGET = (RANDOM.standard_normal((16, 6, 6, depth)).astype(np.float32) for depth in (3, 8))
PAGE = ROOT / "sagan_tf" / "layers" / "README.md"
WRAPPERS = {
    "SpectralNorm": SpectralNorm,
    "keras.layers.SpectralNormalization": keras.layers.SpectralNormalization,
}


def largest_singular_value(kernel):
    return np.linalg.svd(np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-1]), compute_uv=False)[0]


def trained(wrapper):
    """The layer after 200 steps of `fit`; the kernel starts with a sigma of about 3."""
    keras.utils.set_random_seed(0)
    start = keras.initializers.RandomNormal(stddev=0.4, seed=0)
    layer = wrapper(keras.layers.Conv2D(8, 3, padding="same", kernel_initializer=start))
    model = keras.Sequential([keras.Input(IMAGES.shape[1:]), layer])
    model.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=False)
    model.fit(tf.data.Dataset.from_tensors((IMAGES, TARGET)).repeat(200), verbose=0)
    return layer


def used_kernel(layer):
    """What a pass at inference convolves with: the response to single pixels."""
    pixels = np.zeros((3, 5, 5, 3), np.float32)
    pixels[np.arange(3), 2, 2, np.arange(3)] = 1
    responses = (layer(pixels) - layer(0 * pixels)).numpy()[:, 1:4, 1:4]  # (C_in, 3, 3, filters)
    return responses[:, ::-1, ::-1].transpose(1, 2, 0, 3)


def gradient_error(layer):
    """|g - d| / |d| of a training pass: the gradient of W, and central differences, along 12 directions."""
    kernel, u = layer.layer.kernel, layer.u if hasattr(layer, "u") else layer.vector_u
    start, vector = 2.5 * kernel.numpy(), u.numpy()  # as an optimizer may have left it: sigma is not 1
    random = np.random.default_rng(1)
    weights = random.standard_normal(TARGET.shape).astype(np.float32)

    def loss_of(values):
        kernel.assign(values)
        u.assign(vector)
        return tf.reduce_sum(layer(IMAGES, training=True) * weights)

    kernel.assign(start)
    with tf.GradientTape() as tape:
        loss = loss_of(start)
    gradient = tape.gradient(loss, kernel.value).numpy().astype(np.float64)
    found, expected = [], []
    for _ in range(12):
        direction = random.standard_normal(start.shape)
        slope = (loss_of(start + 1e-2 * direction) - loss_of(start - 1e-2 * direction)) / 2e-2
        found.append((gradient * direction).sum())
        expected.append(float(slope))
    return np.linalg.norm(np.subtract(found, expected)) / np.linalg.norm(expected)


def test_the_table():
    rows = {}
    for name, wrapper in WRAPPERS.items():
        layer = trained(wrapper)
        rows[name] = [largest_singular_value(used_kernel(layer)), largest_singular_value(layer.layer.kernel)]
        rows[name].append(gradient_error(layer))
    ours, theirs = rows.values()
    assert abs(ours[0] - 1) < 0.01 and ours[2] < 0.01
    assert ours[1] > 2  # W is the optimizer's: it keeps the size that training gives it
    assert theirs[1] < 1.5 and theirs[2] > 0.2
    for name, row in rows.items():
        cells = re.search(rf"^\| `{re.escape(name)}` \| (.*) \|$", PAGE.read_text(), re.MULTILINE)[1].split(
            "|"
        )
        shown = [float(cell) for cell in cells]
        np.testing.assert_allclose(row, shown, rtol=0.1, atol=0.02, err_msg=name)
