"""The pictures of a generator: one class a row, except in interpolations between classes."""

import numpy as np

from sagan_tf.evaluation import samples
from sagan_tf.evaluation.compiled import callable_of
from sagan_tf.inspection import paths
from sagan_tf.inspection.source import SampleSource, draw, mixed_classes
from sagan_tf.pictures import captioned_grid, enlarged
from sagan_tf.system.errors import UserError

_THRESHOLDS, _OF_EACH = (2.0, 1.0, 0.5, 0.1), 4  # of the truncation sweep


class Artist:
    """Draws pictures, uint8 (height, width, 3) with captions.

    Sample i of a seed has the z of sample i in `sagan_tf.evaluation.samples`.

    Args:
      source: the generator.
      labels: one for each row. An unconditional generator takes only their number.
      columns: images in a row, at least 2.
      seed, truncation: see `samples.draw_z`.
      batch_size: images that are drawn together.

    Attributes:
      rows: number of rows.
      names: names of the rows' classes; empty for an unconditional generator.
    """

    def __init__(
        self, source: SampleSource, labels, columns: int, *, seed: int, truncation: float, batch_size: int
    ):
        self._source, self._generator = source, source.generator
        self._labels, self._columns = np.asarray(labels, np.int32), columns
        self._seed, self._truncation, self._batch_size = seed, truncation, batch_size
        self.rows = len(labels)
        conditional = self._generator.conditional
        self.names = [source.class_names[label] for label in labels] if conditional else []

    def samples(self, count: int) -> np.ndarray:
        """Samples 0, 1, 2, ..., uint8 (count, H, W, 3), of the rows' classes in turn."""
        return self._draw(self._z(np.arange(count)), np.resize(self._labels, count))

    def grid(self, title: str = "") -> np.ndarray:
        """Samples 0, 1, 2, ... column by column: every image has a z of its own."""
        rows = self.rows
        z = self._z(np.arange(self._columns * rows).reshape(self._columns, rows).T.ravel())
        return self._picture(z, self._columns, title=title)

    def same_z(self) -> np.ndarray:
        """Each column has one z, each row one class."""
        self._need_classes("same_z", 1)
        z = np.tile(self._z(np.arange(self._columns)), (self.rows, 1))
        return self._picture(z, self._columns, [(f"z {number}", 1) for number in range(self._columns)])

    def interpolation(self) -> np.ndarray:
        """Each row goes from one z to another along the sphere."""
        ends = self._z(np.arange(2 * self.rows)).reshape(self.rows, 2, -1)
        z = np.concatenate([paths.spherical(start, end, self._columns) for start, end in ends])
        return self._picture(z, self._columns)

    def class_interpolation(self) -> np.ndarray:
        """Each row goes from one class to the next; z is the same everywhere."""
        self._need_classes("class_interpolation", 2)
        if self._source.network is None:
            raise UserError(
                "a SavedModel takes whole classes; give the run instead",
                option="what",
                value="class_interpolation",
                remedy={"workdir": None},
            )
        network = self._source.network
        weights = paths.between_classes(self._labels, network.classes, self._columns)
        generator = callable_of(mixed_classes(network, weights))
        labels = np.arange(len(weights), dtype=np.int32)
        z = np.repeat(self._z(np.arange(1)), len(weights), axis=0)
        captions = [f"{a} to {b}" for a, b in zip(self.names[:-1], self.names[1:], strict=True)]
        images = draw(generator, z, labels, self._batch_size)
        return captioned_grid(enlarged(images), self._columns, captions)

    def truncation(self) -> np.ndarray:
        """The same samples with z drawn from [-t, t]; t falls from left to right."""
        rows = self.rows
        numbers = np.arange(_OF_EACH * rows).reshape(_OF_EACH, rows).T  # as in the grid
        z = np.stack([self._z(numbers.ravel(), t) for t in _THRESHOLDS])  # (t, rows * of each, z_dim)
        z = z.reshape(len(_THRESHOLDS), rows, _OF_EACH, -1).swapaxes(0, 1).reshape(-1, z.shape[-1])
        groups = [(f"z in [-{t:g}, {t:g}]", _OF_EACH) for t in _THRESHOLDS]
        return self._picture(z, len(_THRESHOLDS) * _OF_EACH, groups)

    def _need_classes(self, what: str, least: int) -> None:
        if not self._generator.conditional:
            raise UserError("the model is unconditional, it has no classes", option="what", value=what)
        if self.rows < least:
            raise UserError(
                f"needs at least {least} classes", option="what", value=what, remedy={"classes": "A,B"}
            )

    def _z(self, numbers, truncation: float | None = None) -> np.ndarray:
        t = self._truncation if truncation is None else truncation
        return samples.draw_z(np.asarray(numbers), self._seed, self._generator.z_dim, t).numpy()

    def _draw(self, z, labels) -> np.ndarray:
        return draw(self._generator, z, labels, self._batch_size)

    def _picture(self, z, columns: int, groups=(), title: str = "") -> np.ndarray:
        images = self._draw(z, np.repeat(self._labels, columns))
        return captioned_grid(enlarged(images), columns, self.names, groups, title)
