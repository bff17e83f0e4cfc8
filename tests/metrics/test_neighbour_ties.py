"""Precision, recall, density and coverage where distances tie, and where images are exact duplicates."""

import numpy as np
import pytest

from sagan_tf.metrics.density_coverage import density_coverage
from sagan_tf.metrics.precision_recall import precision_recall


def _distances(a, b):
    return np.sum((a[:, None] - b[None]) ** 2, axis=-1)


def _radii(points, k):
    return np.array([sorted(np.delete(row, i))[k - 1] for i, row in enumerate(_distances(points, points))])


def _grid(rng, count: int) -> np.ndarray:
    """Points with whole coordinates whose mean is 0: distances are exact in float32, and many are equal."""
    half = rng.integers(-4, 5, (count // 2, 3)).astype(np.float64)
    return np.concatenate([half, -half])


def test_a_point_on_the_ball_is_outside_as_in_the_authors_code():
    rng = np.random.default_rng(0)
    real, generated = _grid(rng, 60), _grid(rng, 40)
    distances, radii = _distances(generated, real), _radii(real, 5)
    inside = distances < radii
    assert radii.min() > 0 and np.any(distances == radii)  # so < and <= differ
    expected = inside.sum() / (5 * len(generated)), np.mean(inside.any(axis=0))
    assert density_coverage(real, generated) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("copies", [1, 2, 6, 9])
def test_a_set_lies_within_its_own_copy(copies):
    """Also where every image is there so often that its neighbours are its duplicates: all radii are 0."""
    features = np.random.default_rng(1).normal(3.0, 1.0, (30, 257)).astype(np.float32)
    real = np.repeat(features, copies, axis=0)
    generated = real[np.random.default_rng(2).permutation(len(real))]
    assert precision_recall(real, generated) == (1.0, 1.0)
    assert density_coverage(real, generated)[1] == 1.0


@pytest.mark.parametrize("copies", [1, 2, 6, 9])
def test_the_density_of_duplicates_counts_them_at_their_centre(copies):
    real = np.repeat(_grid(np.random.default_rng(3), 20), copies, axis=0)
    generated = real[np.random.default_rng(4).permutation(len(real))]
    distances = _distances(generated, real)
    inside = (distances < _radii(real, 5)) | (distances == 0)
    expected = inside.sum() / (5 * len(real)), 1.0
    assert density_coverage(real, generated) == pytest.approx(expected, abs=1e-12)
