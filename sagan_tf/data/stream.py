"""Batches made by Python threads, as a tf.data.Dataset.

`tf.numpy_function` can deadlock: a dropped iterator holds Python's lock while it waits for the calls that
are running, and these wait for that lock. Here TensorFlow's threads never run Python. They wait at a queue,
which can be cancelled.
"""

import atexit
import collections
import concurrent.futures
import contextlib
import itertools
import threading
import weakref

import tensorflow as tf

from sagan_tf.system.errors import UserError, failure_of_the_system

_WORKERS = 2  # batches under way
_SECONDS_TO_END = 5.0  # for the batches that are being made when the process ends
_running = weakref.WeakSet()
_READY = 1  # batches that wait to be taken, beside those that are under way


def stream(make, first: int, count: int | None, image_shape: tuple, on_failure) -> tf.data.Dataset:
    """The batches `make(first)`, `make(first + 1)`, ..., made ahead of time.

    The dataset can be iterated once.

    Args:
      make: gives the images, uint8 (b, h, w, c), and labels, int32 (b,), of a batch by its number.
      first: number of the first batch.
      count: how many batches; None for no end.
      image_shape: (b, h, w, c); b may be None.
      on_failure: called with the UserError that `make` raised, or with one that tells of its OSError; the
        iterator then raises `tf.errors.InvalidArgumentError` with its message.
    """
    # The queue is on the host, whatever the caller's device scope.
    with tf.init_scope(), tf.device("CPU:0"):
        queue = tf.queue.FIFOQueue(_READY, (tf.int64, tf.string, tf.uint8, tf.int32))
    numbers = itertools.count(first) if count is None else range(first, first + count)
    _Producer(queue, make, numbers, on_failure).start()

    def take(expected):
        with tf.device("CPU:0"):
            number, problem, images, labels = queue.dequeue()
        message = tf.where(number == expected, problem, "a stream of batches can be iterated once")
        with tf.control_dependencies([tf.debugging.Assert(tf.equal(message, ""), [message], summarize=1)]):
            images, labels = tf.identity(images), tf.identity(labels)
        images.set_shape(image_shape)
        labels.set_shape(image_shape[:1])
        return images, labels

    last = tf.int64.max if count is None else first + count
    batches = tf.data.Dataset.range(first, last).map(take)
    # tf.distribute is not to divide the stream again: shards are made by `make`, exactly.
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return batches.with_options(options)


class _Producer:
    """Makes batches in two threads and puts them into the queue in order."""

    def __init__(self, queue, make, numbers, on_failure):
        self._queue, self._make, self._numbers = queue, make, numbers
        self._on_failure, self._is_ending = on_failure, threading.Event()
        self._thread = threading.Thread(target=self._run, name="batches", daemon=True)

    def start(self) -> None:
        self._thread.start()
        _running.add(self)

    def stop(self) -> None:
        """Ends the thread. It must not be within TensorFlow when Python's interpreter ends: that crashes."""
        self._is_ending.set()
        self._queue.close(cancel_pending_enqueues=True)
        self._thread.join(_SECONDS_TO_END)

    def _run(self) -> None:
        number = 0
        try:
            with concurrent.futures.ThreadPoolExecutor(_WORKERS) as pool:
                for number, made in self._in_order(pool):
                    self._put(number, "", *made.result())
        except (UserError, OSError) as error:
            if not isinstance(error, UserError):
                error = UserError(f"an image cannot be read ({failure_of_the_system(error)})")
            self._on_failure(error)
            self._put_failures(number, str(error))
        except tf.errors.CancelledError:
            return
        except Exception as error:  # the taker of the batch gets the error, not this thread
            if not self._is_ending.is_set():
                self._put_failures(number, f"{type(error).__name__}: {error}")
        # The queue lives as long as this object; wait until what is in it was taken.
        while not self._is_ending.wait(0.05) and self._queue.size() > 0:
            pass

    def _in_order(self, pool):
        waiting = collections.deque()
        for number in self._numbers:
            waiting.append((number, pool.submit(self._tensors, number)))
            if len(waiting) > _WORKERS:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()

    def _tensors(self, number):
        images, labels = self._make(number)
        with tf.device("CPU:0"):
            return tf.convert_to_tensor(images, tf.uint8), tf.convert_to_tensor(labels, tf.int32)

    def _put(self, number, problem, images, labels):
        with tf.device("CPU:0"):
            self._queue.enqueue((tf.constant(number, tf.int64), tf.constant(problem), images, labels))

    def _put_failures(self, first, message):
        """Puts the message in the place of every batch from `first` on, until the process ends.

        TensorFlow asks for batches ahead of time. Nobody may wait at a queue that nobody fills and that
        is deleted: that crashes when the iterator is deleted too.
        """
        with tf.device("CPU:0"), contextlib.suppress(tf.errors.CancelledError):
            for number in itertools.count(first):
                self._put(number, message, tf.zeros((0, 0, 0, 0), tf.uint8), tf.zeros(0, tf.int32))


@atexit.register
def _stop_all() -> None:
    for producer in list(_running):
        producer.stop()
