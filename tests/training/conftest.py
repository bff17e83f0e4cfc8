"""Fixtures of the tests of training."""

import pytest
import tensorflow as tf

from sagan_tf import data


@pytest.fixture(scope="session")
def digits():
    """The real digits at 32x32."""
    return data.open_dataset("digits", split="train", image_size=32)


@pytest.fixture
def eagerly():
    """Compiling takes much longer than the few steps of a test."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
