"""TF-GAN's evaluation code can be had although TF-GAN itself cannot be imported."""

import importlib.util
import logging
import subprocess
import sys

import pytest
import tensorflow as tf

from sagan_tf.evaluate import INCEPTION
from sagan_tf.metrics import tfgan


def test_functions_are_there():
    evaluation = tfgan.evaluation()
    assert evaluation.INCEPTION_DEFAULT_IMAGE_SIZE == 299
    assert (evaluation.INCEPTION_OUTPUT, evaluation.INCEPTION_FINAL_POOL) == ("logits", "pool_3")
    assert evaluation is tfgan.evaluation()
    assert evaluation.INCEPTION_TFHUB == INCEPTION


@pytest.mark.slow  # it guards nothing of a user's: it says when a file of ours can go
def test_is_still_needed():
    """If this fails, TF-GAN imports again and `tfgan.py` can go."""
    command = [sys.executable, "-c", "import tensorflow_gan"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode != 0 and "estimator" in result.stderr


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install tensorflow-gan"):
        tfgan.evaluation.__wrapped__()  # whatever was imported before


def test_its_deprecated_arguments_are_not_complained_about():
    before = tf.get_logger().level
    with tfgan.computing():
        assert not tf.get_logger().isEnabledFor(logging.WARNING)
        assert tf.constant(1).device.endswith("CPU:0")
    assert tf.get_logger().level == before


def test_version_names_the_library():
    assert tfgan.version().startswith("TF-GAN 2.")
