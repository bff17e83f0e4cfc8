"""The training images that are nearest to samples, in pixels and in a network's features."""

import typing

import numpy as np

from sagan_tf.data.subset import read_once, subset
from sagan_tf.metrics.neighbours import squared_distances
from sagan_tf.pictures import captioned_grid, enlarged

_READ = 256  # images read at once
_REAL = 100  # real images whose own nearest neighbours are found, to compare with


class Space(typing.NamedTuple):
    """A space in which distances are measured.

    Attributes:
      name: for captions.
      embed: uint8 images (n, H, W, 3) -> points (n, D).
    """

    name: str
    embed: typing.Callable


def pixels() -> Space:
    """RGB values in [0, 1]."""
    return Space("pixels", lambda images: images.reshape(len(images), -1).astype(np.float32) / 255.0)


def features(network) -> Space:
    """The features of a network, see `sagan_tf.metrics.features`."""
    return Space(f"features of {network.name}", lambda images: network(images)[0])


class Nearest:
    """Finds the k points nearest to each query. The points arrive in parts.

    Args:
      queries: float32 (n, D).
      k: the number of neighbours.
      own: int64 (n,), the index of the query itself among the points, which does not count; -1 for none.

    Attributes:
      distances: float32 (n, k), nearest first.
      indices: int64 (n, k), of the same points.
    """

    def __init__(self, queries: np.ndarray, k: int, own: np.ndarray):
        self._mean = queries.mean(axis=0)
        self._queries, self._own = queries - self._mean, own
        self.distances = np.full((len(queries), k), np.inf, np.float32)
        self.indices = np.full((len(queries), k), -1, np.int64)

    def update(self, points: np.ndarray, indices: np.ndarray) -> None:
        """Takes points (m, D) and their indices (m,)."""
        for part, squared in squared_distances(self._queries, points - self._mean):
            found = np.where(indices == self._own[part, None], np.inf, np.sqrt(squared))
            distances = np.concatenate([self.distances[part], found], axis=1)
            candidates = np.concatenate([self.indices[part], np.broadcast_to(indices, found.shape)], axis=1)
            order = np.argsort(distances, axis=1, kind="stable")[:, : self.distances.shape[1]]
            self.distances[part] = np.take_along_axis(distances, order, axis=1)
            self.indices[part] = np.take_along_axis(candidates, order, axis=1)


class Finding(typing.NamedTuple):
    """The neighbours in one space.

    Attributes:
      space: the name of the space.
      images: uint8 (n, k, H, W, 3), the nearest training images of each sample, nearest first.
      distances: float32 (n,), from each sample to its nearest training image.
      real: float32 (m,), from some training images to their nearest other training image.
    """

    space: str
    images: np.ndarray
    distances: np.ndarray
    real: np.ndarray

    def line(self) -> str:
        """The comparison as one line of text."""
        found, real = self.distances, self.real
        return (
            f"{self.space}: from a sample to the nearest training image: median {np.median(found):.3g}, least"
            f" {found.min():.3g} ({len(found)} samples); from a training image to the nearest other: median"
            f" {np.median(real):.3g}, least {real.min():.3g} ({len(real)} images)"
        )


def find(samples: np.ndarray, dataset, spaces: typing.Sequence[Space], k: int, progress) -> list[Finding]:
    """Finds the training images nearest to samples. Reads the dataset once.

    Args:
      samples: uint8 (n, H, W, 3).
      dataset: a `Dataset` of images of the same size.
      spaces: the spaces to measure in.
      k: the number of neighbours.
      progress: called with the number of images done.

    Raises:
      UserError: an image cannot be read.
    """
    count, k = dataset.num_examples, min(k, dataset.num_examples)
    probes = np.linspace(0, count - 1, min(_REAL, count)).round().astype(np.int64)
    own = np.concatenate([np.full(len(samples), -1), probes])
    real = np.concatenate([images for images, _ in read_once(subset(dataset, probes), _READ)])
    queries = np.concatenate([samples, real])
    searches = [Nearest(_embedded(space, queries), k, own) for space in spaces]
    done = 0
    for images, _ in read_once(dataset, _READ):
        indices = np.arange(done, done + len(images))
        for space, search in zip(spaces, searches, strict=True):
            search.update(space.embed(images), indices)
        done += len(images)
        progress(done)
    return [
        Finding(
            space.name,
            _images(dataset, search.indices[: len(samples)]),
            search.distances[: len(samples), 0],
            search.distances[len(samples) :, 0],
        )
        for space, search in zip(spaces, searches, strict=True)
    ]


def _embedded(space: Space, images: np.ndarray) -> np.ndarray:
    return np.concatenate([space.embed(images[i : i + _READ]) for i in range(0, len(images), _READ)])


def _images(dataset, indices: np.ndarray) -> np.ndarray:
    read = np.concatenate([images for images, _ in read_once(subset(dataset, indices.ravel()), _READ)])
    return read.reshape(*indices.shape, *read.shape[1:])


def picture(samples: np.ndarray, names: typing.Sequence[str], finding: Finding) -> np.ndarray:
    """One sample a row, each followed by its neighbours, nearest first."""
    neighbours = finding.images[: len(samples)]
    rows = np.concatenate([samples[:, None], neighbours], axis=1)
    groups = [("sample", 1), (f"nearest training images ({finding.space})", neighbours.shape[1])]
    return captioned_grid(enlarged(rows.reshape(-1, *rows.shape[2:])), rows.shape[1], names, groups)
