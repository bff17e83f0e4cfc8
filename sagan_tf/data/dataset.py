"""A dataset: an endless, shuffled, restartable stream of batches to train on, or one pass in fixed order."""

import numpy as np
import tensorflow as tf

from sagan_tf.data.order import ShuffledOrder

_PARALLEL_BATCHES = 2
_ENDLESS = np.iinfo(np.int64).max


def scale(images: tf.Tensor) -> tf.Tensor:
    """uint8 [0, 255] to float32 [-1, 1], as the original: x * (2 / 255) - 1."""
    return tf.cast(images, tf.float32) * (2.0 / 255.0) - 1.0


class Dataset:
    """Images of one size with their labels.

    Attributes:
      name: as it was asked for.
      num_examples: number of images.
      num_classes: number of classes.
      class_names: their names; label i is `class_names[i]`.
      image_size: height and width.
      source: gives images by index; see `sagan_tf.data.sources`.
    """

    def __init__(self, name: str, source, class_names, image_size: int):
        self.name = name
        self.source = source
        self.num_examples = len(source)
        self.class_names = tuple(class_names)
        self.num_classes = len(self.class_names)
        self.image_size = image_size

    def batches(
        self,
        batch_size: int,
        *,
        seed: int,
        start_batch: int = 0,
        shard_index: int = 0,
        num_shards: int = 1,
        flip=False,
    ) -> tf.data.Dataset:
        """The endless stream of shuffled batches.

        Every epoch is a fresh uniform permutation in which each example occurs once. Global batch k
        holds positions [k * batch_size, (k + 1) * batch_size) of the stream, whatever `start_batch`
        and `num_shards`; what stands at a position depends on `seed` alone. Nothing is replayed to
        reach `start_batch`.

        Args:
          batch_size: images in a batch over all shards.
          seed: of the order and the flips.
          start_batch: the global batch to begin with.
          shard_index, num_shards: yield only this shard's rows
            [shard_index * b / n, (shard_index + 1) * b / n) of each global batch.
          flip: mirror each image with probability 1/2.

        Returns:
          tf.data.Dataset of (images float32 (b / n, size, size, 3) in [-1, 1], labels int32 (b / n,)).

        Raises:
          ValueError: `batch_size` is not a multiple of `num_shards`.
        """
        if batch_size % num_shards:
            raise ValueError(f"batch_size {batch_size} is not a multiple of num_shards {num_shards}")
        rows = batch_size // num_shards
        order = ShuffledOrder(self.num_examples, seed)

        def read(batch):
            start = int(batch) * batch_size + shard_index * rows
            pixels, labels = self.source.read(order.indices(start, start + rows))
            if flip:
                mirrored = order.flips(start, start + rows)
                pixels[mirrored] = pixels[mirrored, :, ::-1]
            return pixels, labels

        # Python runs once a batch, on whole arrays; threads that wait for files or decode leave it free.
        numbers = tf.data.Dataset.range(start_batch, _ENDLESS)
        batches = numbers.map(
            self._reader(read, rows), num_parallel_calls=_PARALLEL_BATCHES, deterministic=True
        )
        batches = batches.map(lambda pixels, labels: (scale(pixels), labels))
        return _unsharded(batches).prefetch(2)

    def once(self, batch_size: int) -> tf.data.Dataset:
        """One pass over all examples in fixed order.

        Returns:
          tf.data.Dataset of (images uint8 (b, size, size, 3), labels int32 (b,)); the last batch may
          be short.
        """

        def read(batch):
            start = int(batch) * batch_size
            return self.source.read(np.arange(start, min(start + batch_size, self.num_examples)))

        numbers = tf.data.Dataset.range(-(-self.num_examples // batch_size))
        batches = numbers.map(
            self._reader(read, None), num_parallel_calls=_PARALLEL_BATCHES, deterministic=True
        )
        return _unsharded(batches).prefetch(1)

    def _reader(self, read, rows):
        def call(batch):
            pixels, labels = tf.numpy_function(read, [batch], (tf.uint8, tf.int32), stateful=False)
            pixels.set_shape((rows, self.image_size, self.image_size, 3))
            labels.set_shape((rows,))
            return pixels, labels

        return call


def _unsharded(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Keeps tf.distribute from dividing the stream again: shards are made here, exactly."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return batches.with_options(options)
