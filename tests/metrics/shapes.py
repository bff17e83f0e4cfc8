"""Images and datasets small enough for the tests of metrics."""

import numpy as np

from sagan_tf.data.dataset import Dataset
from sagan_tf.data.digest import of_contents

CLASSES = ("circle", "square", "star")
SIZE = 16


def make_images(count, seed=0, size=SIZE):
    """Random blobs, uint8 (count, size, size, 3): not all alike, even to an untrained network."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 4, 4, 3)).astype(np.uint8)
    return coarse.repeat(size // 4, axis=1).repeat(size // 4, axis=2)


class _Source:
    """See `sagan_tf.data.sources`."""

    def __init__(self, pixels, labels):
        self._pixels, self.labels = pixels, labels

    def __len__(self):
        return len(self.labels)

    def read(self, indices):
        return self._pixels[indices], self.labels[indices]

    def identify(self):
        return of_contents(self._pixels.tobytes(), self.labels.tobytes())


def make_dataset(count=90, seed=0, size=SIZE, classes=CLASSES):
    labels = np.arange(count, dtype=np.int32) % len(classes)
    return Dataset("shapes", _Source(make_images(count, seed, size), labels), classes, size)
