"""Gatherers of features that several metrics share."""

import numpy as np

from sagan_tf.metrics.metric import Batch, Measurement
from sagan_tf.metrics.moments import Gaussian, Moments


class AllMoments:
    """Mean and covariance of all features: D x D numbers."""

    def __init__(self, measurement: Measurement):
        del measurement
        self._moments = None

    def update(self, batch: Batch) -> None:
        """Adds a batch."""
        self._moments = self._moments or Moments(batch.features.shape[1])
        self._moments.update(batch.features)

    def gaussian(self) -> Gaussian:
        """Mean and covariance of all features."""
        return self._moments.result()


class ClassMoments:
    """Mean and covariance within each class: at most D rows of features, or D x D numbers, for each class."""

    def __init__(self, measurement: Measurement):
        del measurement
        self._moments = {}

    def update(self, batch: Batch) -> None:
        """Adds a batch, which has labels."""
        for label in np.unique(batch.labels):
            moments = self._moments.setdefault(int(label), Moments(batch.features.shape[1]))
            moments.update(batch.features[batch.labels == label])

    def gaussians(self) -> dict[int, Gaussian]:
        """Mean and covariance of each label's features."""
        return {label: moments.result() for label, moments in self._moments.items()}


class _AllRows:
    """All rows of one output of the network: 4 bytes a number."""

    def __init__(self, measurement: Measurement):
        self._total, self._rows, self._count = measurement.count, None, 0

    def _add(self, start: int, rows: np.ndarray) -> None:
        if self._rows is None:
            self._rows = np.empty((self._total, rows.shape[1]), np.float32)
        self._count = start + len(rows)
        self._rows[start : self._count] = rows

    def rows(self) -> np.ndarray:
        """All rows so far, float32 (n, D)."""
        return self._rows[: self._count]


class AllFeatures(_AllRows):
    """All features."""

    def update(self, batch: Batch) -> None:
        """Adds a batch."""
        self._add(batch.start, batch.features)


class AllLogits(_AllRows):
    """All logits."""

    def update(self, batch: Batch) -> None:
        """Adds a batch."""
        self._add(batch.start, batch.logits)
