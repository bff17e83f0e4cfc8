"""Looks at the attention of a run's networks, on samples and on real images."""

import dataclasses
import typing

import numpy as np
import tensorflow as tf

from sagan_tf.evaluation import samples
from sagan_tf.inspection.views import CheckpointMaps, ShownImages, StoredMaps, View
from sagan_tf.networks.pixels import from_uint8
from sagan_tf.pictures import figures, to_uint8
from sagan_tf.pictures.geometry import choose_positions, position_at
from sagan_tf.runs import objects, restoring
from sagan_tf.runs.config import Config
from sagan_tf.system.class_names import agree
from sagan_tf.system.errors import UserError

_BATCH, _BATCH_VALUES = 32, 1 << 25  # the most images at once, and the most values of one layer in them
_LABELS_READ = 256  # images that are read to learn their labels, if the dataset does not list them


class Drawing(typing.NamedTuple):
    """What is drawn for each layer.

    Attributes:
      rows: the number of images, from the first one on.
      positions: pixels (row, column) whose maps are drawn; empty to choose positions with unlike maps.
      count: the number of positions to choose.
      smooth: see `figures.attention_row`.
    """

    rows: int
    positions: tuple[tuple[int, int], ...]
    count: int
    smooth: bool = False


class _ViewBuilder:
    """Collects the maps of one layer for the images of one source, batch by batch."""

    def __init__(self, network, resolution: int, source: str, images: int, drawing: Drawing):
        self._network, self._resolution, self._source = network, resolution, source
        self._images, self._drawing = images, drawing
        self._maps, self._shares, self._rows = None, [], []

    def add(self, images: np.ndarray, beta: np.ndarray, shares: np.ndarray) -> None:
        """Takes in images uint8 (b, S, S, 3), beta float32 (b, N, M) and |gamma o| / |x| float32 (b,)."""
        maps = StoredMaps.of(beta, self._images)
        self._maps = maps if self._maps is None else self._maps.extended(maps)
        self._shares.append(shares)
        missing = self._drawing.rows - len(self._rows)
        for image, image_maps in zip(images[:missing], beta[:missing], strict=True):
            positions = self._positions(image, image_maps)
            self._rows.append(figures.attention_row(image, image_maps, positions, self._drawing.smooth))

    def _positions(self, image, beta) -> list[int]:
        if not self._drawing.positions:
            return choose_positions(beta, self._drawing.count)
        return [position_at(*pixel, self._resolution, len(image)) for pixel in self._drawing.positions]

    def view(self) -> View:
        """Everything that was collected."""
        gamma = float(self._network.attention_layers[str(self._resolution)].gamma.value)
        return View(
            self._network.name, self._source, gamma, np.concatenate(self._shares), self._maps, self._rows
        )


class MapCollector:
    """Collects the maps of all attention layers of a run's networks.

    Args:
      run: a restored run.
      drawing: what to draw.
      report: called with a line about every layer that is left out.
    """

    def __init__(self, run: restoring.Run, drawing: Drawing, report=print):
        self._run, self._drawing, self._report = run, drawing, report
        self._builders: dict[tuple[str, int, str], _ViewBuilder] = {}
        self._left_out = set()

    def look(self, z, labels: np.ndarray, real: ShownImages | None, progress) -> CheckpointMaps:
        """Runs the networks.

        Args:
          z: float32 (n, z_dim).
          labels: int32 (n,).
          real: real images, or None.
          progress: called with the number of images done.

        Raises:
          UserError: no layer has anything to show.
        """
        generator, discriminator = self._run.generator, self._run.discriminator
        generated, size, count = [], self._batch_size(), len(labels)
        for start in range(0, count, size):
            part = labels[start : start + size]
            seen = generator.look(z[start : start + size], part)
            generated.append(to_uint8(seen.output))
            self._add(generator, "generated", count, generated[-1], seen)
            if discriminator is not None and discriminator.attention_layers:
                self._discriminate("generated", count, generated[-1], seen.output, part)
            progress(start + len(part))
        sources = {"generated": ShownImages(np.concatenate(generated), self._classes(labels))}
        if real is not None and discriminator is not None and discriminator.attention_layers:
            real_labels = np.array(real.labels or [0] * len(real.images), np.int32)
            for start in range(0, len(real.images), size):
                images = real.images[start : start + size]
                part = real_labels[start : start + size]
                self._discriminate("real", len(real.images), images, from_uint8(images), part)
            sources["real"] = real
        views = [builder.view() for builder in self._builders.values()]
        if not views:
            raise UserError(
                "every attention map of the run is 1x1: each position attends to the one there is"
            )
        return CheckpointMaps(self._run.step, sources, views)

    def _batch_size(self) -> int:
        networks = filter(None, (self._run.generator, self._run.discriminator))
        largest = max(int(resolution) for network in networks for resolution in network.attention_layers)
        return max(1, min(_BATCH, _BATCH_VALUES // largest**4))

    def _classes(self, labels) -> tuple[int, ...]:
        return tuple(map(int, labels)) if self._run.config.conditional else ()

    def _discriminate(self, source: str, count: int, pixels, images, labels) -> None:
        discriminator = self._run.discriminator
        self._add(discriminator, source, count, pixels, discriminator.look(images, labels))

    def _add(self, network, source: str, count: int, images, seen) -> None:
        """Takes in what `network.look` returned for these images of a source."""
        for resolution, beta in seen.maps.items():
            key = (network.name, resolution, source)
            if beta.shape[-1] == 1:
                if key[:2] not in self._left_out:
                    self._report(
                        f"{network.name}_{resolution} is left out: its map is 1x1, each position attends to"
                        " the one key there is"
                    )
                self._left_out.add(key[:2])
                continue
            if not np.isfinite(beta).all():
                raise UserError(
                    f"the map of {network.name}_{resolution} at step {self._run.step} is not finite: the run"
                    " has diverged; choose an earlier checkpoint",
                    remedy={"checkpoints": "STEP"},
                )
            if key not in self._builders:
                self._builders[key] = _ViewBuilder(network, resolution, source, count, self._drawing)
            self._builders[key].add(images, beta.numpy(), seen.shares[resolution].numpy())


def draw_z(count: int, seed: int, z_dim: int, truncation: float) -> tf.Tensor:
    """z of samples 0, 1, 2, ... of a seed, float32 (count, z_dim), as in every other command."""
    return samples.draw_z(np.arange(count), seed, z_dim, truncation)


def real_images(config: Config, class_names, classes, count: int) -> ShownImages:
    """Real images of a run's dataset.

    Args:
      config: the run's configuration.
      class_names: the run's class names.
      classes: labels to take in turn, as long as there are images of them.
      count: the most images to return.

    Raises:
      UserError: the dataset cannot be opened or read, or is no longer the one that the run learnt from.
    """
    # Not in memory: that would decode the whole dataset for a few images. HDF5 knows no other way.
    in_memory = config.in_memory if config.dataset.startswith("hdf5:") else "no"
    dataset = objects.open_dataset(dataclasses.replace(config, in_memory=in_memory))
    if not agree(dataset.class_names, class_names):
        raise UserError("has other classes than the run", option="dataset", value=config.dataset)
    if not config.conditional:
        indices = _spread(dataset.num_examples, count)
        return ShownImages(dataset.read(indices)[0], ())
    labels, indices = dataset.source.labels, np.arange(dataset.num_examples)
    if labels is None:
        indices = _spread(dataset.num_examples, _LABELS_READ)
        labels = dataset.read(indices)[1]
    indices = indices[_in_turn(np.asarray(labels), classes, count)]
    if not len(indices):
        raise UserError("no image of these classes was found", option="dataset", value=config.dataset)
    images, labels = dataset.read(indices)
    return ShownImages(images, tuple(map(int, labels)))


def _spread(available: int, count: int) -> np.ndarray:
    return np.unique(np.linspace(0, available - 1, min(count, available)).round().astype(np.int64))


def _in_turn(labels: np.ndarray, classes, count: int) -> list[int]:
    """Indices of `count` images: the first of each class, then the second of each class, and so on."""
    members = [np.flatnonzero(labels == label)[:count] for label in classes]
    turns = [(turn, order, place) for order, own in enumerate(members) for turn, place in enumerate(own)]
    return [int(place) for _, _, place in sorted(turns)[:count]]
