"""Tests of monitoring train as those of training do."""

from tests.training.conftest import digits

__all__ = ["digits"]
