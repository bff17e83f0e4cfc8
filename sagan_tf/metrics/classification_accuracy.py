"""Classification accuracy score (Ravuri and Vinyals 2019): learn from generated images, test on real ones."""

import keras
import numpy as np
import tensorflow as tf

from sagan_tf.metrics import classifier
from sagan_tf.metrics.features import resize
from sagan_tf.metrics.metric import Batch, Measurement
from sagan_tf.networks.pixels import from_uint8, to_uint8

_BATCH = 64
_WIDTH = 16


class TrainingImages:
    """Gathers the generated images, at the classifier's size."""

    def __init__(self, measurement: Measurement):
        count, image_size = measurement.count, measurement.real_test.image_size
        self._images = np.empty((count, image_size, image_size, 3), np.uint8)
        self._labels = np.empty((count,), np.int32)

    def update(self, batch: Batch) -> None:
        """Adds a batch, which has labels."""
        images, size = batch.images, self.image_size
        if images.shape[1] != size:
            images = to_uint8(resize(tf.constant(images), size)).numpy()
        rows = slice(batch.start, batch.start + len(images))
        self._images[rows], self._labels[rows] = images, batch.labels

    def batches(self, seed: int) -> tf.data.Dataset:
        """Endless shuffled batches of (float32 images in [-1, 1], labels)."""
        examples = tf.data.Dataset.from_tensor_slices((self._images, self._labels))
        examples = examples.shuffle(len(self._labels), seed=seed).repeat().batch(_BATCH, drop_remainder=True)
        return examples.map(lambda images, labels: (from_uint8(images), labels))

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def image_size(self) -> int:
        """Height and width."""
        return self._images.shape[1]


def classification_accuracy(
    generated: TrainingImages, real, classes: int, *, epochs: float, seed: int, report
) -> tuple[float, int]:
    """Share of real images that a classifier trained on generated ones gets right, and their number.

    Args:
      generated: what it learns from.
      real: iterable of (uint8 images, labels) that no generator was trained on.
      classes: number of classes.
      epochs: passes over the generated images.
      seed: of weights, order and shifts.
      report: called with a line now and then.
    """
    keras.utils.set_random_seed(seed)
    model = classifier.Classifier(generated.image_size, classes, _WIDTH)
    steps = max(1, round(epochs * len(generated) / _BATCH))
    classifier.fit(generated.batches(seed), model, steps=steps, flip=False, seed=seed, report=report)
    return classifier.accuracy(model, real)
