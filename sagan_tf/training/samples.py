"""The sample grids of a run: the same z and labels every time, so that pictures can be compared."""

import numpy as np
import tensorflow as tf

from sagan_tf.networks import Generator
from sagan_tf.training.summaries import Reporter

_ROWS = 10
_COLUMNS = 10


def grid_labels(classes: int) -> np.ndarray:
    """Labels of a grid with one class a row: all classes if they are few, otherwise some, evenly spread."""
    rows = min(max(classes, 1), _ROWS)
    chosen = np.linspace(0, max(classes, 1) - 1, rows).round().astype(np.int32)
    return np.repeat(chosen, _COLUMNS)


class Sampler:
    """Draws the sample grids of a run.

    Args:
      generator: the one to sample from, with averaged weights.
      reporter: where the grids go.
      seed: seed of z.
    """

    def __init__(self, generator: Generator, reporter: Reporter, seed: int):
        self._reporter = reporter
        labels = grid_labels(generator.classes)
        if not generator.classes:
            labels = np.zeros(_ROWS * _COLUMNS, np.int32)
        z = tf.random.stateless_normal((len(labels), generator.z_dim), (seed, -1))
        # In batches of a row: a full grid at 512x512 would need more memory than a training step.
        inputs = [(z[i : i + _COLUMNS], labels[i : i + _COLUMNS]) for i in range(0, len(labels), _COLUMNS)]
        generate = tf.function(lambda z, labels: generator(z, labels, training=False))
        self._draw = lambda: np.concatenate(
            [generate(z, tf.constant(labels)).numpy() for z, labels in inputs]
        )

    def write_samples(self, step: int) -> str:
        """Writes the grid of fixed z of the generator as it is now; returns the PNG's path."""
        return self._reporter.grid(step, "samples/ema", self._draw(), _COLUMNS)


def write_reals(dataset, classes: int, reporter: Reporter) -> str:
    """Writes a grid of real images, one class a row as in the sample grids; returns the PNG's path."""
    labels = grid_labels(classes) if classes else np.zeros(_ROWS * _COLUMNS, np.int32)
    wanted = {label: int(np.sum(labels == label)) for label in np.unique(labels)}
    found = {label: [] for label in wanted}
    for images, image_labels in dataset.once(256):
        for image, label in zip(images.numpy(), image_labels.numpy(), strict=True):
            label = int(label) if classes else 0
            if label in found and len(found[label]) < wanted[label]:
                found[label].append(image)
        if all(len(found[label]) == wanted[label] for label in wanted):
            break
    blank = np.full((dataset.image_size, dataset.image_size, 3), 255, np.uint8)
    rows = [
        image for label in found for image in found[label] + [blank] * (wanted[label] - len(found[label]))
    ]
    images = np.stack(rows).astype(np.float32) * (2.0 / 255.0) - 1.0
    return reporter.grid(0, "samples/real", images, _COLUMNS)
