"""Networks that turn images into features: TF-GAN's Inception, or a classifier of the user's own."""

import functools
import json
import os
import typing

import numpy as np
import tensorflow as tf

from sagan_tf.metrics import tfgan
from sagan_tf.metrics.metric import INCEPTION_NAME
from sagan_tf.networks.pixels import from_uint8
from sagan_tf.system import files
from sagan_tf.system.errors import UserError
from sagan_tf.system.paths import for_tensorflow
from sagan_tf.system.turns import in_turns

CLASSIFIER_FILE = "classifier.json"  # beside the SavedModel of `sagan_tf.train_classifier`
_RESIZE_METHOD = "tf.image.resize bilinear"
LOGITS, FEATURES = "logits", "pool_3"
_INCEPTION_SIZES = (1008, 2048)  # numbers of logits and of features


class FeatureNetwork:
    """A network with the outputs `logits` and `pool_3`.

    Attributes:
      name: "Inception", or the classifier's own name, which stands beside its scores.
      fingerprint: first 16 hex digits of the SHA-256 of the SavedModel's files.
      image_size: height and width of the images that it takes; others are resized to it here.
      num_features, num_logits: sizes of the two outputs.
      class_names: names of the classes that the logits stand for; empty if unknown.
    """

    def __init__(self, directory: str, devices: typing.Sequence[str | None] = (None,)):
        """Loads a SavedModel to each device; see `load_network`.

        Raises:
          UserError: it cannot be loaded, or lacks an output.
        """
        self.fingerprint = fingerprint(directory)
        about = _read_about(directory)
        models = [_load(directory, device) for device in devices]
        self.image_size = about["image_size"] if about else _image_size(models[0], directory)
        self.class_names = tuple(about["class_names"]) if about else ()
        self.num_features, self.num_logits = self._check_outputs(models[0])
        if about:
            self.name = about["name"]
        elif (self.num_logits, self.num_features) == _INCEPTION_SIZES:
            self.name = INCEPTION_NAME
        else:
            self.name = os.path.basename(os.path.abspath(directory))
        self._devices, self._runs = devices, [self._compiled(model) for model in models]

    @property
    def is_inception(self) -> bool:
        """Whether scores may carry the names IS, FID and KID."""
        return self.name == INCEPTION_NAME

    def resize(self, image_size: int) -> str:
        """How images of this height and width come to the network's size, for the protocol."""
        method = f"to {self.image_size}x{self.image_size}, {_RESIZE_METHOD}"
        if not self.is_inception:
            return f"{method}, antialiased"
        return f"{method}, not antialiased" if image_size > self.image_size else method

    def __call__(self, images) -> tuple[np.ndarray, np.ndarray]:
        """Features (b, num_features) and logits (b, num_logits), float32, of uint8 images (b, H, W, 3)."""
        return self._see(0, images)

    def over(self, batches: typing.Iterable) -> typing.Iterator[tuple]:
        """Yields (batch, features, logits) of each batch, in their order; the network's devices take turns.

        Args:
          batches: tuples that begin with images, as for a call.
        """
        found = in_turns(self._devices, lambda device, batch: self._see(device, batch[0]), batches)
        yield from ((batch, *outputs) for batch, outputs in found)

    def _see(self, device: int, images) -> tuple[np.ndarray, np.ndarray]:
        outputs = self._runs[device](tf.convert_to_tensor(images))
        return outputs[FEATURES].numpy(), outputs[LOGITS].numpy()

    def _compiled(self, model):
        def call(images):
            # TF-GAN leaves resizing to the caller; its examples do not antialias.
            resized = resize(images, self.image_size, antialias=not self.is_inception)
            classify = functools.partial(_classify, model)
            return tfgan.evaluation().run_inception(resized, classifier_fn=classify)

        signature = [tf.TensorSpec((None, None, None, 3), tf.uint8)]
        return tf.function(call, input_signature=signature, autograph=False)

    def _check_outputs(self, model) -> tuple[int, int]:
        try:
            outputs = _classify(model, tf.zeros((2, self.image_size, self.image_size, 3)))
        except (ValueError, TypeError, tf.errors.OpError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"does not take float32 images (n, {self.image_size}, {self.image_size}, 3) ({reason})"
            ) from error
        missing = [name for name in (LOGITS, FEATURES) if name not in outputs]
        if missing:
            raise UserError(
                f"has no output {' or '.join(missing)}, but"
                f" {', '.join(sorted(outputs))};"
                " sagan_tf.train_classifier makes a network with the right ones"
            )
        return int(outputs[FEATURES].shape[1]), int(outputs[LOGITS].shape[1])


def resize(images: tf.Tensor, size: int, *, antialias: bool = True) -> tf.Tensor:
    """uint8 (b, H, W, 3) to float32 (b, size, size, 3) in [-1, 1]; bilinear, half-pixel centres.

    `antialias` widens the filter when the result is smaller; when it is larger that changes nothing.
    """
    return tf.ensure_shape(
        tf.image.resize(from_uint8(images), (size, size), antialias=antialias), (None, size, size, 3)
    )


def load_network(place: str, devices: typing.Sequence[str | None] = (None,)) -> FeatureNetwork:
    """A network by its handle or directory.

    Args:
      place: a TF-Hub handle (https://...), which is downloaded once, or the directory of a SavedModel.
      devices: TensorFlow's names of those that get a copy, e.g. GPU:1; None is TensorFlow's choice.

    Raises:
      UserError: it cannot be downloaded or loaded, or lacks an output; the message says what to do.
    """
    if not place.startswith(("https://", "http://")):
        return FeatureNetwork(place, devices)
    return FeatureNetwork(_download(place), devices)


def _download(handle: str) -> str:
    import tensorflow_hub

    try:
        return tensorflow_hub.resolve(handle)
    except Exception as error:  # URLError, OSError, RuntimeError, ...: TF-Hub documents no type
        raise UserError(
            f"cannot be downloaded ({error}). Either download it where there is a"
            " network and give the unpacked directory, or train a classifier on the data itself"
            " (sagan_tf.train_classifier) and give that"
        ) from error


def _load(directory: str, device: str | None):
    import tensorflow_hub

    try:
        with tf.device(device):
            return tensorflow_hub.load(for_tensorflow(directory))
    except Exception as error:  # the reader raises many types for a damaged SavedModel
        raise UserError(f"cannot be loaded as a SavedModel ({error})") from error


def _classify(model, images) -> dict:
    """Float32 images in [-1, 1] to a dictionary of flat outputs, as TF-GAN's `classifier_fn_from_tfhub`.

    That function itself loads the network at every call, and flattens by a function that Keras 3 lacks.
    """
    outputs = _function(model)(images)
    if not isinstance(outputs, dict):
        return {"(unnamed)": outputs}
    return {name: tf.reshape(output, (tf.shape(output)[0], -1)) for name, output in outputs.items()}


def _function(model):
    """What to call: the model itself, as TF-GAN does, or its only signature."""
    if callable(model):
        return model
    return model.signatures["serving_default"]


def _read_about(directory: str) -> dict | None:
    path = os.path.join(directory, CLASSIFIER_FILE)
    if not os.path.isfile(path):
        return None
    try:
        with open(path, encoding="utf-8") as file:
            about = json.load(file)
        return {key: about[key] for key in ("name", "image_size", "class_names")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{CLASSIFIER_FILE} cannot be used ({error!r})") from error


def _image_size(model, directory: str) -> int:
    """The fixed size in the model's signature, or else Inception's 299."""
    if not callable(model) and "serving_default" not in model.signatures:
        raise UserError(
            "cannot be called and has no signature serving_default"
            f" (it has: {', '.join(model.signatures) or 'none'})"
        )
    signatures = getattr(model, "signatures", {})
    for function in signatures.values():
        for spec in function.structured_input_signature[1].values():
            if spec.shape.rank == 4 and spec.shape[1] is not None:
                return int(spec.shape[1])
    return tfgan.evaluation().INCEPTION_DEFAULT_IMAGE_SIZE


def fingerprint(directory: str) -> str:
    """First 16 hex digits of the SHA-256 over a SavedModel's graph and weights; other files do not count.

    Raises:
      UserError: it is not a SavedModel.
    """
    paths = [os.path.join(directory, "saved_model.pb")]
    variables = os.path.join(directory, "variables")
    if os.path.isdir(variables):
        paths += [os.path.join(variables, name) for name in sorted(os.listdir(variables))]
    if not os.path.isfile(paths[0]):
        raise UserError("is not a SavedModel (saved_model.pb is missing)")
    return files.sha256(*paths)[:16]
