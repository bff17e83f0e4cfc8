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
    """Mean and covariance within each class: of each class at most D rows of features, or D x D numbers."""

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


class AllFeatures:
    """All features: 4 D bytes an image."""

    def __init__(self, measurement: Measurement):
        self._total, self._features, self._count = measurement.count, None, 0

    def update(self, batch: Batch) -> None:
        """Adds a batch."""
        if self._features is None:
            self._features = np.empty((self._total, batch.features.shape[1]), np.float32)
        self._count = batch.start + len(batch.features)
        self._features[batch.start : self._count] = batch.features

    def features(self) -> np.ndarray:
        """All features so far, float32 (n, D)."""
        return self._features[: self._count]
