"""What attention layers did with some images, for figures and the page. Maps are kept in 8 bits."""

import dataclasses
import typing

import numpy as np

from sagan_tf.pictures import geometry

_STORED_BYTES = 32 << 20  # limit for one layer's maps; above it some queries are left out


@dataclasses.dataclass
class StoredMaps:
    """Attention maps of n images in 8 bits: beta = values / 255 * peaks, so a map's largest value is exact.

    Attributes:
      queries: height and width of the feature map.
      keys: height and width of the map of keys.
      stride: every stride-th query of every stride-th row is kept; Q queries in all.
      peaks: float32 (n, Q), the largest value of each map.
      values: uint8 (n, Q, keys ** 2).
    """

    queries: int
    keys: int
    stride: int
    peaks: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, beta: np.ndarray, images: int) -> "StoredMaps":
        """Stores beta, float32 (n, N, M), the maps of n of `images` images in all.

        If the maps of all images would be too large, some queries are left out.
        """
        queries, keys = geometry.sides(beta)
        stride = 1
        while images * (-(-queries // stride)) ** 2 * keys**2 > _STORED_BYTES and stride < queries:
            stride *= 2
        beta = _every(beta, queries, stride)
        peaks = beta.max(axis=-1)
        values = np.round(beta * (255 / np.maximum(peaks, np.finfo(np.float32).tiny))[..., None])
        return cls(queries, keys, stride, peaks.astype(np.float32), values.astype(np.uint8))

    def extended(self, other: "StoredMaps") -> "StoredMaps":
        """These maps followed by the maps of further images."""
        return dataclasses.replace(
            self,
            peaks=np.concatenate([self.peaks, other.peaks]),
            values=np.concatenate([self.values, other.values]),
        )

    def thinned(self) -> "StoredMaps":
        """These maps with every second row and column of queries."""
        line = -(-self.queries // self.stride)
        return dataclasses.replace(
            self,
            stride=2 * self.stride,
            peaks=_every(self.peaks[..., None], line, 2)[..., 0],
            values=_every(self.values, line, 2),
        )


def _every(maps: np.ndarray, line: int, stride: int) -> np.ndarray:
    """Keeps every stride-th row and column of a grid: (n, line ** 2, M) -> (n, fewer, M)."""
    grid = maps.reshape(len(maps), line, line, -1)[:, ::stride, ::stride]
    return grid.reshape(len(maps), -1, maps.shape[-1])


class ShownImages(typing.NamedTuple):
    """Images that a network saw or made.

    Attributes:
      images: uint8 (n, S, S, 3).
      labels: one for each image; empty for an unconditional model.
    """

    images: np.ndarray
    labels: tuple[int, ...]


class View(typing.NamedTuple):
    """What one layer did with the images of one source.

    Attributes:
      network: "generator" or "discriminator".
      source: key of `CheckpointMaps.sources`.
      gamma: the layer's gamma.
      shares: |gamma o| / |x| of each image, float32 (n,).
      maps: the maps of all images.
      rows: the first images and their maps as in the paper's figures, see `attention_row`.
    """

    network: str
    source: str
    gamma: float
    shares: np.ndarray
    maps: StoredMaps
    rows: list[np.ndarray]

    @property
    def name(self) -> str:
        """The layer and the source, e.g. `generator_16` or `discriminator_8_real`."""
        suffix = f"_{self.source}" if self.network == "discriminator" else ""
        return f"{self.network}_{self.maps.queries}{suffix}"


class CheckpointMaps(typing.NamedTuple):
    """The attention of one checkpoint's networks.

    Attributes:
      step: the checkpoint's step.
      sources: images by name: "generated", and "real" if there are real images.
      views: one for each layer and source.
    """

    step: int
    sources: dict[str, ShownImages]
    views: list[View]
