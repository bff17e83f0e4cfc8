"""Streaming moments against NumPy's, over all features at once."""

import numpy as np
import pytest

from sagan_tf.metrics.moments import Moments, gaussian, root


def _stream(features, batch_size):
    moments = Moments(features.shape[1])
    for start in range(0, len(features), batch_size):
        moments.update(features[start : start + batch_size])
    return moments.result()


@pytest.mark.parametrize("count", [2, 17, 1024, 1500, 3000])
def test_equals_numpy(count):
    features = np.random.default_rng(0).normal(3.0, 2.0, (count, 24))
    result = gaussian(features)
    assert result.count == count
    np.testing.assert_allclose(result.mean, features.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(result.covariance(), np.cov(features.T), rtol=1e-9, atol=1e-12)


def test_batch_size_does_not_matter_to_the_last_bit():
    features = np.random.default_rng(0).normal(size=(2500, 24)).astype(np.float32)
    whole, tiny, odd = (_stream(features, batch_size) for batch_size in (2500, 7, 1025))
    np.testing.assert_array_equal(whole.root, tiny.root)
    np.testing.assert_array_equal(whole.root, odd.root)
    np.testing.assert_array_equal(whole.mean, odd.mean)


def test_order_does_not_matter():
    rng = np.random.default_rng(0)
    features = np.sort(rng.normal(size=(4000, 24)), axis=0)
    a, b = gaussian(features), gaussian(rng.permutation(features))
    np.testing.assert_allclose(a.mean, b.mean, atol=1e-13)
    np.testing.assert_allclose(a.covariance(), b.covariance(), atol=1e-12)


@pytest.mark.parametrize("count", [20, 5000])
def test_large_means_lose_no_digits(count):
    features = (1e4 + np.random.default_rng(0).normal(size=(count, 24))).astype(np.float32)
    exact = np.cov(features.astype(np.float64).T)
    np.testing.assert_allclose(gaussian(features).covariance(), exact, rtol=1e-9, atol=1e-10)
    # What the test is about: the same in float32 is wrong in the second digit or worse.
    careless = features.T @ features / count - np.outer(features.mean(axis=0), features.mean(axis=0))
    assert np.abs(careless - exact).max() > 0.1


def test_few_samples_need_no_square_matrix():
    assert gaussian(np.random.default_rng(0).normal(size=(50, 2048))).root.shape == (50, 2048)


def test_root_of_singular_covariances():
    rng = np.random.default_rng(0)
    constant_columns = rng.normal(size=(2000, 6)) * [1, 0, 2, 0, 3, 0]
    np.testing.assert_allclose(
        gaussian(constant_columns).covariance(), np.cov(constant_columns.T), atol=1e-12
    )
    nothing = root(np.zeros((4, 4)))
    np.testing.assert_array_equal(nothing.T @ nothing, np.zeros((4, 4)))


def test_refuses_what_has_no_covariance():
    with pytest.raises(ValueError, match="at least 2"):
        gaussian(np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"\(b, 3\)"):
        Moments(3).update(np.zeros((2, 4)))
