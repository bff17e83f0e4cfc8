"""Some of a dataset's images as a dataset of their own, and one pass over a dataset."""

import numpy as np
import tensorflow as tf

from sagan_tf.data.dataset import Dataset
from sagan_tf.data.digest import Digest, of_part


class _Subset:
    """Some of a source's examples, see `sagan_tf.data.sources`."""

    def __init__(self, source, indices: np.ndarray):
        self._source, self._indices = source, indices
        self.labels = None if source.labels is None else source.labels[indices]

    def __len__(self) -> int:
        return len(self._indices)

    def read(self, indices: np.ndarray):
        return self._source.read(self._indices[indices])

    def identify(self) -> Digest:
        """What the subset holds, see `Digest`."""
        return of_part(self._source.identify(), self._indices.astype("<i8").tobytes())


def subset(dataset: Dataset, indices: np.ndarray) -> Dataset:
    """The images with these numbers, in this order."""
    source = _Subset(dataset.source, indices)
    return Dataset(dataset.name, source, dataset.class_names, dataset.image_size, dataset.preprocessing)


def draw(dataset: Dataset, count: int, seed: int) -> tuple[Dataset, Dataset]:
    """`count` of the images, drawn at random, and the others; both in the dataset's order."""
    order = np.random.default_rng(seed).permutation(dataset.num_examples)
    return subset(dataset, np.sort(order[:count])), subset(dataset, np.sort(order[count:]))


def read_once(dataset: Dataset, batch_size: int):
    """Yields (uint8 images (b, H, W, 3), int32 labels (b,)) of all images.

    Raises:
      UserError: an image cannot be read.
    """
    try:
        for images, labels in dataset.once(batch_size):
            yield images.numpy(), labels.numpy()
    except tf.errors.OpError as error:  # TensorFlow's threads lose the cause, the dataset keeps it
        if dataset.failure is None:
            raise
        raise dataset.failure from error
