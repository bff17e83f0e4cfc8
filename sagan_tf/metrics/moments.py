"""Mean and covariance of a stream of features, in float64 and in bounded memory."""

import typing

import numpy as np


class Gaussian(typing.NamedTuple):
    """Sample mean and covariance (divisor count - 1) of features, the covariance by a root of it.

    `root` is (r, D) with root^T root = covariance. With no more samples than features it is the
    centred samples themselves (r = count); otherwise a square or, if the covariance is singular,
    wide factor. Both serve `frechet_distance`, and the first is far smaller than the covariance.
    """

    count: int
    mean: np.ndarray  # (D,) float64
    root: np.ndarray  # (r, D) float64

    def covariance(self) -> np.ndarray:
        """(D, D) float64."""
        return self.root.T @ self.root


class Moments:
    """Accumulates features into a `Gaussian`.

    Rows are gathered into blocks of a fixed number before they are used, so the result does not
    depend on the size of the batches, to the last bit. Sums are in float64 and of differences from
    the first block's mean: features with a mean that is large against their spread lose no digits.
    Until the first block is full no D x D matrix exists.

    Args:
      dimension: D, number of features.
    """

    def __init__(self, dimension: int):
        self.dimension = dimension
        self._block = max(2 * dimension, 1024)
        self._rows, self._waiting = [], 0
        self._count = 0  # rows in the sums; others wait
        self._origin = self._sum = self._squares = None

    @property
    def total(self) -> int:
        """Number of rows added."""
        return self._count + self._waiting

    def update(self, features: np.ndarray) -> None:
        """Adds features, (b, D), of any floating-point type."""
        if features.ndim != 2 or features.shape[1] != self.dimension:
            raise ValueError(f"features of shape {features.shape}: must be (b, {self.dimension})")
        while len(features):
            taken = features[: self._block - self._waiting]
            features = features[len(taken) :]
            self._rows.append(np.array(taken))
            self._waiting += len(taken)
            if self._waiting == self._block:
                self._merge()

    def _merge(self) -> None:
        rows = np.concatenate(self._rows).astype(np.float64)
        if self._squares is None:
            self._origin = rows.mean(axis=0)
            self._sum = np.zeros(self.dimension)
            self._squares = np.zeros((self.dimension, self.dimension))
        rows -= self._origin
        self._sum += rows.sum(axis=0)
        self._squares += rows.T @ rows
        self._count, self._rows, self._waiting = self._count + len(rows), [], 0

    def result(self) -> Gaussian:
        """Mean and covariance of all rows. Call it once, at the end.

        Raises:
          ValueError: fewer than two rows were added, so there is no covariance.
        """
        if self.total < 2:
            raise ValueError("a covariance needs at least 2 samples")
        if self._squares is None and self._waiting <= self.dimension:
            rows = np.concatenate(self._rows).astype(np.float64)
            mean = rows.mean(axis=0)
            return Gaussian(len(rows), mean, (rows - mean) / np.sqrt(len(rows) - 1))
        if self._waiting:
            self._merge()
        shift = self._sum / self._count
        covariance = (self._squares - np.outer(shift, self._sum)) / (self._count - 1)
        return Gaussian(self._count, self._origin + shift, root(covariance))


def gaussian(features: np.ndarray) -> Gaussian:
    """The `Gaussian` of features (n, D)."""
    moments = Moments(features.shape[1])
    moments.update(features)
    return moments.result()


def root(covariance: np.ndarray) -> np.ndarray:
    """Some (r, D) matrix R with R^T R = `covariance`, (D, D), which is positive semi-definite."""
    try:
        return np.linalg.cholesky(covariance).T
    except np.linalg.LinAlgError:  # singular, e.g. features that are always 0
        values, vectors = np.linalg.eigh(covariance)
        kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
        return np.sqrt(values[kept])[:, None] * vectors[:, kept].T
