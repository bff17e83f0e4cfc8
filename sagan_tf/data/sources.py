"""Where examples come from: random access to images by index, in memory or decoded as they are read."""

import concurrent.futures
import os
import sys
import threading

import numpy as np

from sagan_tf.data import images
from sagan_tf.options import UserError

MEMORY_LIMIT_BYTES = 1 << 30  # sets up to this size are held in memory, decoded
_ROWS_IN_A_TASK = 8
_ALIGNMENT = 64  # TensorFlow takes over NumPy's memory without a copy if it is so aligned


def empty_images(count: int, size: int) -> np.ndarray:
    """An uninitialised uint8 array (count, size, size, 3) that TensorFlow need not copy."""
    length = count * size * size * 3
    buffer = np.empty(length + _ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % _ALIGNMENT
    return buffer[start : start + length].reshape(count, size, size, 3)


class ArraySource:
    """Examples held in memory.

    Attributes:
      labels: int32 (n,).
    """

    def __init__(self, pixels: np.ndarray, labels: np.ndarray):
        """Args: pixels: uint8 (n, size, size, 3); labels: (n,)."""
        self._pixels = pixels
        self.labels = np.asarray(labels, np.int32)

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images uint8 (b, size, size, 3) and labels int32 (b,) of the examples `indices`."""
        out = empty_images(len(indices), self._pixels.shape[1])
        np.take(self._pixels, indices, axis=0, out=out, mode="clip")
        return out, self.labels[indices]


class EncodedSource:
    """Examples whose images are decoded whenever they are read, by as many threads as there are cores.

    An image that cannot be decoded is refused (UserError, with its name), or skipped: the next
    readable one takes its place in the stream, and it is named on standard error once.

    Attributes:
      labels: int32 (n,), or None where only the examples know theirs.
    """

    def __init__(self, examples, image_size: int, skip_bad: bool):
        """
        Args:
          examples: has `labels`, `__len__`, `get(index)` -> (bytes of the image file, label) and
            `describe(index)` -> name of the example.
          image_size: height and width of the images.
          skip_bad: skip images that cannot be decoded; otherwise refuse them.
        """
        self._examples = examples
        self._size = image_size
        self._skip_bad = skip_bad
        self._named, self._lock = set(), threading.Lock()
        self._pool = concurrent.futures.ThreadPoolExecutor(
            len(os.sched_getaffinity(0)), thread_name_prefix="decode"
        )
        self.labels = examples.labels

    def __len__(self) -> int:
        return len(self._examples)

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images uint8 (b, size, size, 3) and labels int32 (b,) of the examples `indices`."""
        pixels, labels = empty_images(len(indices), self._size), np.empty(len(indices), np.int32)

        def fill(row):
            index = int(indices[row])
            for step in range(len(self)):
                if self._decode((index + step) % len(self), row, pixels, labels):
                    return
            raise UserError("none of the images can be read")

        self._each_row(fill, len(indices))
        return pixels, labels

    def load(self) -> ArraySource:
        """Decodes everything into memory. Skipped images are left out. Raises UserError as `read`."""
        pixels, labels = empty_images(len(self), self._size), np.empty(len(self), np.int32)
        good = self._each_row(lambda row: self._decode(row, row, pixels, labels), len(self))
        if not any(good):
            raise UserError("none of the images can be read")
        if all(good):
            return ArraySource(pixels, labels)
        print(f"skipped {good.count(False)} of {len(self)} images that cannot be read", file=sys.stderr)
        return ArraySource(pixels[good], labels[good])

    def _each_row(self, function, count) -> list:
        """`function` of each row, in order; a task takes several rows, for small images decode in no time."""

        def several(start):
            return [function(row) for row in range(start, min(start + _ROWS_IN_A_TASK, count))]

        tasks = self._pool.map(several, range(0, count, _ROWS_IN_A_TASK))
        return [result for results in tasks for result in results]

    def _decode(self, index, row, pixels, labels) -> bool:
        try:
            data, label = self._examples.get(index)
            pixels[row] = images.decode(data, self._size)
            labels[row] = label
            return True
        except (images.BadImageError, OSError) as error:
            name = self._examples.describe(index)
            if not self._skip_bad:
                raise UserError(
                    f"{name}: {error}; mend or remove it, or leave such images out with --bad_images=skip"
                ) from error
            with self._lock:
                if index not in self._named:
                    self._named.add(index)
                    print(f"skipped {name}: {error}", file=sys.stderr)
            return False


def in_memory_if_small(source: EncodedSource, name: str, image_size: int, in_memory: str):
    """`source` itself, or its examples decoded into memory.

    Args:
      in_memory: "yes", "no", or "auto" (if they take no more than `MEMORY_LIMIT_BYTES`).
    """
    size = len(source) * image_size * image_size * 3
    if in_memory == "no" or (in_memory == "auto" and size > MEMORY_LIMIT_BYTES):
        return source
    print(f"{name}: reading {len(source):,} images into memory ({size / 1e6:,.0f} MB)", flush=True)
    return source.load()
