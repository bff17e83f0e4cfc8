"""Histograms of logits against NumPy."""

import numpy as np

from sagan_tf.training import histogram


def test_counts():
    logits = np.random.default_rng(0).normal(0.3, 2.0, 5000).astype(np.float32)
    expected, _ = np.histogram(logits, histogram.edges())
    np.testing.assert_array_equal(histogram.counts(logits), expected)
    assert (expected > 0).sum() > 25  # not all in a few bins


def test_far_logits_are_in_the_outermost_bins():
    found = histogram.counts(np.float32([-1e6, 1e30, 2e5])).numpy()
    assert (found[0], found[-1], found.sum()) == (1, 2, 3)
