"""Prepared records: what `sagan_tf.prepare_data` writes and the dataset `records:DIR` reads.

A directory holds
- `images-00000-of-00042.tfrecord`, ...: TFRecords of `tf.train.Example` with `image` (bytes) and
  `label` (int64), which any TensorFlow program can read;
- `index.npz`: where in those files each image's bytes lie, and its label, so that any image can be
  read at once: `offsets` int64, `lengths` int32 and `labels` int32, in the order of the files;
- `manifest.json`: see `Manifest`. It is written last: a directory with one is complete.
"""

import collections
import dataclasses
import json
import os

import numpy as np
import tensorflow as tf

from sagan_tf.data.digest import Digest, of_contents
from sagan_tf.data.kinds import RECORDS_MANIFEST
from sagan_tf.data.sources import ArraySource
from sagan_tf.data.tfrecord import RecordReader
from sagan_tf.system import files
from sagan_tf.system.class_names import normal
from sagan_tf.system.errors import UserError

MANIFEST, INDEX = RECORDS_MANIFEST, "index.npz"
ENCODINGS = ("raw", "png", "jpeg", "webp")
_VERSION = 1
_LOAD = 1024  # images read at once


@dataclasses.dataclass(frozen=True)
class Settings:
    """How images are prepared.

    Attributes:
      source: the dataset as it was asked for, and `split` of it.
      image_size: height and width.
      encoding: "raw" (size * size * 3 bytes), "png", "jpeg" or "webp"; `quality` is that of the last two.
      images_per_shard: most images in a file.
      bad_images: "refuse" or "skip".
      resize: the method.
      source_digest: SHA-256 of what the source says it holds.
    """

    source: str
    split: str
    image_size: int
    encoding: str
    quality: int
    images_per_shard: int
    bad_images: str
    resize: str
    source_digest: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a directory of records holds.

    Attributes:
      settings: how it was prepared.
      class_names, class_counts: classes and the number of images of each.
      shards: for each file its name, `examples`, `bytes` and `sha256`.
      index_sha256: of the index.
      short_sides: how many images had which short side before they were resized, pixels.
      skipped: the name of each image that could not be read, and why.
      version: of this format.
      source_identity: digest of what the records were made from, see `Dataset.identities`; "" if unknown.
      unlabelled: how many images have no label; `class_counts` are without them.
    """

    settings: Settings
    class_names: list[str]
    class_counts: list[int]
    shards: list[dict]
    index_sha256: str
    short_sides: dict[str, int]
    skipped: list[list[str]]
    version: int = _VERSION
    source_identity: str = ""
    unlabelled: int = 0

    @property
    def num_examples(self) -> int:
        return sum(self.class_counts) + self.unlabelled

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"


def read_manifest(directory: str) -> Manifest:
    """Reads a directory's manifest. Raises UserError if it is missing, damaged or of another version."""
    path = os.path.join(directory, MANIFEST)
    if not os.path.isdir(directory):
        raise UserError("no such directory")
    if not os.path.isfile(path):
        raise UserError(
            f"has no {MANIFEST}: not prepared by sagan_tf.prepare_data,"
            " or not to the end (the same command continues it)"
        )
    try:
        fields = files.read_json(path)
        if fields["version"] != _VERSION:
            raise UserError(f"{path}: is of version {fields['version']}; allowed is {_VERSION}")
        manifest = Manifest(**{**fields, "settings": Settings(**fields["settings"])})
        return dataclasses.replace(manifest, class_names=list(map(normal, manifest.class_names)))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path}: is damaged ({error}); prepare the records again") from error


def verify(directory: str) -> None:
    """Compares every file with its checksum. Raises UserError naming the first that differs."""
    manifest = read_manifest(directory)
    checksums = {INDEX: manifest.index_sha256} | {shard["file"]: shard["sha256"] for shard in manifest.shards}
    for name, expected in checksums.items():
        if files.sha256(os.path.join(directory, name)) != expected:
            raise UserError(
                f"{os.path.join(directory, name)}: is not what was written; prepare the records again"
            )


class RecordSource:
    """Examples read from prepared records, each by one read at its place in the files.

    Memory: 16 bytes an example for the index, and the batches in flight.

    Attributes:
      labels: int32 (n,).
      class_names: names of the classes.
    """

    in_memory = False

    def __init__(self, directory: str, image_size: int):
        """Raises UserError if the records are missing, damaged, or smaller than `image_size`."""
        self._manifest = manifest = read_manifest(directory)
        self._directory, self._size = directory, manifest.settings.image_size
        if self._size != image_size:
            raise UserError(
                f"holds images of {self._size} x {self._size}, and {image_size} is needed (random crops need"
                " an eighth more than the image size): prepare them in that size",
                remedy={"image_size": image_size},
            )
        self._encoding = manifest.settings.encoding
        self.class_names = tuple(manifest.class_names)
        self._check_files(directory, manifest)
        with np.load(os.path.join(directory, INDEX)) as index:
            self._offsets, self._lengths, self.labels = index["offsets"], index["lengths"], index["labels"]
        counts = [shard["examples"] for shard in manifest.shards]
        self._files = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        self._reader = RecordReader([os.path.join(directory, shard["file"]) for shard in manifest.shards])

    @property
    def skipped(self) -> int:
        """How many images could not be read when the records were prepared."""
        return len(self._manifest.skipped)

    def identify(self) -> Digest:
        """What the records hold, by the checksums in their manifest."""
        checksums = [shard["sha256"] for shard in self._manifest.shards]
        return of_contents(*self.class_names, *checksums, self._manifest.index_sha256)

    def other_identities(self) -> set[str]:
        """Further digests of the images, see `Dataset.identities`: of what the records were made from."""
        return {self._manifest.source_identity} - {""}

    def short_sides(self, sample: int) -> tuple[collections.Counter, int]:
        """How many images had which short side before they were resized, and of how many that is: all."""
        del sample
        sides = collections.Counter({int(side): count for side, count in self._manifest.short_sides.items()})
        return sides, sides.total()

    def _check_files(self, directory, manifest):
        for shard in manifest.shards:
            path = os.path.join(directory, shard["file"])
            size = os.path.getsize(path) if os.path.isfile(path) else -1
            if size != shard["bytes"]:
                state = "is missing" if size < 0 else f"has {size} bytes instead of {shard['bytes']}"
                raise UserError(f"{path}: {state}; prepare the records again")
        path = os.path.join(directory, INDEX)
        if not os.path.isfile(path) or files.sha256(path) != manifest.index_sha256:
            raise UserError(f"{path}: is missing or damaged; prepare the records again")

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images uint8 (b, size, size, 3) and labels int32 (b,) of the examples `indices`."""
        pixels = self._read_raw(indices) if self._encoding == "raw" else self._read_encoded(indices)
        return pixels, self.labels[indices]

    def load(self) -> ArraySource:
        """Reads everything into memory."""
        pixels = np.empty((len(self), self._size, self._size, 3), np.uint8)
        for start in range(0, len(self), _LOAD):
            stop = min(start + _LOAD, len(self))
            pixels[start:stop] = self.read(np.arange(start, stop))[0]
        return ArraySource(pixels, self.labels, self)

    def _read_raw(self, indices):
        pixels = np.empty((len(indices), self._size, self._size, 3), np.uint8)
        for row, (file, offset) in enumerate(self._places(indices)):
            self._reader.read_into(file, offset, pixels[row])
        return pixels

    def _read_encoded(self, indices):
        lengths = self._lengths[indices].tolist()
        places = zip(self._places(indices), lengths, strict=True)
        data = [self._reader.read(file, offset, length) for (file, offset), length in places]
        try:
            return _decode(tf.constant(data), self._encoding, self._size).numpy()
        except tf.errors.InvalidArgumentError as error:
            raise UserError(
                f"{self._directory}: an image in it cannot be read, so a file is damaged; a full look by"
                " sagan_tf.check_data says which; prepare the records again"
            ) from error

    def _places(self, indices):
        return zip(self._files[indices].tolist(), self._offsets[indices].tolist(), strict=True)


@tf.function(reduce_retracing=True)
def _decode(data, encoding, size):
    """Strings (b,) to uint8 (b, size, size, 3). TensorFlow's decoders: these files were written here."""
    decoders = {
        # libjpeg's method, which Pillow uses too; TensorFlow's default is coarser.
        "jpeg": lambda item: tf.io.decode_jpeg(item, 3, dct_method="INTEGER_ACCURATE"),
        "png": lambda item: tf.io.decode_png(item, 3),
        "webp": lambda item: tf.io.decode_webp(item, 3)[0],  # the first frame
    }
    spec = tf.TensorSpec((size, size, 3), tf.uint8)
    return tf.map_fn(decoders[encoding], data, fn_output_signature=spec, parallel_iterations=4)
