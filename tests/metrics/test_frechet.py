"""Frechet distance against closed forms and against TF-GAN."""

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.metrics import tfgan
from sagan_tf.metrics.frechet import class_distances, frechet_distance, tfgan_distance, typical_size
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


def _by_tfgan(real, generated):
    return float(
        tfgan.evaluation().frechet_classifier_distance_from_activations(
            tf.constant(real, tf.float64), tf.constant(generated, tf.float64)
        )
    )


@pytest.mark.parametrize("counts", [(3000, 2500), (40, 2500), (3000, 40), (40, 60), (97, 96)])
def test_equals_tfgan(counts):
    """From moments alone; the fast form too."""
    rng = np.random.default_rng(1)
    real, generated = _decaying(rng, counts[0]), _decaying(rng, counts[1], shift=0.05)
    expected = _by_tfgan(real, generated)
    assert tfgan_distance(gaussian(real), gaussian(generated)) == pytest.approx(expected, rel=1e-11)
    assert frechet_distance(gaussian(real), gaussian(generated)) == pytest.approx(expected, rel=1e-6)


def test_equals_tfgan_where_eigenvalues_replace_singular_values():
    rng = np.random.default_rng(2)
    real, generated = _decaying(rng, 2000, 600), _decaying(rng, 2000, 600)
    expected = _by_tfgan(real, generated)
    assert frechet_distance(gaussian(real), gaussian(generated)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("size", [1e-4, 1e4])
def test_the_size_of_features_does_not_matter(size):
    """TF-GAN by itself takes small eigenvalues for 0: of small features the distance would be far off."""
    rng = np.random.default_rng(5)
    a, b = gaussian(_decaying(rng, 500) * size), gaussian(_decaying(rng, 500, shift=0.01) * size)
    expected = frechet_distance(a, b)
    assert tfgan_distance(a, b, typical_size(a)) == pytest.approx(expected, rel=1e-6)
    assert size > 1 or tfgan_distance(a, b) > 1.1 * expected


@pytest.mark.parametrize("distance", [frechet_distance, tfgan_distance])
@pytest.mark.parametrize("count", [40, 3000])
def test_is_zero_to_its_own_copy_and_symmetric(count, distance):
    """Exactly, and whatever the order: not -1e-13."""
    rng = np.random.default_rng(3)
    features, other = _decaying(rng, count), gaussian(_decaying(rng, 500, shift=0.1))
    a = gaussian(features)
    assert distance(a, gaussian(features)) == distance(a, gaussian(rng.permutation(features))) == 0.0
    assert distance(a, other) == pytest.approx(distance(other, a), rel=1e-7)
    assert distance(a, other) > 1e-3 * np.sum(a.root**2)


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
