"""Ways from z to z and from class to class."""

import numpy as np
import pytest

from sagan_tf.inspection.paths import between_classes, spherical


def test_spherical_turns_at_an_even_pace():
    """Against a rotation in the plane of the two vectors."""
    random = np.random.default_rng(0)
    first, second = np.linalg.qr(random.standard_normal((6, 2)))[0].T  # orthonormal
    start, end = 3.0 * first, 3.0 * (np.cos(1.2) * first + np.sin(1.2) * second)
    expected = [3.0 * (np.cos(angle) * first + np.sin(angle) * second) for angle in np.linspace(0, 1.2, 7)]
    found = spherical(start, end, 7)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == np.float32


def test_spherical_goes_from_end_to_end_and_keeps_the_length_of_samples():
    random = np.random.default_rng(1)
    start, end = random.standard_normal((2, 128))
    found = spherical(start, end, 9)
    np.testing.assert_allclose(found[[0, -1]], [start, end], atol=1e-5)
    lengths = np.linalg.norm(found, axis=1)
    assert lengths.min() > 0.9 * min(lengths[0], lengths[-1])
    assert np.linalg.norm((start + end) / 2) < 0.8 * lengths.min()  # where a straight line passes


@pytest.mark.parametrize("factor", [1.0, 2.0, -1.0])
def test_spherical_on_one_line_is_straight(factor):
    start = np.array([1.0, 2.0, -1.0])
    found = spherical(start, factor * start, 5)
    np.testing.assert_allclose(found[2], start * (1 + factor) / 2, atol=1e-6)


def test_between_classes():
    weights = between_classes([2, 0, 1], 4, 3)
    expected = [[0, 0, 1, 0], [0.5, 0, 0.5, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0.5, 0.5, 0, 0], [0, 1, 0, 0]]
    np.testing.assert_array_equal(weights, expected)
    assert weights.dtype == np.float32
