"""A dataset: an endless, shuffled, restartable stream of batches to train on, or one pass in fixed order."""

import numpy as np
import tensorflow as tf

from sagan_tf.data.memory import aligned
from sagan_tf.data.order import BalancedOrder, ShuffledOrder
from sagan_tf.options import UserError

_PARALLEL_BATCHES = 2
_ENDLESS = np.iinfo(np.int64).max


def scale(pixels: np.ndarray, mirrored: np.ndarray | None = None) -> np.ndarray:
    """uint8 (b, h, w, c) in [0, 255] to float32 in [-1, 1], as the original: x * (2 / 255) - 1.

    Images where `mirrored`, bool (b,), is true are turned left to right.
    """
    out = aligned(pixels.shape, np.float32)
    mirrored = np.zeros(len(pixels), bool) if mirrored is None else mirrored
    for image, scaled, mirror in zip(pixels, out, mirrored, strict=True):  # one at a time stays in the cache
        np.multiply(image[:, ::-1] if mirror else image, np.float32(2 / 255), out=scaled, dtype=np.float32)
        np.subtract(scaled, np.float32(1), out=scaled)
    return out


class Dataset:
    """Images of one size with their labels.

    Attributes:
      name: as it was asked for.
      num_examples: number of images.
      num_classes: number of classes.
      class_names: their names; label i is `class_names[i]`.
      image_size: height and width.
      failure: the UserError that ended a stream, if one did: TensorFlow makes another error of it.
      source: gives images by index; see `sagan_tf.data.sources`. Its images may be larger than
        `image_size`: they are cut at random places for training, else in the middle.
    """

    def __init__(self, name: str, source, class_names, image_size: int):
        self.name = name
        self.source = source
        self.num_examples = len(source)
        self.class_names = tuple(class_names)
        self.num_classes = len(self.class_names)
        self.image_size = image_size
        self.failure: UserError | None = None

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
          tf.data.Dataset of (images float32 (b / n, size, size, 3) in [-1, 1], labels int32 (b / n,)).

        Raises:
          ValueError: `batch_size` is not a multiple of `num_shards`.
          UserError: `balanced`, and the labels of the source are not known beforehand.
        """
        if batch_size % num_shards:
            raise ValueError(f"batch_size {batch_size} is not a multiple of num_shards {num_shards}")
        rows = batch_size // num_shards
        order = self._order(seed, balanced)

        def positions(batch):
            start = int(batch) * batch_size + shard_index * rows
            return start, start + rows

        def finish(batch, pixels):
            if pixels.shape[1] != self.image_size:
                pixels = self._cut(pixels, order.crops(*positions(batch)))
            return scale(pixels, order.flips(*positions(batch)) if flip else None)

        numbers = tf.data.Dataset.range(start_batch, _ENDLESS)
        batches = self._read(
            numbers, lambda batch: order.indices(*positions(batch)), finish, rows, tf.float32
        )
        return batches.prefetch(2)

    def _order(self, seed, balanced):
        if not balanced:
            return ShuffledOrder(self.num_examples, seed)
        if self.source.labels is None:
            raise UserError(
                f"--balanced_classes: the labels of {self.name} are not known beforehand; prepare it as"
                " records first (tools/prepare_dataset.py), or hold it in memory (--in_memory=yes)"
            )
        return BalancedOrder(self.source.labels, seed)

    def once(self, batch_size: int) -> tf.data.Dataset:
        """One pass over all examples in fixed order.

        Returns:
          tf.data.Dataset of (images uint8 (b, size, size, 3), labels int32 (b,)); the last batch may
          be short.
        """

        def indices(batch):
            start = int(batch) * batch_size
            return np.arange(start, min(start + batch_size, self.num_examples))

        def finish(batch, pixels):
            del batch
            if pixels.shape[1] != self.image_size:
                pixels = self._cut(pixels, np.full((len(pixels), 2), 0.5))
            return pixels

        numbers = tf.data.Dataset.range(-(-self.num_examples // batch_size))
        return self._read(numbers, indices, finish, None, tf.uint8).prefetch(1)

    def _cut(self, pixels, places):
        """Cuts `image_size` squares: at (0, 0) the top left corner, near (1, 1) the bottom right one."""
        out = aligned((len(pixels), self.image_size, self.image_size, 3), np.uint8)
        corners = (places * (pixels.shape[1] - self.image_size + 1)).astype(int)
        for image, cut, (top, left) in zip(pixels, out, corners, strict=True):
            cut[:] = image[top : top + self.image_size, left : left + self.image_size]
        return out

    def _read(self, numbers, indices, finish, rows, dtype) -> tf.data.Dataset:
        """The batches of these numbers, two at a time under way, in order.

        Python runs once a batch, on whole arrays; threads that wait for files, copy or decode leave it free.
        """

        def mapped(batches, function):
            return batches.map(function, num_parallel_calls=_PARALLEL_BATCHES, deterministic=True)

        def in_python(function, inputs, types):
            return tf.numpy_function(self._noting_failure(function), inputs, types, stateful=False)

        def read_all(batch):
            pixels, labels = self.source.read(indices(batch))
            return finish(batch, pixels), labels

        def shaped(images, labels):
            images.set_shape((rows, self.image_size, self.image_size, 3))
            labels.set_shape((rows,))
            return images, labels

        if self.source.decode is None:
            batches = mapped(numbers, lambda batch: shaped(*in_python(read_all, [batch], (dtype, tf.int32))))
        else:  # TensorFlow decodes, as a step of its own: called from within Python it would wait for itself
            types = (tf.string, tf.int32)
            stored = mapped(
                numbers,
                lambda batch: (
                    batch,
                    *in_python(lambda k: self.source.read_stored(indices(k)), [batch], types),
                ),
            )
            pixels = mapped(stored, lambda batch, data, labels: (batch, self.source.decode(data), labels))
            batches = mapped(
                pixels,
                lambda batch, images, labels: shaped(in_python(finish, [batch, images], dtype), labels),
            )
        # tf.distribute is not to divide the stream again: shards are made here, exactly.
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return batches.with_options(options)

    def _noting_failure(self, function):
        def call(*inputs):
            try:
                return function(*inputs)
            except UserError as error:
                self.failure = error
                raise

        return call
