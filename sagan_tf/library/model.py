"""A trained generator to work with: of a run, of a SavedModel, or of an exported .keras file."""

import os
import typing

import keras
import numpy as np
import tensorflow as tf

from sagan_tf.evaluation.compiled import callable_of
from sagan_tf.evaluation.samples import GeneratorSamples, draw_z
from sagan_tf.inspection import source as sources
from sagan_tf.inspection.class_choice import choose
from sagan_tf.library.mistakes import as_value_errors, make_options
from sagan_tf.networks import Discriminator, Generator
from sagan_tf.pictures import to_uint8
from sagan_tf.runs.config import Config
from sagan_tf.serving.versions import versions
from sagan_tf.system.paths import is_saved_model
from sagan_tf.system.run_directory import is_run

Classes: typing.TypeAlias = "str | int | typing.Sequence[str | int]"

_LOOKED_AT = 16  # images whose attention maps are computed together


class Attention(typing.NamedTuple):
    """Where a generator's attention layers look.

    Attributes:
      images: uint8 (n, size, size, 3).
      labels: int32 (n,), their classes.
      maps: by the resolution R of the layer float32 (n, N, M): row j says how much position j of N = R * R
        takes from each of M; M is N, or the number of pooled positions. Rows sum to 1.
    """

    images: np.ndarray
    labels: np.ndarray
    maps: dict[int, np.ndarray]


class Model:
    """A trained generator, made by `sagan_tf.load`.

    Attributes:
      path: where it was loaded from; None for a `GAN` in memory.
      class_names: the names of its classes; empty for an unconditional SavedModel.
      image_size: height and width of its images.
      z_dim: length of z.
      conditional: whether it has classes.
      network: the Keras model; None for a SavedModel.
      discriminator: of a run; else None.
      config, step: of a run: its configuration, and the step of the checkpoint; else None.
    """

    def __init__(
        self,
        source: sources.SampleSource,
        path: str | None,
        weights: str = "ema",
        batch_statistics: str = "moving",
    ):
        run = source.run
        self.path, self.class_names = path, source.class_names
        self.network: Generator | None = source.network
        self.discriminator: Discriminator | None = run.discriminator if run else None
        self.config: Config | None = run.config if run else None
        self.step: int | None = run.step if run else None
        self._weights, self._batch_statistics = weights, batch_statistics
        self._generator = source.generator
        self.image_size, self.z_dim = source.generator.image_size, source.generator.z_dim
        self.conditional = source.generator.conditional

    def sample(
        self,
        classes: Classes = (),
        n: int = 16,
        seed: int = 0,
        truncation: float = 0.0,
        batch_size: int = 64,
    ) -> np.ndarray:
        """Draws images: sample i of a seed, as `sagan_tf.sample` draws it, whatever the batch size.

        Args:
          classes: names or numbers, which are taken in turn; none: all classes.
          n: how many images.
          seed: of z.
          truncation: z is drawn from [-t, t]; 0 for none.
          batch_size: images that are drawn together.

        Returns: uint8 (n, image_size, image_size, 3), in [0, 255].

        Raises:
          ValueError: no such class, or another argument that does not fit.
        """
        labels = self._labels(classes, n)
        _check_drawing(truncation, batch_size)
        drawn = GeneratorSamples(self._generator, labels, seed, truncation)
        return np.concatenate(list(drawn.batches(batch_size)))

    def attention(
        self, classes: Classes = (), n: int = 8, seed: int = 0, truncation: float = 0.0
    ) -> Attention:
        """The same images with the map of every attention layer of the generator.

        Args: as of `sample`.

        Raises:
          ValueError: there is no attention layer, or an argument does not fit.
        """
        labels = self._labels(classes, n)
        _check_drawing(truncation, _LOOKED_AT)
        z = draw_z(np.arange(n), seed, self.z_dim, truncation)
        look, images, maps = self._looker(), [], []
        for start in range(0, n, _LOOKED_AT):
            seen, found = look(z[start : start + _LOOKED_AT], labels[start : start + _LOOKED_AT])
            images.append(to_uint8(seen))
            maps.append(found)
        joined = {size: np.concatenate([part[size] for part in maps]) for size in maps[0]}
        return Attention(np.concatenate(images), labels, joined)

    def export(self, directory: str | os.PathLike, **options) -> str:
        """Exports the generator of a run as `sagan_tf.export` does: a SavedModel, and what serves it.

        Args:
          directory: of the model; each export is a new version in it.
          options: other options of the command, e.g. `also=["keras"]`; `sagan-export --help` lists them.

        Returns: the directory of the version.

        Raises:
          ValueError: this is no run, or an option does not fit.
        """
        from sagan_tf import export

        if self.config is None:
            raise ValueError(f"path={self.path}: holds no run; only runs are exported")
        if self._weights != "ema":
            raise ValueError(f"weights={self._weights!r}: exports are of the averaged weights, 'ema'")
        given = self.place | {"export_dir": os.fspath(directory)}
        del given["weights"]
        with as_value_errors():
            export.main(make_options(export.Options, given | options), frozenset(given | options))
        return os.path.join(os.fspath(directory), str(versions(os.fspath(directory))[-1]))

    @property
    def place(self) -> dict[str, str]:
        """Of a run: the options that tell a command of these weights."""
        return {
            "workdir": self.path,
            "checkpoint": str(self.step),
            "weights": self._weights,
            "batch_statistics": self._batch_statistics,
        }

    def _labels(self, classes, n: int) -> np.ndarray:
        if n < 1:
            raise ValueError(f"n={n}: must be at least 1")
        one = isinstance(classes, (str, int, np.integer))
        asked = tuple(str(each) for each in ((classes,) if one else classes))
        with as_value_errors():
            return np.resize(np.array(choose(asked, self.class_names, self.conditional), np.int32), n)

    def _looker(self):
        """A function of z and labels that gives images in [-1, 1], and maps by resolution."""
        if self.network is not None and not self.network.attention_layers:
            raise ValueError("the generator has no attention layer")
        if self.network is not None:
            return lambda z, labels: self._look_at_network(z, labels)
        signature = tf.saved_model.load(self.path).signatures.get("attention")
        if signature is None:
            raise ValueError(f"path={self.path}: this SavedModel has no signature attention")
        return lambda z, labels: _call_signature(signature, z, labels)

    def _look_at_network(self, z, labels):
        seen = self.network.look(z, labels)
        return seen.output, {size: beta.numpy() for size, beta in seen.maps.items()}


def of_network(network: Generator, class_names: tuple[str, ...] = (), path: str | None = None) -> Model:
    """The model of a generator in memory, built; without names its classes are "0", "1", ..."""
    names = class_names or tuple(map(str, range(network.classes)))
    return Model(sources.SampleSource(callable_of(network), names, None, network), path)


def load(
    path: str | os.PathLike,
    checkpoint: str | int = "latest",
    weights: typing.Literal["ema", "raw"] = "ema",
    batch_statistics: typing.Literal["moving", "estimated"] = "moving",
) -> Model:
    """Loads a trained generator.

    Args:
      path: directory of a run; or of a SavedModel, or of an export with its versions, of which the newest is
        taken; or a .keras file of a generator.
      checkpoint: of a run: "latest", "best" or a step.
      weights: of a run: the averaged weights, or the raw ones.
      batch_statistics: of a run: the moving averages, or statistics estimated from samples.

    Raises:
      ValueError: there is nothing to load, or an argument does not fit.

    >>> model = load("runs/digits")
    >>> model.sample(classes=[0, 1], n=4, seed=0).shape
    (4, 32, 32, 3)
    """
    path = os.fspath(path)
    for name, value, allowed in (
        ("weights", weights, ("ema", "raw")),
        ("batch_statistics", batch_statistics, ("moving", "estimated")),
    ):
        if value not in allowed:
            raise ValueError(f"{name}={value!r}: allowed are {', '.join(allowed)}")
    with as_value_errors():
        if is_run(path):
            source = sources.from_run(path, str(checkpoint), weights == "ema", batch_statistics)
            return Model(source, path, weights, batch_statistics)
        if (checkpoint, weights, batch_statistics) != ("latest", "ema", "moving"):
            raise ValueError(f"path={path}: holds no run; checkpoint, weights and batch_statistics need one")
        if path.endswith(".keras"):
            return _load_keras(path)
        saved_model = _saved_model_in(path)
        return Model(sources.from_saved_model(saved_model), saved_model)


def _load_keras(path: str) -> Model:
    if not os.path.isfile(path):
        raise ValueError(f"path={path}: no such file")
    network = keras.saving.load_model(path)
    if not isinstance(network, Generator):
        raise ValueError(f"path={path}: holds {type(network).__name__}, not a Generator")
    return of_network(network, sources.read_class_names(os.path.dirname(path)), path)


def _saved_model_in(path: str) -> str:
    """The directory of the SavedModel: the path itself, or its newest version."""
    if not os.path.isdir(path):
        raise ValueError(f"path={path}: no such directory")
    if is_saved_model(path):
        return path
    numbers = versions(path)
    if not numbers:
        raise ValueError(f"path={path}: holds neither a run nor a SavedModel")
    return os.path.join(path, str(numbers[-1]))


def _call_signature(signature, z, labels):
    given = {"z": z, "labels": tf.constant(labels)}
    named = signature.structured_input_signature[1]
    found = signature(**{name: given[name] for name in named})
    maps = {int(name.rpartition("_")[2]): value.numpy() for name, value in found.items() if name != "images"}
    return found["images"], maps


def _check_drawing(truncation: float, batch_size: int) -> None:
    if not 0 <= truncation < float("inf"):
        raise ValueError(f"truncation={truncation}: must be a positive number, or 0 for none")
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: must be at least 1")
