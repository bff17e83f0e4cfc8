"""Any image classification set of TensorFlow Datasets, by random access to its files."""

import concurrent.futures
import hashlib
import os
import socket

import numpy as np
import tensorflow as tf

from sagan_tf.data import tfrecord
from sagan_tf.data.digest import Digest, of_files
from sagan_tf.system import suggestions
from sagan_tf.system.errors import UserError


class TfdsExamples:
    """The examples of one split, in the order of its files.

    TFDS itself offers random access to one of its file formats only, and its shuffle of the others
    is neither complete nor restartable. Its files are plain TFRecords, so the records are found here
    by their offsets.

    Attributes:
      labels: None: only the records know theirs.
      class_names: as TFDS has them; ("all",) for a set without labels.
    """

    labels = None

    def __init__(self, name: str, split: str, data_dir: str):
        """Finds the records; has TFDS download and prepare the set first if it is not there.

        Raises:
          UserError: no such set or split, no download, or a set without a single image a record.
        """
        builder = _builder(name, data_dir)
        self._image_key, self._label_key, self.class_names = _keys(builder.info)
        _prepare(builder, name)
        self._version = str(builder.info.full_name)
        self._name = f"tfds:{name} {split}"
        instructions = _instructions(builder, name, split)
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            found = list(pool.map(_locate, instructions))
        self._paths = [instruction.filename for instruction in instructions]
        self._reader = tfrecord.RecordReader(self._paths)
        self._files = np.repeat(np.arange(len(found)), [len(offsets) for offsets, _ in found])
        self._offsets = np.concatenate([offsets for offsets, _ in found])
        self._lengths = np.concatenate([lengths for _, lengths in found])

    def __len__(self) -> int:
        return len(self._offsets)

    def get(self, index: int) -> tuple[bytes, int]:
        """The encoded image of a record, and its label; `labels.NO_LABEL` if it has none. Raises OSError."""
        place = (self._files[index], self._offsets[index], self._lengths[index])
        features = tf.train.Example.FromString(self._reader.read(*map(int, place))).features.feature
        label = features[self._label_key].int64_list.value[0] if self._label_key else 0
        return features[self._image_key].bytes_list.value[0], label

    def describe(self, index: int) -> str:
        """Set, split and number of a record."""
        return f"{self._name}, example {index}"

    def places(self) -> dict[str, np.ndarray]:
        """Where the records lie: offsets, int64, in each file of the set. Two splits may share some."""
        offsets = {path: [] for path in self._paths}
        for number, path in enumerate(self._paths):
            offsets[path].append(self._offsets[self._files == number])
        return {path: np.concatenate(parts) for path, parts in offsets.items()}

    def digest(self) -> str:
        """SHA-256 of the version and of where the records lie."""
        digest = hashlib.sha256(self._version.encode())
        for places in (self._files, self._offsets, self._lengths):
            digest.update(places.astype("<i8").tobytes())
        return digest.hexdigest()

    def identify(self) -> Digest:
        """What the split holds, by where its records lie and by the contents of its files."""
        return of_files([self.digest(), *self.class_names], self._paths)


def read_class_names(name: str, data_dir: str) -> tuple[str, ...]:
    """The names of a set's classes, without its images. Raises UserError if there is no such set."""
    return _keys(_builder(name, data_dir).info)[2]


def _builder(name, data_dir):
    # Not at the top: it takes a second, and TFDS talks to the network unless told not to.
    import tensorflow_datasets as tfds

    tfds.core.utils.gcs_utils._is_gcs_disabled = True
    try:
        return tfds.builder(name, data_dir=data_dir or None)
    except (tfds.core.DatasetNotFoundError, ValueError, AttributeError, TypeError) as error:
        near = suggestions.nearest(name, tfds.list_builders(with_community_datasets=False))
        hint = suggestions.did_you_mean(f"tfds:{near}" if near else "")
        reason = (
            "" if isinstance(error, tfds.core.DatasetNotFoundError) else " ".join(str(error).split())[:300]
        )
        raise UserError(f"TFDS has no such set{f' ({reason})' if reason else ''}{hint}") from error


def _keys(info):
    import tensorflow_datasets as tfds

    features = info.features
    images = [key for key, value in features.items() if isinstance(value, tfds.features.Image)]
    labels = [key for key, value in features.items() if isinstance(value, tfds.features.ClassLabel)]
    if info.supervised_keys:
        images = [key for key in info.supervised_keys[:1] if key in images] or images
        labels = [key for key in info.supervised_keys[1:] if key in labels] or labels
    if len(images) != 1 or len(labels) > 1:
        raise UserError(
            f"is not an image classification set: it has {len(images)} images and {len(labels)} class labels"
            " an example"
        )
    if not labels:
        return images[0], None, ("all",)
    return images[0], labels[0], tuple(features[labels[0]].names)


def _prepare(builder, name) -> None:
    if builder.is_prepared():
        return
    missing = f"is not in {os.fspath(builder.data_dir)}"
    advice, remedy = "name the folder where TFDS has its data", {"data_dir": None}
    # TFDS's own attempts go on for minutes without a network.
    if not builder.MANUAL_DOWNLOAD_INSTRUCTIONS and not _has_network():
        raise UserError(f"{missing} and there is no network to download it; {advice}", remedy=remedy)
    print(f"tfds:{name} is not in {os.fspath(builder.data_dir)}: TFDS downloads and prepares it", flush=True)
    try:
        builder.download_and_prepare()
    except Exception as error:  # no network, no website, no manual download: TFDS has no common error type
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:400]
        raise UserError(
            f"{missing} and TFDS could not prepare it ({reason}); {advice}", remedy=remedy
        ) from error


def _has_network() -> bool:
    if any(name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name in os.environ):
        return True
    try:
        socket.getaddrinfo("storage.googleapis.com", 443)
        return True
    except OSError:
        return False


def _instructions(builder, name, split):
    info = builder.info
    if str(info.file_format.value) != "tfrecord":
        raise UserError(f"is stored as {info.file_format.value}; allowed is tfrecord")
    try:
        instructions = info.splits[split].file_instructions
    except (KeyError, ValueError, AssertionError) as error:
        raise UserError(
            f"tfds:{name} has {', '.join(info.splits)}, and parts as in train[:10%]",
            option="split",
            value=split,
        ) from error
    if not instructions:
        raise UserError(f"is empty in tfds:{name}", option="split", value=split)
    return instructions


def _locate(instruction):
    try:
        offsets, lengths = tfrecord.index(instruction.filename)
    except (OSError, ValueError) as error:
        raise UserError(f"TFDS's file cannot be read: {error}") from error
    stop = None if instruction.take < 0 else instruction.skip + instruction.take
    return offsets[instruction.skip : stop], lengths[instruction.skip : stop]
