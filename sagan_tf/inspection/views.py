"""What attention layers did with some images, to be shown; maps are kept in 8 bits."""

import dataclasses
import typing

import numpy as np

from sagan_tf.pictures import geometry

_STORED_BYTES = 32 << 20  # of one layer's maps; beyond, not all queries are kept


@dataclasses.dataclass
class StoredMaps:
    """Maps of some images in 8 bits: a value is `values / 255 * peaks`, so a map's largest value is exact.

    Attributes:
      queries, keys: height and width of the feature map, and of the map of keys.
      stride: every stride-th query of every stride-th row is kept; Q of them.
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
        """Keeps beta, float32 (n, N, M), of some of `images` images: of many large maps not all queries."""
        queries, keys = geometry.sides(beta)
        stride = 1
        while images * (-(-queries // stride)) ** 2 * keys**2 > _STORED_BYTES and stride < queries:
            stride *= 2
        beta = _every(beta, queries, stride)
        peaks = beta.max(axis=-1)
        values = np.round(beta * (255 / np.maximum(peaks, np.finfo(np.float32).tiny))[..., None])
        return cls(queries, keys, stride, peaks.astype(np.float32), values.astype(np.uint8))

    def extended(self, other: "StoredMaps") -> "StoredMaps":
        """These maps, then those of further images."""
        return dataclasses.replace(
            self,
            peaks=np.concatenate([self.peaks, other.peaks]),
            values=np.concatenate([self.values, other.values]),
        )

    def thinned(self) -> "StoredMaps":
        """Half of the rows and columns of queries."""
        line = -(-self.queries // self.stride)
        return dataclasses.replace(
            self,
            stride=2 * self.stride,
            peaks=_every(self.peaks[..., None], line, 2)[..., 0],
            values=_every(self.values, line, 2),
        )


def _every(maps: np.ndarray, line: int, stride: int) -> np.ndarray:
    """(n, line ** 2, M) -> those of every stride-th row and column, in order."""
    grid = maps.reshape(len(maps), line, line, -1)[:, ::stride, ::stride]
    return grid.reshape(len(maps), -1, maps.shape[-1])


class Source(typing.NamedTuple):
    """Images that layers looked at.

    Attributes:
      images: uint8 (n, S, S, 3).
      labels: the class of each; empty for a model without classes.
    """

    images: np.ndarray
    labels: tuple[int, ...]


class View(typing.NamedTuple):
    """What one layer did with the images of one source.

    Attributes:
      network: "generator" or "discriminator".
      source: key of `Look.sources`.
      gamma: the layer's.
      shares: |gamma o| / |x| of each image, float32 (n,).
      maps: of each image.
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
        """E.g. `generator_16`, or `discriminator_8_real`."""
        suffix = f"_{self.source}" if self.network == "discriminator" else ""
        return f"{self.network}_{self.maps.queries}{suffix}"


class Look(typing.NamedTuple):
    """What the layers of one checkpoint did.

    Attributes:
      step: of the checkpoint.
      sources: "generated", and "real" if there are real images.
      views: one for each layer and source.
    """

    step: int
    sources: dict[str, Source]
    views: list[View]
