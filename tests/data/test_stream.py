"""Batches from Python threads: order, ends, failures, and iterators that are dropped at any moment."""

import gc
import time

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.data.stream import stream
from sagan_tf.system.errors import UserError

_SHAPE = (3, 4, 4, 3)


def _make(number):
    return np.full(_SHAPE, number, np.uint8), np.full(3, number, np.int32)


def _stream(make=_make, first=0, count=None, on_failure=None):
    return stream(make, first, count, _SHAPE, on_failure)


def test_order_though_some_batches_take_longer():
    def make(number):
        time.sleep(0.02 if number % 3 == 0 else 0.0)
        return _make(number)

    found = [int(labels[0]) for _, labels in _stream(make, first=5).take(12)]
    assert found == list(range(5, 17))


def test_an_end():
    found = [(images.shape, int(labels[0])) for images, labels in _stream(first=2, count=4)]
    assert found == [(_SHAPE, number) for number in range(2, 6)]


def test_made_ahead_but_not_far():
    made = []

    def make(number):
        made.append(number)
        return _make(number)

    iterator = iter(_stream(make))
    next(iterator)
    time.sleep(0.5)
    assert 3 <= len(made) <= 8


def test_users_error_is_noted_and_ends_the_stream():
    def make(number):
        if number == 3:
            raise UserError("photo.png: damaged")
        return _make(number)

    noted = []
    iterator = iter(_stream(make, on_failure=noted.append))
    for _ in range(3):
        next(iterator)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"photo\.png: damaged"):
        next(iterator)
    assert str(noted[0]) == "photo.png: damaged"


def test_any_other_error_reaches_the_taker():
    def make(number):
        raise ZeroDivisionError("oops")

    with pytest.raises(tf.errors.InvalidArgumentError, match="ZeroDivisionError: oops"):
        next(iter(_stream(make)))


def test_second_iteration_is_refused():
    batches = _stream()
    next(iter(batches))
    with pytest.raises(tf.errors.InvalidArgumentError, match="iterated once"):
        next(iter(batches))


def test_dropped_iterators_do_not_lock_up():
    # With tf.numpy_function in its place this stops for ever, sooner or later.
    def make(number):
        total = sum(range(5_000))  # holds Python's lock
        return np.full(_SHAPE, total, np.float32), np.zeros(3, np.int32)

    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    for number in range(12):
        iterator = iter(_stream(make).prefetch(2))
        for _ in range(number % 3):
            next(iterator)
        del iterator
        gc.collect()
    for _ in range(3):
        iterator = iter(strategy.distribute_datasets_from_function(lambda context: _stream(make)))
        next(iterator)
        del iterator
        gc.collect()
