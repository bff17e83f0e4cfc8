"""A dataset: an endless, shuffled, restartable stream of batches to train on, or one pass in fixed order."""

import functools

import numpy as np
import tensorflow as tf

from sagan_tf.data import images as image_files
from sagan_tf.data.digest import Digest
from sagan_tf.data.labels import NO_LABEL
from sagan_tf.data.order import BalancedOrder, ShuffledOrder
from sagan_tf.data.stream import stream
from sagan_tf.networks.pixels import from_uint8
from sagan_tf.system.errors import UserError

_LOOKED_AT = 256  # examples that are read to see whether they have labels


def _mirror(pixels: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """Turns the images where `mirrored`, bool (b,), is true left to right."""
    return np.where(mirrored[:, None, None, None], pixels[:, :, ::-1], pixels)


class Dataset:
    """Images of one size with their labels.

    Attributes:
      name: as it was asked for.
      num_examples: number of images.
      num_classes: number of classes.
      class_names: their names; label i is `class_names[i]`.
      image_size: height and width.
      preprocessing: what `once` and `read` do to an image, in words.
      failure: the UserError that ended a stream, if one did: TensorFlow makes another error of it.
      source: gives images by index; see `sagan_tf.data.sources`. Its images may be larger than
        `image_size`: they are cut at random places for training, else in the middle.
    """

    def __init__(
        self, name: str, source, class_names, image_size: int, preprocessing: str = image_files.METHOD
    ):
        self.name = name
        self.source = source
        self.num_examples = len(source)
        self.class_names = tuple(class_names)
        self.num_classes = len(self.class_names)
        self.image_size = image_size
        self.preprocessing = preprocessing
        self.failure: UserError | None = None

    @functools.cached_property
    def digest(self) -> Digest:
        """What the source holds, whatever it is called; computed when it is first asked for."""
        return self.source.identify()

    def identities(self) -> set[str]:
        """Digests of the images, whatever they are called. Two sets of the same images share one.

        They are of the names and contents of the files, of the source that records were made from, and, where
        the images are held in memory, of their pixels.
        """
        return {self.digest.identity, *self.source.other_identities()}

    def without_label(self) -> str:
        """How many images have no label, in words; "" if all have one.

        Where only the examples know their labels, some of them are looked at.
        """
        labels, looked_at = self.source.labels, ""
        if labels is None:
            indices = np.linspace(0, self.num_examples - 1, min(self.num_examples, _LOOKED_AT))
            labels = self.source.read(np.unique(indices.round().astype(np.int64)))[1]
            looked_at = f" looked at, of {self.num_examples:,}"
        missing = int(np.sum(labels == NO_LABEL))
        return f"{missing:,} of {len(labels):,} images{looked_at} have no label" if missing else ""

    def batches(
        self,
        batch_size: int,
        *,
        seed: int,
        start_batch: int = 0,
        shard_index: int = 0,
        num_shards: int = 1,
        flip: bool = False,
        balanced: bool = False,
    ) -> tf.data.Dataset:
        """The endless stream of shuffled batches.

        Every epoch is a fresh uniform permutation in which each example occurs once. Global batch k
        holds positions [k * batch_size, (k + 1) * batch_size) of the stream, whatever `start_batch`
        and `num_shards`; what stands at a position depends on `seed` alone. Nothing is replayed to
        reach `start_batch`.

        Args:
          batch_size: images in a batch over all shards.
          seed: of the order, the flips and the crops.
          start_batch: the global batch to begin with.
          shard_index, num_shards: yield only this shard's rows
            [shard_index * b / n, (shard_index + 1) * b / n) of each global batch.
          flip: mirror each image with probability 1/2.
          balanced: take every class equally often instead, see `BalancedOrder`.

        Returns:
          tf.data.Dataset of (images float32 (b / n, size, size, 3) in [-1, 1], labels int32 (b / n,)),
          to be iterated once.

        Raises:
          ValueError: `batch_size` is not a multiple of `num_shards`.
          UserError: `balanced`, and the labels of the source are not known beforehand.
        """
        if batch_size % num_shards:
            raise ValueError(f"batch_size {batch_size} is not a multiple of num_shards {num_shards}")
        rows = batch_size // num_shards
        order = self._order(seed, balanced)

        def positions(batch):
            start = batch * batch_size + shard_index * rows
            return start, start + rows

        def make(batch):
            pixels, labels = self.source.read(order.indices(*positions(batch)))
            if pixels.shape[1] != self.image_size:
                pixels = self._cut(pixels, order.crops(*positions(batch)))
            if flip:
                pixels = _mirror(pixels, order.flips(*positions(batch)))
            return pixels, labels

        # TensorFlow scales after the queue: a quarter of the bytes pass through it, in a third of the time.
        return self._stream(make, start_batch, None, rows).map(
            lambda images, labels: (from_uint8(images), labels)
        )

    def _order(self, seed, balanced):
        if not balanced:
            return ShuffledOrder(self.num_examples, seed)
        if self.source.labels is None:
            raise UserError(
                f"the labels of {self.name} are not known beforehand; prepare it as records first"
                " (sagan_tf.prepare_data), or hold it in memory",
                option="balanced_classes",
                remedy={"in_memory": "yes"},
            )
        return BalancedOrder(self.source.labels, seed)

    def once(self, batch_size: int) -> tf.data.Dataset:
        """One pass over all examples in fixed order.

        Returns:
          tf.data.Dataset of (images uint8 (b, size, size, 3), labels int32 (b,)), to be
          iterated once; the last batch may be short.
        """

        def make(batch):
            start = batch * batch_size
            return self.read(np.arange(start, min(start + batch_size, self.num_examples)))

        return self._stream(make, 0, -(-self.num_examples // batch_size), None)

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images uint8 (b, size, size, 3) and labels int32 (b,) of some examples. Raises UserError."""
        pixels, labels = self.source.read(indices)
        if pixels.shape[1] != self.image_size:
            pixels = self._cut(pixels, np.full((len(pixels), 2), 0.5))
        return pixels, labels

    def _cut(self, pixels, places):
        """Cuts `image_size` squares: at (0, 0) the top left corner, near (1, 1) the bottom right one."""
        out = np.empty((len(pixels), self.image_size, self.image_size, 3), np.uint8)
        corners = (places * (pixels.shape[1] - self.image_size + 1)).astype(int)
        for image, cut, (top, left) in zip(pixels, out, corners, strict=True):
            cut[:] = image[top : top + self.image_size, left : left + self.image_size]
        return out

    def _stream(self, make, first, count, rows) -> tf.data.Dataset:
        def note(error):
            self.failure = error

        shape = (rows, self.image_size, self.image_size, 3)
        return stream(make, first, count, shape, note)
