"""The two pairs between uint8 and [-1, 1], for arrays and for tensors, are the same to the bit."""

import numpy as np

from sagan_tf import pictures
from sagan_tf.networks import pixels

LEVELS = np.arange(256, dtype=np.uint8)


def test_pairs_agree_and_are_inverses():
    floats = pictures.from_uint8(LEVELS)
    assert floats.dtype == np.float32 and floats[0] == -1 and abs(floats[255] - 1) < 1e-6
    np.testing.assert_array_equal(pixels.from_uint8(LEVELS), floats)
    np.testing.assert_array_equal(pictures.to_uint8(floats), LEVELS)
    np.testing.assert_array_equal(pixels.to_uint8(floats), LEVELS)


def test_values_between_levels_and_outside_are_rounded_alike():
    values = np.linspace(-1.5, 1.5, 10_001, dtype=np.float32)
    np.testing.assert_array_equal(pixels.to_uint8(values), pictures.to_uint8(values))
    assert pixels.to_uint8(values).dtype == np.uint8
