"""Differentiable augmentation against NumPy: each result must be one that the paper's rule allows."""

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.training.augment import POLICIES, augment

_COUNT, _SIDE = 64, 16


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(-1, 1, (_COUNT, _SIDE, _SIDE, 3)).astype(np.float32)


def _seed(number=0):
    return tf.constant([number, 7])


def test_translation(images):
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    found = set()
    for image, result in zip(padded, augment(images, _seed(), ("translation",)).numpy(), strict=True):
        matches = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if np.array_equal(image[y : y + _SIDE, x : x + _SIDE], result)
        ]
        assert len(matches) == 1
        found.add(matches[0])
    assert {y for y, _ in found} == {x for _, x in found} == set(range(5)) and len(found) > 12


def test_cutout(images):
    areas = []
    for image, result in zip(images, augment(images, _seed(), ("cutout",)).numpy(), strict=True):
        cut = (result == 0).all(-1)
        np.testing.assert_array_equal(result, np.where(cut[..., None], 0, image))
        rows, columns = np.flatnonzero(cut.any(1)), np.flatnonzero(cut.any(0))
        assert cut.sum() == len(rows) * len(columns)  # one rectangle
        for span in (rows, columns):
            assert (np.diff(span) == 1).all() and 4 <= len(span) <= 8
            assert len(span) == 8 or span[0] == 0 or span[-1] == _SIDE - 1
        areas.append(cut.sum())
    assert max(areas) == 64 and min(areas) < 64


def test_color(images):
    # Contrast, saturation and brightness are found again from the result by least squares.
    draws = []
    for image, result in zip(images, augment(images, _seed(), ("color",)).numpy(), strict=True):
        grey, grey_after = image.mean(-1, keepdims=True), result.mean(-1, keepdims=True)
        contrast = np.polyfit(grey.ravel(), grey_after.ravel(), 1)[0]
        saturation = np.polyfit((image - grey).ravel(), (result - grey_after).ravel(), 1)[0] / contrast
        brightness = result.mean() - image.mean()
        bright = image + brightness
        expected = (bright - bright.mean(-1, keepdims=True)) * saturation + bright.mean(-1, keepdims=True)
        expected = (expected - expected.mean()) * contrast + expected.mean()
        np.testing.assert_allclose(result, expected, atol=1e-5)
        draws.append((brightness, saturation, contrast))
    low, high = np.min(draws, 0), np.max(draws, 0)
    assert (low > [-0.501, -1e-3, 0.499]).all() and (low < [-0.4, 0.2, 0.6]).all()
    assert (high < [0.501, 2.001, 1.501]).all() and (high > [0.4, 1.8, 1.4]).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_function_of_the_seed(images, dtype):
    images = tf.cast(images, dtype)
    first, again, other = (augment(images, _seed(number)) for number in (0, 0, 1))
    assert first.dtype == images.dtype and first.shape == images.shape
    assert tf.reduce_all(first == again) and not tf.reduce_all(first == other)


@pytest.mark.parametrize("policy", POLICIES)
def test_gradient_against_finite_differences(images, policy):
    x = tf.constant(images[:4], tf.float64)
    weights = tf.constant(np.random.default_rng(1).normal(size=x.shape))
    direction = tf.constant(np.random.default_rng(2).normal(size=x.shape))

    def value(x):
        return tf.reduce_sum(weights * augment(x, _seed(), (policy,)))

    with tf.GradientTape() as tape:
        tape.watch(x)
        y = value(x)
    slope = tf.reduce_sum(tape.gradient(y, x) * direction)
    # Every policy is affine in x: the difference may be taken over a long step.
    np.testing.assert_allclose(slope, (value(x + direction) - value(x - direction)) / 2, rtol=1e-4)


def test_in_a_graph_with_an_open_batch(images):
    call = tf.function(
        augment, input_signature=[tf.TensorSpec((None, _SIDE, _SIDE, 3)), tf.TensorSpec((2,), tf.int32)]
    )
    np.testing.assert_allclose(call(images, _seed()), augment(images, _seed()), atol=1e-6)


def test_unknown_policy(images):
    with pytest.raises(ValueError, match="'rotate'.*color, translation, cutout"):
        augment(images, _seed(), ("rotate",))
