"""Tests of evaluation have the networks of those of metrics."""

from tests.metrics.conftest import classifier_folder, inception_folder, network

__all__ = ["classifier_folder", "inception_folder", "network"]
