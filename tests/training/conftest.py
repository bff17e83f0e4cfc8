"""Fixtures of the tests of training."""

import pytest

from sagan_tf import data


@pytest.fixture(scope="session")
def digits():
    """The real digits at 32x32."""
    return data.open_dataset("digits", split="train", image_size=32)
