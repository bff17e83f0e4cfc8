"""Generated images to be scored: drawn from a generator, or read from a folder."""

import typing

import numpy as np
import tensorflow as tf

from sagan_tf.data import images as image_files
from sagan_tf.data.folder import FolderExamples
from sagan_tf.metrics.features import fingerprint
from sagan_tf.networks.pixels import to_uint8
from sagan_tf.networks.sampling import draw_z
from sagan_tf.system.class_names import normal
from sagan_tf.system.errors import UserError
from sagan_tf.system.paths import for_tensorflow
from sagan_tf.system.turns import in_turns

DISTRIBUTIONS = ("uniform", "balanced", "reference")


def draw_labels(
    distribution: str, count: int, classes: int, seed: int, real_labels: np.ndarray
) -> np.ndarray:
    """Classes to ask for, int32 (count,).

    Args:
      distribution: "uniform" (each drawn at random, as the paper does), "balanced" (every class as
        often as every other, give or take one), or "reference" (drawn as often as it is among `real_labels`).
      count: how many.
      classes: number of classes.
      seed: of the draw.
      real_labels: int (n,); -1 where an image has none, which does not count.
    """
    if distribution == "balanced":
        return np.arange(count, dtype=np.int32) % classes
    rng = np.random.default_rng(seed)
    if distribution == "reference":
        return rng.choice(real_labels[real_labels >= 0], count).astype(np.int32)
    return rng.integers(classes, size=count, dtype=np.int32)


class SampledGenerator(typing.NamedTuple):
    """A generator to be scored.

    `generate` takes z float32 (b, z_dim) and labels int32 (b,), and returns images float32 (b, image_size,
    image_size, 3) in [-1, 1]. `conditional` says whether it uses the labels. `digest` is that of a
    SavedModel; None for a network of this process. `devices` are TensorFlow's names of the devices with a
    copy, None being TensorFlow's choice: `generate` is for the first, `others` are the same for the others.
    """

    generate: typing.Callable
    z_dim: int
    image_size: int
    conditional: bool
    digest: str | None = None
    devices: tuple[str | None, ...] = (None,)
    others: tuple[typing.Callable, ...] = ()


class GeneratorSamples:
    """Images drawn from a generator; image i depends on the seed and on i only.

    Args:
      generator: see above.
      labels: the classes to ask for, int32 (n,); see `draw_labels`.
      seed, truncation: see `draw_z`.

    Attributes:
      count, image_size: number of images, their height and width.
      asked: the classes that were asked for.
      labels: the same; None of a generator without classes.
    """

    def __init__(self, generator: SampledGenerator, labels: np.ndarray, seed: int, truncation: float):
        self.count, self.image_size = len(labels), generator.image_size
        self.labels = labels if generator.conditional else None
        self._generator, self.asked = generator, labels
        self._seed, self._truncation = seed, truncation

    def batches(self, batch_size: int):
        """Yields images uint8 (b, size, size, 3); the generator's devices take turns.

        Values are rounded to 8 bits as in an image file, so a folder of saved samples scores the same.
        """
        batch_size = min(batch_size, self.count)
        generator, starts = self._generator, range(0, self.count, batch_size)
        copies = (generator.generate, *generator.others)

        def draw(device: int, start: int):
            # The last batch is drawn in full: a shorter one would be traced and compiled again.
            indices = np.arange(start, start + batch_size)
            z = draw_z(indices, self._seed, generator.z_dim, self._truncation)
            images = copies[device](z, tf.constant(self.asked[indices % self.count]))
            return to_uint8(images).numpy()[: self.count - start]

        yield from (images for _, images in in_turns(generator.devices, draw, starts))


def from_saved_model(path: str, devices: typing.Sequence[str | None] = (None,)) -> SampledGenerator:
    """The generator in a SavedModel, as `sagan_tf.export` writes it, with a copy on each device.

    Raises:
      UserError: it cannot be loaded, or has another signature.
    """
    first, *others = [_load(path, device) for device in devices]
    copies = tuple(each.generate for each in others)
    return first._replace(digest=fingerprint(path), devices=tuple(devices), others=copies)


def _load(path: str, device: str | None) -> SampledGenerator:
    try:
        with tf.device(device):
            model = tf.saved_model.load(for_tensorflow(path))
    except Exception as error:  # TensorFlow raises many types for a damaged SavedModel
        raise UserError(f"cannot be loaded as a SavedModel ({error})") from error
    signature = model.signatures.get("serving_default")
    inputs = signature.structured_input_signature[1] if signature else {}
    outputs = list(signature.structured_outputs) if signature else []
    if "z" not in inputs or set(inputs) - {"z", "labels"} or len(outputs) != 1 or inputs["z"].shape.rank != 2:
        raise UserError(
            "needs a signature serving_default from z (n, z_dim) and labels (n,) to"
            f" images (n, H, W, 3); it has {_describe(model.signatures)}"
        )

    def generate(z, labels):
        generate.model = model  # which must outlive its signature
        given = (
            {"z": z, "labels": tf.cast(labels, inputs["labels"].dtype)} if "labels" in inputs else {"z": z}
        )
        return signature(**given)[outputs[0]]

    z_dim = int(inputs["z"].shape[1])
    with tf.device(device):
        images = generate(tf.zeros((1, z_dim)), tf.zeros((1,), tf.int32))
    if images.shape.rank != 4 or images.shape[1] != images.shape[2] or images.shape[3] != 3:
        raise UserError(f"returns {tuple(images.shape)}; it must return square images (n, H, W, 3)")
    return SampledGenerator(generate, z_dim, int(images.shape[1]), "labels" in inputs)


def _describe(signatures) -> str:
    texts = [
        f"{name}: {', '.join(f.structured_input_signature[1])} -> {', '.join(f.structured_outputs)}"
        for name, f in signatures.items()
    ]
    return "; ".join(texts) or "none"


class FolderSamples:
    """Images in a folder, or in one folder for each class, named as the class is.

    Args:
      path: the folder.
      limit: the most images to take; if there are more, this many are drawn at random.
      seed: of the draw.

    Attributes:
      count, image_size: number of images, their height and width.
      labels: int32 (count,), or None if unknown.
      digest: of the images in the folder.

    Raises:
      UserError: no such folder, no images, or images that are not square or of different sizes.
    """

    def __init__(self, path: str, limit: int, seed: int):
        self._examples = FolderExamples(path)
        self.digest = self._examples.identify().identity
        order = np.random.default_rng(seed).permutation(len(self._examples))
        self._order = np.sort(order[:limit])
        self.count = len(self._order)
        self.labels = None
        self.image_size = self._check_sizes()

    def name_classes(self, class_names) -> None:
        """Sets `labels`, if every folder is named as one of these classes."""
        numbers = {normal(name): label for label, name in enumerate(class_names)}
        own = [normal(name) for name in self._examples.class_names]
        if all(name in numbers for name in own):
            label_of = np.array([numbers[name] for name in own], np.int32)
            self.labels = label_of[self._examples.labels[self._order]]

    def _check_sizes(self) -> int:
        """Reads the headers of all files, which is quick, and returns the images' size."""
        first, size = None, None
        for index in self._order:
            name = self._examples.describe(index)
            try:
                found = image_files.dimensions(name)
            except (image_files.BadImageError, OSError) as error:
                raise UserError(f"{name}: cannot be read as an image ({error}); mend or remove it") from error
            first, size = first or name, size or found
            if found != size or found[0] != found[1]:
                raise UserError(
                    f"{name}: is {found[0]}x{found[1]}"
                    + (f", {first} is {size[0]}x{size[1]}" if found != size else "")
                    + "; all must be square and of one size, that of the reference"
                )
        return size[0]

    def batches(self, batch_size: int):
        """Yields images uint8 (b, size, size, 3). Raises UserError at a damaged image."""
        for start in range(0, self.count, batch_size):
            yield np.stack([self._read(index) for index in self._order[start : start + batch_size]])

    def _read(self, index: int) -> np.ndarray:
        try:
            return image_files.decode(self._examples.get(index)[0], self.image_size)
        except (image_files.BadImageError, OSError) as error:
            raise UserError(f"{self._examples.describe(index)}: {error}; mend or remove it") from error
