"""Devices that take turns at a stream of work."""

import collections
import concurrent.futures
import contextlib
import typing

import tensorflow as tf

_AHEAD = 2  # pieces of work a device has at most, so that it need not wait for the next


def in_turns(devices: typing.Sequence[str | None], function: typing.Callable, items: typing.Iterable):
    """Yields (item, function(number, item)) of each item, in their order.

    Item i is for the device whose number is i modulo their count. The devices work at the same time, each in
    a thread of its own; a single one works in this thread. An item is the whole work of a device, so
    the results do not depend on the number of devices.

    Args:
      devices: TensorFlow's names, e.g. GPU:1; None is TensorFlow's choice.
      function: called with the device's number, in that device's scope.
      items: taken in this thread, as they are needed.
    """
    if len(devices) == 1:
        yield from ((item, _work(devices[0], function, 0, item)) for item in items)
        return
    with contextlib.ExitStack() as stack:
        threads = []
        for _ in devices:
            threads.append(concurrent.futures.ThreadPoolExecutor(1))
            stack.callback(threads[-1].shutdown, cancel_futures=True)
        waiting = collections.deque()
        for index, item in enumerate(items):
            if len(waiting) == _AHEAD * len(devices):
                yield _result(*waiting.popleft())
            number = index % len(devices)
            work = threads[number].submit(_work, devices[number], function, number, item)
            waiting.append((item, work))
        while waiting:
            yield _result(*waiting.popleft())


def _result(item, work: concurrent.futures.Future):
    return item, work.result()


def _work(device: str | None, function: typing.Callable, number: int, item):
    with tf.device(device):
        return function(number, item)
