"""Frechet distance against closed forms and against TF-GAN."""

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.metrics import tfgan
from sagan_tf.metrics.frechet import class_distances, frechet_distance
from sagan_tf.metrics.moments import Gaussian, gaussian, root


def _decaying(rng, count, dimension=96, shift=0.0):
    """Features as networks give them: correlated, their variances over six orders of magnitude."""
    mixing = rng.normal(size=(dimension, dimension)) * np.geomspace(1, 1e-3, dimension)[:, None]
    return (rng.normal(size=(count, dimension)) @ mixing + shift).astype(np.float32)


def test_closed_form_of_commuting_gaussians():
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    a, b = rng.uniform(0.1, 2, 8), rng.uniform(0.1, 2, 8)
    means = rng.normal(size=(2, 8))
    expected = np.sum((means[0] - means[1]) ** 2) + np.sum((np.sqrt(a) - np.sqrt(b)) ** 2)
    gaussians = [
        Gaussian(9, mean, root(basis @ np.diag(values) @ basis.T))
        for mean, values in zip(means, (a, b), strict=True)
    ]
    assert frechet_distance(*gaussians) == pytest.approx(expected, rel=1e-12)


def test_closed_form_in_two_dimensions():
    """Tr sqrt(M) of a 2x2 matrix is sqrt(Tr M + 2 sqrt(det M)), whether the two commute or not."""
    a, b = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[1.0, -0.7], [-0.7, 3.0]])
    trace = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a @ b)))
    expected = np.trace(a) + np.trace(b) - 2 * trace
    distance = frechet_distance(Gaussian(9, np.zeros(2), root(a)), Gaussian(9, np.zeros(2), root(b)))
    assert distance == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("counts", [(3000, 2500), (40, 2500), (3000, 40), (40, 60), (97, 96)])
def test_equals_tfgan(counts):
    rng = np.random.default_rng(1)
    real, generated = _decaying(rng, counts[0]), _decaying(rng, counts[1], shift=0.05)
    expected = tfgan.evaluation().frechet_classifier_distance_from_activations(
        tf.constant(real, tf.float64), tf.constant(generated, tf.float64)
    )
    assert frechet_distance(gaussian(real), gaussian(generated)) == pytest.approx(float(expected), rel=1e-6)


def test_equals_tfgan_where_eigenvalues_replace_singular_values():
    rng = np.random.default_rng(2)
    real, generated = _decaying(rng, 2000, 600), _decaying(rng, 2000, 600)
    expected = tfgan.evaluation().frechet_classifier_distance_from_activations(
        tf.constant(real, tf.float64), tf.constant(generated, tf.float64)
    )
    assert frechet_distance(gaussian(real), gaussian(generated)) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("count", [40, 3000])
def test_is_zero_to_itself_and_symmetric(count):
    rng = np.random.default_rng(3)
    a, b = gaussian(_decaying(rng, count)), gaussian(_decaying(rng, 500, shift=0.1))
    variance = np.sum(a.root**2)
    assert abs(frechet_distance(a, a)) < 1e-10 * variance
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-10)
    assert frechet_distance(a, b) > 1e-3 * variance


def test_features_without_variance():
    constant = gaussian(np.ones((50, 8)))
    other = gaussian(np.random.default_rng(0).normal(size=(5000, 8)))
    expected = np.sum((1 - other.mean) ** 2) + np.sum(other.root**2)
    assert frechet_distance(constant, other) == pytest.approx(expected, rel=1e-10)


def test_refuses_different_features():
    with pytest.raises(ValueError, match="8 and 9"):
        frechet_distance(gaussian(np.ones((3, 8))), gaussian(np.ones((3, 9))))


def test_class_distances_are_those_of_each_class():
    rng = np.random.default_rng(4)
    real = {label: _decaying(rng, 30 + label, 16, shift=label) for label in range(3)}
    generated = {label: gaussian(_decaying(rng, 10, 16)) for label in (2, 0, 1)}
    distances = class_distances(real.__getitem__, generated)
    assert [entry.label for entry in distances] == [0, 1, 2]
    assert [entry.real_samples for entry in distances] == [30, 31, 32]
    for entry in distances:
        assert entry.value == frechet_distance(gaussian(real[entry.label]), generated[entry.label])
