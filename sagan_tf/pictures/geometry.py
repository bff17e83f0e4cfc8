"""Where the queries and keys of an attention map lie in the image."""

import math

import numpy as np

_CANDIDATES = 32  # the most rows and columns of positions that `choose_positions` compares


def sides(beta: np.ndarray) -> tuple[int, int]:
    """Height and width of the square map of queries, and of the square map of keys.

    Args:
      beta: (..., N, M), as `SelfAttention` returns it for a square feature map.

    Raises:
      ValueError: this is not the shape for a square feature map with all keys or 2x2 pooled keys.
    """
    queries, keys = math.isqrt(beta.shape[-2]), math.isqrt(beta.shape[-1])
    fits = (queries**2, keys**2) == beta.shape[-2:] and keys in (queries, -(-queries // 2))
    if not fits:
        raise ValueError(f"attention maps of shape {beta.shape}: not those of a square feature map")
    return queries, keys


def _key_of_pixels(queries: int, keys: int, image_size: int) -> np.ndarray:
    """The row of keys that covers each row of pixels, int (image_size,). Columns are the same."""
    rows = np.arange(image_size) * queries // image_size
    return rows if keys == queries else rows // 2


def to_pixels(maps: np.ndarray, queries: int, image_size: int) -> np.ndarray:
    """Each pixel's share of attention: a key's share is spread evenly over the pixels it covers.

    A pooled key covers the pixels of all its positions.

    Args:
      maps: float (..., M), rows of beta.
      queries: height and width of the feature map.
      image_size: height and width of the image, at least those of the feature map.

    Returns: float (..., image_size, image_size); each map sums to 1.
    """
    keys = math.isqrt(maps.shape[-1])
    key = _key_of_pixels(queries, keys, image_size)
    covered = np.bincount(key, minlength=keys)
    maps = maps.reshape(*maps.shape[:-1], keys, keys) / np.outer(covered, covered)
    return maps[..., key[:, None], key[None, :]]


def smooth_pixels(maps: np.ndarray, queries: int, image_size: int) -> np.ndarray:
    """The same as `to_pixels`, but between the centers of the keys the shares change linearly.

    Beyond the outer centers they stay what they are there.
    """
    keys = math.isqrt(maps.shape[-1])
    key = _key_of_pixels(queries, keys, image_size)
    centers = [np.flatnonzero(key == number).mean() for number in range(keys)]
    weights = np.stack([np.interp(np.arange(image_size), centers, one) for one in np.eye(keys)], axis=1)
    pixels = weights @ maps.reshape(*maps.shape[:-1], keys, keys) @ weights.T
    return pixels / pixels.sum(axis=(-2, -1), keepdims=True)


def position_at(row: int, column: int, queries: int, image_size: int) -> int:
    """The number of the query whose cell contains a pixel. The feature map is (queries, queries)."""
    return (row * queries // image_size) * queries + column * queries // image_size


def center(position: int, queries: int, image_size: int) -> tuple[float, float]:
    """The center of a query's cell, (row, column) in pixels from the top left corner of the image."""
    row, column = divmod(position, queries)
    return (row + 0.5) * image_size / queries, (column + 0.5) * image_size / queries


def choose_positions(beta: np.ndarray, count: int) -> list[int]:
    """Queries with unlike maps: first the one with the highest peak, then each time the most distant one.

    The distance of two maps is half the sum of absolute differences: the share of attention that differs.

    Args:
      beta: float (N, M).
      count: the number of queries; fewer are returned if there are fewer positions.
    """
    queries, _ = sides(beta)
    step = -(-queries // _CANDIDATES)
    line = np.arange(step // 2, queries, step)
    candidates = (line[:, None] * queries + line[None, :]).ravel()
    maps = beta[candidates]
    chosen = [int(maps.max(axis=1).argmax())]
    distance = np.full(len(candidates), np.inf)
    while len(chosen) < min(count, len(candidates)):
        distance = np.minimum(distance, 0.5 * np.abs(maps - maps[chosen[-1]]).sum(axis=1))
        distance[chosen] = -1  # never choose one twice, even if all maps are the same
        chosen.append(int(distance.argmax()))
    return candidates[chosen].tolist()
