"""Losses and penalties against NumPy, their gradients against finite differences."""

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.runs.config import Config
from sagan_tf.training.losses import GRADIENT_PENALTIES, LOSSES, class_cross_entropy, orthogonality

REAL = np.array([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0], np.float32)
FAKE = np.array([0.25, -2.0, 1.5, -1.0, 0.0, -0.75, 3.0], np.float32)
LARGE = np.array([-1e30, -3e4, -200.0, -90.0, 90.0, 200.0, 3e4, 1e30], np.float32)
OPTIONS = {field.name: field.metadata for field in Config.__dataclass_fields__.values()}


def minus_log_sigmoid(x):
    """By another way than softplus: without overflow, since exp is only taken of negative numbers."""
    return np.where(x > 0, np.log1p(np.exp(-np.abs(x))), np.log1p(np.exp(-np.abs(x))) - x)


def sigmoid(x):
    return 0.5 * (1 + np.tanh(x / 2))


# Name: D's loss of a real logit, of a fake one, G's; then the three slopes.
ORACLES = {
    "hinge": (
        (lambda x: np.maximum(0, 1 - x), lambda x: np.maximum(0, 1 + x), lambda x: -x),
        (lambda x: -1.0 * (x < 1), lambda x: 1.0 * (x > -1), lambda x: -np.ones_like(x)),
    ),
    "kl": (
        (minus_log_sigmoid, lambda x: minus_log_sigmoid(-x), lambda x: -x),
        (lambda x: -sigmoid(-x), sigmoid, lambda x: -np.ones_like(x)),
    ),
    "non_saturating": (
        (minus_log_sigmoid, lambda x: minus_log_sigmoid(-x), minus_log_sigmoid),
        (lambda x: -sigmoid(-x), sigmoid, lambda x: -sigmoid(-x)),
    ),
    "least_squares": (
        (lambda x: (x - 1) ** 2 / 2, lambda x: x**2 / 2, lambda x: (x - 1) ** 2 / 2),
        (lambda x: x - 1, lambda x: x, lambda x: x - 1),
    ),
    "wasserstein": (
        (lambda x: -x, lambda x: x, lambda x: -x),
        (lambda x: -np.ones_like(x), np.ones_like, lambda x: -np.ones_like(x)),
    ),
}


def test_every_choice_has_its_formula():
    assert tuple(LOSSES) == (*ORACLES, "relativistic") == OPTIONS["loss"]["choices"]
    assert ("none", *GRADIENT_PENALTIES) == OPTIONS["gradient_penalty"]["choices"]


def value_and_slope(function, *logits):
    logits = [tf.constant(values) for values in logits]
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = function(*logits)
    return loss.numpy(), [gradient.numpy() for gradient in tape.gradient(loss, logits)]


@pytest.mark.parametrize("name", ORACLES)
def test_adversarial_losses(name):
    """One loss an image, and its slope, at ordinary logits and at huge ones."""
    of_values, of_slopes = ORACLES[name]
    for real, fake in ((REAL, FAKE), (LARGE, LARGE[::-1]), (LARGE, LARGE)):
        if name == "least_squares":  # the square of 1e30 is no float32
            real, fake = np.clip(real, -1e15, 1e15), np.clip(fake, -1e15, 1e15)
        exact = real.astype(np.float64), fake.astype(np.float64)
        loss, slopes = value_and_slope(LOSSES[name].discriminator, real, fake)
        assert loss.shape == real.shape
        np.testing.assert_allclose(loss, of_values[0](exact[0]) + of_values[1](exact[1]), 1e-5, 1e-30)
        for slope, oracle, at in zip(slopes, of_slopes, exact, strict=False):
            np.testing.assert_allclose(slope, oracle(at), 1e-5, 1e-30)
        loss, (slope,) = value_and_slope(LOSSES[name].generator, fake)
        np.testing.assert_allclose(loss, of_values[2](exact[1]), 1e-5, 1e-30)
        np.testing.assert_allclose(slope, of_slopes[2](exact[1]), 1e-5, 1e-30)


def test_the_relativistic_loss_is_of_pairs():
    """Of the difference of the two logits, for both players, at ordinary and at huge ones."""
    loss = LOSSES["relativistic"]
    for real, fake in ((REAL, FAKE), (LARGE, LARGE[::-1]), (LARGE, LARGE)):
        difference = real.astype(np.float64) - fake.astype(np.float64)
        for function, sign in ((loss.discriminator, 1), (loss.generator, -1)):
            values, slopes = value_and_slope(function, real, fake)
            np.testing.assert_allclose(values, minus_log_sigmoid(sign * difference), 1e-5, 1e-30)
            expected = -sign * sigmoid(-sign * difference)
            np.testing.assert_allclose(slopes, [expected, -expected], 1e-5, 1e-30)
    assert loss.pairs and not any(LOSSES[name].pairs for name in ORACLES)


@pytest.mark.parametrize("name", LOSSES)
def test_only_what_has_a_bound_is_said_to_have_one(name):
    real, fake = np.meshgrid(*[np.linspace(-1e3, 1e3, 101, dtype=np.float32)] * 2)
    least = np.min(LOSSES[name].discriminator(real.ravel(), fake.ravel()))
    assert LOSSES[name].bounded == (least >= 0)


class TinyDiscriminator:
    """Two layers in float64: its gradients are exact enough for finite differences of them."""

    def __init__(self, seed=0):
        random = np.random.default_rng(seed)
        self.kernels = [random.normal(size=(12, 5)), random.normal(size=(5, 1))]

    def __call__(self, images, kernels=None):
        first, last = kernels or self.kernels
        flat = tf.reshape(images, (-1, 12))
        return tf.matmul(tf.tanh(tf.matmul(flat, first)), last)[:, 0]

    def squared_norms(self, images, kernels=None, step=1e-5):
        """Of the gradient with respect to each image, by central differences."""
        totals = np.zeros(len(images))
        for index in np.ndindex(images.shape[1:]):
            shift = np.zeros_like(images)
            shift[(slice(None), *index)] = step
            slopes = (self(images + shift, kernels) - self(images - shift, kernels)).numpy() / (2 * step)
            totals += slopes**2
        return totals


def batch(seed=1):
    random = np.random.default_rng(seed)
    real, fake = random.uniform(-1, 1, (2, 4, 2, 2, 3))
    return real, fake, random.uniform(size=(4, 1, 1, 1))


def by_definition(name, discriminator, real, fake, share, kernels=None):
    if name == "r1":
        return discriminator.squared_norms(real, kernels) / 2
    if name == "r1,r2":
        return np.concatenate([discriminator.squared_norms(each, kernels) / 2 for each in (real, fake)])
    mixed = np.stack([t.item() * x + (1 - t.item()) * g for x, g, t in zip(real, fake, share, strict=True)])
    return (np.sqrt(discriminator.squared_norms(mixed, kernels)) - 1) ** 2


@pytest.mark.parametrize("name", GRADIENT_PENALTIES)
def test_gradient_penalties(name):
    discriminator, images = TinyDiscriminator(), batch()
    penalties = GRADIENT_PENALTIES[name](discriminator, *map(tf.constant, images))
    expected = by_definition(name, discriminator, *images)
    assert penalties.shape == (8 if name == "r1,r2" else 4,) and expected.min() > 0
    np.testing.assert_allclose(penalties, expected, rtol=1e-6)


@pytest.mark.parametrize("name", GRADIENT_PENALTIES)
def test_gradient_of_the_gradient_penalty(name):
    """What D learns from it: the slope along a random direction in its weights."""
    discriminator, images = TinyDiscriminator(), batch()
    random, step = np.random.default_rng(2), 1e-4
    kernels = [tf.constant(kernel) for kernel in discriminator.kernels]
    direction = [random.normal(size=kernel.shape) for kernel in kernels]
    with tf.GradientTape() as tape:
        tape.watch(kernels)
        total = tf.reduce_sum(
            GRADIENT_PENALTIES[name](lambda x: discriminator(x, kernels), *map(tf.constant, images))
        )
    slope = sum(np.sum(g * d) for g, d in zip(tape.gradient(total, kernels), direction, strict=True))

    def moved(sign):
        there = [k + sign * step * d for k, d in zip(discriminator.kernels, direction, strict=True)]
        return by_definition(name, discriminator, *images, there).sum()

    assert slope == pytest.approx((moved(1) - moved(-1)) / (2 * step), rel=1e-5)


@pytest.mark.parametrize("name", GRADIENT_PENALTIES)
def test_a_discriminator_that_does_not_look_gives_numbers(name):
    """Its gradient is 0, where a norm has no slope."""
    kernels = [tf.zeros((12, 5), tf.float64), tf.ones((5, 1), tf.float64)]
    with tf.GradientTape() as tape:
        tape.watch(kernels)
        penalties = GRADIENT_PENALTIES[name](
            lambda x: TinyDiscriminator()(x, kernels), *map(tf.constant, batch())
        )
    np.testing.assert_allclose(penalties, 1.0 if name == "wgan_gp" else 0.0, atol=1e-5)
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(penalties, kernels))


def test_class_cross_entropy():
    logits = np.array([[1.0, 2.0, -1.0], [100.0, -1e30, 0.0], [-5.0, 1e4, 3.0]], np.float32)
    labels = np.array([2, 0, 2], np.int32)
    exact = logits.astype(np.float64)
    shares = np.exp(exact - exact.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    loss, (slope,) = value_and_slope(lambda values: class_cross_entropy(values, labels), logits)
    with np.errstate(divide="ignore"):
        expected = -np.log(shares[range(3), labels])
    expected[2] = 1e4 - 3  # its share is too small for a float
    np.testing.assert_allclose(loss, expected, rtol=1e-6, atol=1e-30)
    np.testing.assert_allclose(slope, shares - np.eye(3)[labels], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("shape", [(7, 3), (3, 7), (4, 4)])
def test_orthogonality(shape):
    """Value and slope, written out; a wide matrix takes another way to the same."""
    matrix = np.random.default_rng(3).normal(size=shape)
    pairs = [(i, j) for i in range(shape[1]) for j in range(shape[1]) if i != j]
    expected = sum(np.dot(matrix[:, i], matrix[:, j]) ** 2 for i, j in pairs)
    slope = np.zeros(shape)
    for i, j in pairs:
        slope[:, i] += 4 * np.dot(matrix[:, i], matrix[:, j]) * matrix[:, j]
    value, (gradient,) = value_and_slope(orthogonality, matrix)
    assert value == pytest.approx(expected, rel=1e-10)
    np.testing.assert_allclose(gradient, slope, rtol=1e-8, atol=1e-10)


def test_orthogonal_filters_of_any_length_cost_nothing():
    rotation, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(6, 4)))
    assert orthogonality(tf.constant(rotation * [0.5, 1.0, 3.0, 2.0])).numpy() < 1e-20
