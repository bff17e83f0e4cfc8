"""Where examples come from: random access to images by index, in memory or decoded as they are read."""

import collections
import concurrent.futures
import errno
import hashlib
import sys
import threading

import numpy as np

from sagan_tf.data import images
from sagan_tf.data.digest import Digest
from sagan_tf.system.errors import UserError, printable
from sagan_tf.system.processor import usable_cpus
from sagan_tf.system.progress import write_line

MEMORY_LIMIT_BYTES = 1 << 30  # sets up to this size are held in memory, decoded
_ROWS_IN_A_TASK = 8
_WORTH_A_LINE = 10_000  # reading so many images takes some seconds


class ArraySource:
    """Examples held in memory.

    Attributes:
      labels: int32 (n,).
    """

    in_memory = True

    def __init__(self, pixels: np.ndarray, labels: np.ndarray, origin):
        """Args: pixels: uint8 (n, size, size, 3); labels: (n,); origin: the source they were read from."""
        self._pixels = pixels
        self._origin = origin
        self.labels = np.asarray(labels, np.int32)

    @property
    def skipped(self) -> int:
        """How many images could not be read."""
        return self._origin.skipped

    def identify(self) -> Digest:
        """What the source holds, see `Digest`."""
        return self._origin.identify()

    def other_identities(self) -> set[str]:
        """Further digests of the images, see `Dataset.identities`: of labels and pixels, in any order."""
        digests = [
            hashlib.blake2b(image, digest_size=16, key=str(label).encode()).digest()
            for image, label in zip(self._pixels, self.labels, strict=True)
        ]
        pixels = hashlib.sha256(b"".join(sorted(digests))).hexdigest()[:16]
        return {pixels, *self._origin.other_identities()}

    def short_sides(self, sample: int) -> tuple[collections.Counter, int]:
        """See `EncodedSource.short_sides`."""
        return self._origin.short_sides(sample)

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images uint8 (b, size, size, 3) and labels int32 (b,) of the examples `indices`."""
        out = np.empty((len(indices), *self._pixels.shape[1:]), np.uint8)
        np.take(self._pixels, indices, axis=0, out=out, mode="clip")
        return out, self.labels[indices]


class EncodedSource:
    """Examples whose images are decoded whenever they are read, by as many threads as there are cores.

    An image that cannot be decoded is refused (UserError, with its name), or skipped: another one of its
    class, drawn at random, takes its place in the stream, and it is named on standard error once. If no
    image of its class can be read, which is said once, any image takes its place.

    Attributes:
      labels: int32 (n,), or None where only the examples know theirs.
    """

    in_memory = False

    def __init__(self, examples, image_size: int, skip_bad: bool):
        """
        Args:
          examples: has `labels`, `__len__`, `get(index)` -> (the image, its label) and
            `describe(index)` -> name of the example. An image is the bytes of a file, or
            uint8 (height, width) or (height, width, 3).
          image_size: height and width of the images.
          skip_bad: skip images that cannot be decoded; otherwise refuse them.
        """
        self._examples = examples
        self._size = image_size
        self._skip_bad = skip_bad
        self._named, self._gone, self._lock = set(), set(), threading.Lock()
        self._substitutes = {}  # by the number of an image that cannot be read
        self._pool = concurrent.futures.ThreadPoolExecutor(usable_cpus(), thread_name_prefix="decode")
        self.labels = examples.labels

    def __len__(self) -> int:
        return len(self._examples)

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images uint8 (b, size, size, 3) and labels int32 (b,) of the examples `indices`."""
        pixels, labels = self._empty(len(indices))

        def fill(row):
            index = int(indices[row])
            if self._decode(index, row, pixels, labels):
                return
            substitute = self._substitutes.get(index)
            if substitute is None or not self._decode(substitute, row, pixels, labels):
                self._substitutes[index] = self._substitute(index, row, pixels, labels)

        self._each_row(fill, len(indices))
        return pixels, labels

    def _substitute(self, index: int, row: int, pixels, labels) -> int:
        """Fills a row with another image than `index`, which cannot be read; returns its number."""
        order = np.random.default_rng(index).permutation(len(self))  # each image its own
        if self.labels is not None:
            label = self.labels[index]
            for other in order[self.labels[order] == label]:
                if label not in self._gone and self._decode(int(other), row, pixels, labels):
                    return int(other)
            self._say_gone(int(label))
        for other in order:
            if self._decode(int(other), row, pixels, labels):
                return int(other)
        raise UserError("none of the images can be read")

    def _say_gone(self, label: int) -> None:
        with self._lock:
            if label not in self._gone:
                self._gone.add(label)
                name = self._examples.class_names[label]
                write_line(
                    f"warning: no image of class {label} ({printable(name)}) can be read: images of other"
                    " classes take their places",
                    sys.stderr,
                )

    def load(self) -> ArraySource:
        """Decodes everything into memory. Skipped images are left out. Raises UserError as `read`."""
        pixels, labels = self._empty(len(self))
        good = self._each_row(lambda row: self._decode(row, row, pixels, labels), len(self))
        if not any(good):
            raise UserError("none of the images can be read")
        if all(good):
            return ArraySource(pixels, labels, self)
        print(f"skipped {good.count(False)} of {len(self)} images that cannot be read", file=sys.stderr)
        return ArraySource(pixels[good], labels[good], self)

    @property
    def skipped(self) -> int:
        """How many images were found that cannot be read."""
        return len(self._named)

    def identify(self) -> Digest:
        """What the source holds, see `Digest`."""
        return self._examples.identify()

    def other_identities(self) -> set[str]:
        """Further digests of the images, see `Dataset.identities`."""
        return set()

    def short_sides(self, sample: int) -> tuple[collections.Counter, int]:
        """How many images have which short side before they are resized, pixels.

        Args:
          sample: how many images to look at, evenly spaced.

        Returns:
          The counts, and how many images they are of: those that can be read.
        """
        indices = np.linspace(0, len(self) - 1, min(sample, len(self))).round().astype(int)

        def side(row):
            try:
                return images.short_side(self._examples.get(int(indices[row]))[0])
            except (images.BadImageError, OSError):
                return None

        sides = collections.Counter(self._each_row(side, len(indices)))
        del sides[None]
        return sides, sides.total()

    def _empty(self, count):
        return np.empty((count, self._size, self._size, 3), np.uint8), np.empty(count, np.int32)

    def _each_row(self, function, count) -> list:
        """`function` of each row, in order; a task takes several rows, as small images decode quickly."""

        def several(start):
            return [function(row) for row in range(start, min(start + _ROWS_IN_A_TASK, count))]

        tasks = self._pool.map(several, range(0, count, _ROWS_IN_A_TASK))
        return [result for results in tasks for result in results]

    def _decode(self, index, row, pixels, labels) -> bool:
        try:
            data, label = self._examples.get(index)
            to_square = images.square if isinstance(data, np.ndarray) else images.decode
            pixels[row] = to_square(data, self._size)
            labels[row] = label
            return True
        except (images.BadImageError, OSError) as error:
            if isinstance(error, OSError) and error.errno == errno.EMFILE:
                raise  # nothing is wrong with the image
            name = self._examples.describe(index)
            reason = getattr(error, "strerror", None) or error  # without the name
            if not self._skip_bad:
                raise UserError(
                    f"{name}: {reason}; mend or remove it, or leave such images out",
                    remedy={"bad_images": "skip"},
                ) from error
            with self._lock:
                if index not in self._named:
                    self._named.add(index)
                    write_line(f"skipped {printable(name)}: {reason}", sys.stderr)
            return False


def in_memory_if_small(source, name: str, image_size: int, in_memory: str):
    """`source` itself, or its examples decoded into memory.

    Args:
      source: has `load`.
      name, image_size: of the dataset.
      in_memory: "yes", "no", or "auto" (if they take no more than `MEMORY_LIMIT_BYTES`).
    """
    size = len(source) * image_size * image_size * 3
    if in_memory == "no" or (in_memory == "auto" and size > MEMORY_LIMIT_BYTES):
        return source
    if len(source) > _WORTH_A_LINE:
        print(f"{name}: reading {len(source):,} images into memory ({size / 1e6:,.0f} MB)", flush=True)
    return source.load()
