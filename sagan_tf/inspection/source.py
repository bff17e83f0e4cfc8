"""Where samples come from: a run's checkpoint, or a SavedModel."""

import os
import typing

import numpy as np
import tensorflow as tf

from sagan_tf import networks, pictures
from sagan_tf.evaluation import samples
from sagan_tf.evaluation.compiled import callable_of
from sagan_tf.runs import restoring
from sagan_tf.system import class_names
from sagan_tf.system.errors import UserError, naming

_CLASSES_ASSET = os.path.join("assets", "labels.txt")  # as sagan_tf.export writes it


class Source(typing.NamedTuple):
    """A generator and what is known of it.

    Attributes:
      generator: see `sagan_tf.evaluation.samples.Generator`.
      class_names: empty for an unconditional SavedModel.
      run: the run that it was restored from; None for a SavedModel.
      network: what `generator` calls; None for a SavedModel.
    """

    generator: samples.Generator
    class_names: tuple[str, ...]
    run: restoring.Run | None = None
    network: networks.Generator | None = None


def from_run(workdir: str, checkpoint: str, ema: bool, batch_statistics: str = "moving") -> Source:
    """The generator of a run's checkpoint; for arguments and errors see `restoring.restore`."""
    run = restoring.restore(workdir, checkpoint, ema, batch_statistics)
    return Source(callable_of(run.generator), run.class_names, run, run.generator)


def from_saved_model(path: str) -> Source:
    """The generator of a SavedModel. Raises UserError if it is none, or says nothing of its classes."""
    if not os.path.isfile(os.path.join(path, "saved_model.pb")):
        raise UserError(
            f"--savedmodel={path}: is no SavedModel (saved_model.pb is missing); of an export give the"
            " directory of a version, as models/digits/1"
        )
    with naming("savedmodel", path):
        generator = samples.from_saved_model(path)
    if not generator.conditional:
        return Source(generator, ())
    names = read_class_names(path)
    if not names:
        raise UserError(
            f"--savedmodel={path}: has no {_CLASSES_ASSET}, the name of a class a line, from which to know"
            " what can be asked for"
        )
    return Source(generator, names)


def read_class_names(path: str) -> tuple[str, ...]:
    """The names of the classes of a conditional SavedModel; none if it does not say."""
    file = os.path.join(path, _CLASSES_ASSET)
    return class_names.read(file) if os.path.isfile(file) else ()


def draw(generator: samples.Generator, z: np.ndarray, labels: np.ndarray, batch_size: int) -> np.ndarray:
    """Images uint8 (n, size, size, 3) of z float32 (n, z_dim) and labels int32 (n,)."""
    images = []
    for start in range(0, len(z), batch_size):
        # A short last batch is drawn in full: it would be traced and compiled a second time.
        rows = np.arange(start, start + batch_size) % len(z)
        drawn = generator.generate(tf.constant(z[rows]), tf.constant(labels[rows], tf.int32))
        images.append(pictures.to_uint8(drawn)[: len(z) - start])
    return np.concatenate(images)


def mixed_classes(network: networks.Generator, weights: np.ndarray) -> networks.Generator:
    """A generator whose class i is a mixture of the classes of `network`.

    A class is a row of each table of gains and biases in conditional batch norm, or of the embedding that
    all of them share, and the network is a function of these rows: mixtures of them lie between the classes.

    Args:
      network: conditional.
      weights: float32 (mixtures, classes), rows that sum to 1; a one-hot row is the class itself.
    """
    mixed = network.copy(classes=len(weights), name="mixed_generator")
    embedding = network.embedding.kernel if network.embedding else None
    for old, new in zip(network.variables, mixed.variables, strict=True):
        is_table = len(old.shape) == 2 and (old.name in ("gain", "bias") or old is embedding)
        if is_table:
            new.assign(weights @ old.numpy())
    return mixed
