"""Distances between many points, a block at a time."""

import typing

import numpy as np

_BLOCK_BYTES = 64 * 2**20  # a block takes twice as much while it is computed


def squared_distances(points: np.ndarray, others: np.ndarray) -> typing.Iterator[tuple[slice, np.ndarray]]:
    """Squared Euclidean distances of all pairs, in blocks of points of bounded size.

    Args:
      points: float32 (n, D); `others`: float32 (m, D). Centre both by the same vector first: the
        distances are found from products, which lose digits where the mean is large.

    Yields:
      A slice of `points` and its float32 distances (rows, m); exactly 0 where both are the same point.
    """
    numbers, other_numbers = _identities(points), _identities(others)
    norms = np.einsum("nd,nd->n", points, points)
    other_norms = np.einsum("md,md->m", others, others)
    rows = max(1, _BLOCK_BYTES // (4 * len(others)))
    for start in range(0, len(points), rows):
        part = slice(start, start + rows)
        block = points[part] @ others.T
        block *= -2.0
        block += norms[part, None] + other_norms
        np.maximum(block, 0.0, out=block)
        block[numbers[part, None] == other_numbers] = 0.0
        yield part, block


def _identities(points: np.ndarray) -> np.ndarray:
    """A number for each point (n, D), the same for equal points alone, int64 (n,)."""
    return np.fromiter((hash(row.tobytes()) for row in points), np.int64, len(points))


def squared_radii(points: np.ndarray, neighbours: int) -> np.ndarray:
    """Squared distance of each point (n, D) to its `neighbours`-th nearest other point, float32 (n,)."""
    radii = np.empty(len(points), np.float32)
    for part, block in squared_distances(points, points):
        rows = np.arange(len(block))
        block[rows, part.start + rows] = np.inf  # not its own neighbour
        radii[part] = np.partition(block, neighbours - 1, axis=1)[:, neighbours - 1]
    return radii


def centred(real: np.ndarray, generated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sets in float32, moved by the mean of the real one."""
    mean = real.mean(axis=0, dtype=np.float64)
    return tuple((features - mean).astype(np.float32) for features in (real, generated))
