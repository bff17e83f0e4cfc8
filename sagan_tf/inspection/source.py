"""Where samples come from: a run's checkpoint, or a SavedModel."""

import os
import typing

import numpy as np
import tensorflow as tf

from sagan_tf import networks, pictures
from sagan_tf.evaluation import samples
from sagan_tf.evaluation.compiled import callable_of, on_devices
from sagan_tf.runs import restoring
from sagan_tf.system import class_names
from sagan_tf.system.errors import UserError, naming
from sagan_tf.system.paths import is_saved_model

_CLASSES_ASSET = os.path.join("assets", "labels.txt")  # as sagan_tf.export writes it


class SampleSource(typing.NamedTuple):
    """A generator, and what is known about it.

    Attributes:
      generator: see `sagan_tf.evaluation.samples.SampledGenerator`.
      class_names: empty for an unconditional SavedModel.
      run: the run that the generator was restored from; None for a SavedModel.
      network: the network that `generator` calls; None for a SavedModel.
    """

    generator: samples.SampledGenerator
    class_names: tuple[str, ...]
    run: restoring.Run | None = None
    network: networks.Generator | None = None


def from_run(
    workdir: str,
    checkpoint: str,
    ema: bool,
    batch_statistics: str = "moving",
    devices: typing.Sequence[str | None] = (None,),
) -> SampleSource:
    """The generator of a run's checkpoint, with a copy on each device.

    See `restoring.restore` for the other arguments and errors.
    """
    run = restoring.restore(workdir, checkpoint, ema, batch_statistics)
    return SampleSource(callable_of(*on_devices(run.generator, devices)), run.class_names, run, run.generator)


def from_saved_model(path: str, devices: typing.Sequence[str | None] = (None,)) -> SampleSource:
    """The generator of a SavedModel, with a copy on each device.

    Raises:
      UserError: there is no SavedModel, or no list of classes.
    """
    with naming("savedmodel", path):
        if not is_saved_model(path):
            raise UserError(
                "is no SavedModel (saved_model.pb is missing); of an export give the directory of a version,"
                " as models/digits/1"
            )
        generator = samples.from_saved_model(path, devices)
        class_names = read_class_names(path) if generator.conditional else ()
        if generator.conditional and not class_names:
            raise UserError(f"has no {_CLASSES_ASSET}, which lists the names of the classes, one a line")
    return SampleSource(generator, class_names)


def read_class_names(path: str) -> tuple[str, ...]:
    """The class names of a conditional SavedModel; empty if it lists none."""
    file = os.path.join(path, _CLASSES_ASSET)
    return class_names.read(file) if os.path.isfile(file) else ()


def draw(
    generator: samples.SampledGenerator, z: np.ndarray, labels: np.ndarray, batch_size: int
) -> np.ndarray:
    """Images uint8 (n, size, size, 3) of z float32 (n, z_dim) and labels int32 (n,)."""
    images, batch_size = [], min(batch_size, len(z))
    for start in range(0, len(z), batch_size):
        # A short last batch is filled up, because another shape would be traced and compiled anew.
        rows = np.arange(start, start + batch_size) % len(z)
        drawn = generator.generate(tf.constant(z[rows]), tf.constant(labels[rows], tf.int32))
        images.append(pictures.to_uint8(drawn)[: len(z) - start])
    return np.concatenate(images)


def mixed_classes(network: networks.Generator, weights: np.ndarray) -> networks.Generator:
    """A generator whose class i is a mixture of the classes of `network`.

    A class is a row of each table of gains and biases in conditional batch norm, or a row of the shared
    embedding. The network is a function of these rows, so mixtures of rows lie between the classes.

    Args:
      network: conditional.
      weights: float32 (mixtures, classes). Each row sums to 1; a one-hot row is the class itself.
    """
    mixed = network.copy(classes=len(weights), name="mixed_generator")
    embedding = network.embedding.kernel if network.embedding else None
    for old, new in zip(network.variables, mixed.variables, strict=True):
        is_table = len(old.shape) == 2 and (old.name in ("gain", "bias") or old is embedding)
        if is_table:
            new.assign(weights @ old.numpy())
    return mixed
