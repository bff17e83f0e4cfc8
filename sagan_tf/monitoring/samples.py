"""The sample grids of a run. They have the same z and labels every time, to be compared."""

import typing

import numpy as np
import tensorflow as tf

from sagan_tf import pictures
from sagan_tf.monitoring.summaries import Reporter
from sagan_tf.pictures.figures import attention_grid
from sagan_tf.training.state import State

_ROWS = 10
_COLUMNS = 10
_LOOKED_AT = 2000  # images whose labels are read, if the dataset does not list the labels
_READ = 256  # images read at once


def grid_labels(classes: int) -> np.ndarray:
    """Labels of a grid with one class a row: all classes, or ten that are evenly spread."""
    rows = min(max(classes, 1), _ROWS)
    chosen = np.linspace(0, max(classes, 1) - 1, rows).round().astype(np.int32)
    return np.repeat(chosen, _COLUMNS)


class Sampler:
    """Draws the sample grids of a run, and the attention in the first sample of each row.

    Args:
      state: what is trained. Samples are drawn with the averaged weights.
      reporter: writes the pictures.
      seed: seed of z.
      dataset: the run's `Dataset`.
    """

    def __init__(self, state: State, reporter: Reporter, seed: int, dataset):
        self._state, self._reporter = state, reporter
        generator = state.ema_generator
        labels = _labels(generator.classes)
        self._captions = _captions(dataset.class_names, generator.classes)
        z = tf.random.stateless_normal((len(labels), generator.z_dim), (seed, -1))
        # One row at a time: a full grid at 512x512 would need more memory than a training step.
        self._inputs = [
            (z[i : i + _COLUMNS], labels[i : i + _COLUMNS]) for i in range(0, len(labels), _COLUMNS)
        ]
        self._generate = tf.function(lambda z, labels: generator(z, labels, training=False))
        self._look = tf.function(self._look_at)
        reals = real_images(dataset, generator.classes)
        self._rows = len(self._captions) or 1
        found = (reals.min(axis=(1, 2, 3)) < 255).reshape(self._rows, -1)  # missing images are white
        self._real_deviations = deviations(reals, self._rows) * found.all(axis=1)
        z, labels, reals = (values[::_COLUMNS] for values in (z, labels, reals))  # the first of each row
        self._looked_at = (z, pictures.from_uint8(reals), labels)

    def write_samples(self, step: int) -> str:
        """Writes the grid and the attention pictures of the present weights. Returns the grid's path."""
        rows = [self._generate(z, tf.constant(labels)) for z, labels in self._inputs]
        images = pictures.to_uint8(np.concatenate(rows))
        self._deviations = deviations(images, self._rows)
        self._write_attention(step)
        return self._reporter.grid(step, "samples/ema", images, _COLUMNS, self._captions)

    def write_divergence(self, step: int) -> str:
        """Writes the grid of the weights without averaging; NaN becomes grey. Returns its path."""
        generate = tf.function(lambda z, labels: self._state.generator(z, labels, training=False))
        images = np.concatenate([generate(z, tf.constant(labels)) for z, labels in self._inputs])
        images = pictures.to_uint8(np.nan_to_num(images))
        return self._reporter.grid(step, "samples/divergence", images, _COLUMNS, self._captions)

    def diversity(self) -> dict[str, float]:
        """Deviation of the last samples within a row, as a share of the real images' deviation.

        Rows are left out if they have too few real images, or if these are all the same.
        """
        names = [f"class {caption}" for caption in self._captions] or ["all images"]
        found = zip(names, self._deviations, self._real_deviations, strict=True)
        return {name: float(of_samples / real) for name, of_samples, real in found if real > 0}

    def _write_attention(self, step: int) -> None:
        """Writes overlays for one image a row: G's on samples, D's on samples and on real images."""
        looks = self._look(*self._looked_at)
        for (network, kind), (images, inside) in looks.items():
            for resolution, beta in inside.maps.items():
                if beta.shape[-1] > 1:  # a single key always gets all attention
                    picture = attention_grid(pictures.to_uint8(images), beta.numpy(), captions=self._captions)
                    self._reporter.picture(step, f"attention/{network}_{resolution}{kind}", picture)

    def attention_shares(self) -> dict[str, float]:
        """|gamma o| / |x| of every attention layer by tag, averaged over one sample of each row."""
        looks = self._look(*self._looked_at)
        return {
            f"attention_share/{network}_{resolution}{kind}": float(np.mean(share))
            for (network, kind), (_, inside) in looks.items()
            for resolution, share in inside.shares.items()
        }

    def _look_at(self, z, reals, labels):
        """By network and kind of image: the images, and what the network's `look` returns for them."""
        generator, discriminator = self._state.ema_generator, self._state.discriminator
        of_generator = generator.look(z, labels)
        images = of_generator.output
        return {
            ("generator", ""): (images, of_generator),
            ("discriminator", "_fake"): (images, discriminator.look(images, labels)),
            ("discriminator", "_real"): (reals, discriminator.look(reals, labels)),
        }


def deviations(images: np.ndarray, rows: int) -> np.ndarray:
    """Standard deviation of a pixel over the images of a row: root of the mean unbiased variance.

    uint8 (rows * n, H, W, 3) -> float64 (rows,).
    """
    images = images.reshape(rows, -1, *images.shape[1:]).astype(np.float64)
    return np.sqrt(images.var(axis=1, ddof=1).mean(axis=(1, 2, 3)))


def _labels(classes: int) -> np.ndarray:
    return grid_labels(classes) if classes else np.zeros(_ROWS * _COLUMNS, np.int32)


def _captions(class_names: typing.Sequence[str], classes: int) -> list[str]:
    """Names of the rows; empty if the model has no classes."""
    return [class_names[label] for label in _labels(classes)[::_COLUMNS]] if classes else []


def real_images(dataset, classes: int) -> np.ndarray:
    """Real images in the layout of the sample grid, uint8 (n, H, W, 3). Missing images are white.

    Args:
      dataset: a `Dataset`.
      classes: the model's number of classes; 0 for an unconditional model.
    """
    indices, found = _known_labels(dataset)
    images = np.full((len(_labels(classes)), dataset.image_size, dataset.image_size, 3), 255, np.uint8)
    rows = images.reshape(-1, _COLUMNS, *images.shape[1:]) if classes else images[None]
    for row, label in zip(rows, _labels(classes)[::_COLUMNS], strict=False):
        members = (indices[found == label] if classes else indices)[: len(row)]
        if len(members):
            row[: len(members)] = dataset.read(members)[0]
    return images


def _known_labels(dataset) -> tuple[np.ndarray, np.ndarray]:
    """Indices of examples, rising, and their labels: all, or as many as are read for their labels."""
    count = dataset.num_examples
    if dataset.source.labels is not None:
        return np.arange(count), dataset.source.labels
    indices = np.linspace(0, count - 1, min(count, _LOOKED_AT)).round().astype(np.int64)
    parts = [indices[start : start + _READ] for start in range(0, len(indices), _READ)]
    return indices, np.concatenate([dataset.source.read(part)[1] for part in parts])


def write_reals(dataset, classes: int, reporter: Reporter) -> str:
    """Writes the grid of `real_images`; returns the PNG's path."""
    captions = _captions(dataset.class_names, classes)
    return reporter.grid(0, "samples/real", real_images(dataset, classes), _COLUMNS, captions)
