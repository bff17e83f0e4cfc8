"""Devices that take turns: in order, at the same time, none too far ahead, mistakes in their place."""

import threading

import pytest
import tensorflow as tf

from sagan_tf.system.errors import UserError
from sagan_tf.system.turns import in_turns


@pytest.mark.parametrize("count", [1, 2, 3])
def test_results_come_in_order_each_from_the_device_whose_turn_it_is(count):
    devices = [f"CPU:{number}" for number in range(count)]

    def work(number, item):
        assert tf.constant(0.0).device.endswith(devices[number])
        return number, -item

    found = list(in_turns(devices, work, range(8)))
    assert found == [(item, (item % count, -item)) for item in range(8)]
    assert list(in_turns(devices, work, [])) == []


def test_devices_work_at_the_same_time():
    barrier = threading.Barrier(3, timeout=60)  # broken if one works after the other
    found = in_turns(["CPU:0", "CPU:1", "CPU:2"], lambda number, item: barrier.wait() >= 0, range(6))
    assert [together for _, together in found] == [True] * 6


def test_one_device_works_in_this_thread():
    ((_, thread),) = in_turns([None], lambda number, item: threading.current_thread(), [0])
    assert thread is threading.current_thread()


def test_items_are_taken_as_they_are_needed_and_threads_end_with_the_generator():
    taken, before = [], threading.active_count()
    stream = in_turns(["CPU:0", "CPU:1"], lambda number, item: item, map(taken.append, range(100)))
    next(stream)
    assert len(taken) == 5  # two for each device, and the one for which room was made
    stream.close()
    assert threading.active_count() == before


def test_a_mistake_shows_where_its_result_would_be():
    def work(number, item):
        if item == 3:
            raise UserError("damaged")
        return item

    found, before = [], threading.active_count()
    with pytest.raises(UserError, match="damaged"):
        found.extend(result for _, result in in_turns(["CPU:0", "CPU:1"], work, range(50)))
    assert found == [0, 1, 2] and threading.active_count() == before
