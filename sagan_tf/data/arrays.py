"""Images as arrays: scikit-learn's digits, .npz files, and HDF5 files such as BigGAN-PyTorch's I128."""

import functools
import hashlib
import os
import threading
import zipfile
import zlib

import numpy as np

from sagan_tf.data import labels
from sagan_tf.data.digest import Digest, of_contents, of_files
from sagan_tf.system.errors import UserError

_TEST_EVERY = 5
# What NumPy and zipfile raise on damaged .npz files, also on encrypted ones.
_UNREADABLE = (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
_BLOCK = 64  # images read at once where a file has no chunks of its own


class ArrayExamples:
    """Images in an array, or in something that is indexed like one.

    Attributes:
      labels: int32 (n,); `labels.NO_LABEL` where an image has none.
      class_names: a name for each class.
    """

    def __init__(
        self, name: str, pixels, labels: np.ndarray, class_names, places: dict, block: int | None = None
    ):
        """
        Args:
          name: for messages.
          pixels: uint8 (n, h, w), (n, h, w, 1 or 3) or (n, 1 or 3, h, w).
          labels: integer (n,).
          class_names: a name for each class.
          places: see `places`.
          block: how many images to read at once, for arrays in files; None for arrays in memory.
        """
        self._name, self._pixels, self.class_names = name, pixels, tuple(class_names)
        self.labels, self._places = np.asarray(labels, np.int32), places
        self._channels_first = len(pixels.shape) == 4 and pixels.shape[-1] not in (1, 3)
        self._block, self._lock = block, threading.Lock()
        self._read_block = functools.lru_cache(2)(
            lambda number: pixels[number * block : (number + 1) * block]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def get(self, index: int) -> tuple[np.ndarray, int]:
        """The image, uint8 (h, w) or (h, w, 3), and its label."""
        if self._block is None:
            image = self._pixels[index]
        else:
            with self._lock:  # HDF5 files are read by one thread at a time
                image = self._read_block(index // self._block)[index % self._block]
        if self._channels_first:
            image = np.moveaxis(image, 0, -1)
        return np.ascontiguousarray(image[..., 0] if image.shape[2:] == (1,) else image), self.labels[index]

    def describe(self, index: int) -> str:
        """File and number of an image."""
        return f"{self._name}, image {index}"

    def places(self) -> dict[str, np.ndarray]:
        """Where the images stand: numbers, int64, in each of the set's arrays. Two splits may share some."""
        return self._places

    def digest(self) -> str:
        """SHA-256 of shape and labels, and of the pixels where they are in memory."""
        digest = hashlib.sha256(f"{self._pixels.shape} {self.class_names}".encode())
        digest.update(self.labels.tobytes())
        if self._block is None:
            digest.update(np.ascontiguousarray(self._pixels))
        return digest.hexdigest()

    def identify(self) -> Digest:
        """What the arrays hold: by their contents, or by those of their file if they stay in it."""
        return of_contents(self.digest()) if self._block is None else of_files([self.digest()], [self._name])


def open_digits(split: str) -> ArrayExamples:
    """The 1,797 handwritten digits (8x8) that scikit-learn carries; values 0..16 become 0..255.

    Args:
      split: "train" (four fifths), "test" (of each class every fifth digit), or "all".

    Raises:
      UserError: another split, or scikit-learn is not installed.
    """
    if split not in ("train", "test", "all"):
        raise UserError("digits has train, test and all", option="split", value=split)
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise UserError(f"needs scikit-learn ({error})") from error
    values, digits = load_digits(return_X_y=True)
    chosen = np.ones(len(digits), bool)
    if split != "all":
        rank_in_class = np.empty(len(digits), int)
        for digit in range(10):
            rank_in_class[digits == digit] = np.arange(np.sum(digits == digit))
        chosen = (rank_in_class % _TEST_EVERY == _TEST_EVERY - 1) == (split == "test")
    pixels = np.rint(values[chosen].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    names, places = [str(digit) for digit in range(10)], {"digits": np.flatnonzero(chosen)}
    return ArrayExamples("digits", pixels, digits[chosen], names, places)


def open_npz(path: str, split: str) -> ArrayExamples:
    """A file written by `numpy.savez`; it is read into memory. Raises UserError as `_choose`."""
    _check_is_file(path)
    try:
        if not zipfile.is_zipfile(path):
            raise UserError("cannot be read: it is no .npz file, as numpy.savez writes them")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except _UNREADABLE as error:
        raise UserError(f"cannot be read ({error})") from error
    array, numbers, names = _choose(f"npz:{path}", arrays, split)
    pixels = arrays[array]
    return ArrayExamples(path, pixels, numbers, names, {array: np.arange(len(pixels))})


def open_hdf5(path: str, split: str) -> ArrayExamples:
    """An HDF5 file with datasets at its root; images stay in the file. Raises UserError as `_choose`."""
    _check_is_file(path)
    try:
        import h5py
    except ImportError as error:
        raise UserError(f"needs h5py ({error})") from error
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise UserError(f"cannot be read ({error})") from error
    arrays = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset)}
    array, numbers, names = _choose(f"hdf5:{path}", arrays, split)
    pixels = arrays[array]
    block = pixels.chunks[0] if pixels.chunks else _BLOCK
    return ArrayExamples(path, pixels, numbers, names, {array: np.arange(len(pixels))}, block)


def _check_is_file(path):
    if not os.path.isfile(path):
        raise UserError("no such file")


def _choose(spec, arrays, split):
    """Finds the name of the images, labels and class names among arrays by their shapes. Raises UserError."""
    shapes = ", ".join(f"{name} {array.dtype}{tuple(array.shape)}" for name, array in arrays.items())
    images = {name: array for name, array in arrays.items() if len(array.shape) in (3, 4)}
    if images and split != "train" and not any(split in name for name in images):
        raise UserError(
            f"{spec} has no images of that name among {shapes};"
            " give the file of the split instead, and train as the split",
            option="split",
            value=split,
        )
    name_of_images = _name_of_the_one(f"array of images (3 or 4 dimensions) among {shapes}", images, split)
    pixels = images[name_of_images]
    if pixels.dtype != np.uint8 or not len(pixels):
        raise UserError(f"images must be uint8, at least one: it has {shapes}")
    if len(pixels.shape) == 4 and not {pixels.shape[1], pixels.shape[3]} & {1, 3}:
        raise UserError(f"images must have 1 or 3 channels: it has {shapes}")
    elsewhere = {len(array) for array in images.values()} - {len(pixels)}  # other splits have other lengths
    others = {
        name: array
        for name, array in arrays.items()
        if name not in images and not (array.shape and array.shape[0] in elsewhere)
    }
    shown = f"array of labels among {shapes}"
    found = labels.read(
        others,
        len(pixels),
        lambda candidates: _name_of_the_one(shown, candidates, split),
    )
    return name_of_images, found.values, found.class_names


def _name_of_the_one(what, candidates, split) -> str:
    """The name of the only candidate, or of the only one that has the split in its name."""
    named = {name: array for name, array in candidates.items() if split in name}
    chosen = named if len(candidates) > 1 and named else candidates
    if len(chosen) != 1:
        raise UserError(
            f"must have one {what}; the split chooses by name, as x_train", remedy={"split": None}
        )
    return next(iter(chosen))
