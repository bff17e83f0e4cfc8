"""A folder of images: one folder a class, or all images in one folder."""

import hashlib
import os
import sys

import numpy as np

from sagan_tf.data import images
from sagan_tf.data.digest import Digest, of_files
from sagan_tf.system import class_names as names
from sagan_tf.system import files as system_files
from sagan_tf.system.errors import UserError, printable


class FolderExamples:
    """The image files below a folder, by class and name.

    Attributes:
      labels: int32 (n,).
      class_names: names of the classes (see `names.from_folder`), sorted as Python sorts strings.
    """

    def __init__(self, path: str):
        """Lists the files.

        Raises:
          UserError: `path` is missing, is not laid out as one folder a class, or a class folder has a name
            that is not text.
        """
        self._root = path
        if not os.path.isdir(path):
            raise UserError("no such folder")
        folders, files = _list(path)
        if files and folders:
            files = without_documents(files, lambda name: _read(os.path.join(path, name)))
        if files and folders:
            raise UserError(
                f"has both images ({files[0]}, ...) and folders ({folders[0]}, ...);"
                " allowed are one folder a class, or images alone"
            )
        self._folders = sorted(folders, key=names.from_folder)
        if self._folders:
            self.class_names = names.checked(map(names.from_folder, self._folders))
            self._files = _list_classes(path, self._folders)
        else:
            self.class_names, self._files = ("all",), [(0, name) for name in files]
        if not self._files:
            raise UserError("holds no images")
        self.labels = np.array([label for label, _ in self._files], np.int32)

    def __len__(self) -> int:
        return len(self._files)

    def get(self, index: int) -> tuple[bytes, int]:
        """The contents of an image file, and its label. Raises OSError."""
        return _read(self.describe(index)), self._files[index][0]

    def _within(self, index: int) -> str:
        """Path of an image relative to the folder."""
        label, name = self._files[index]
        return os.path.join(self._folders[label], name) if self._folders else name

    def describe(self, index: int) -> str:
        """Path of an image."""
        return os.path.join(self._root, self._within(index))

    def digest(self) -> str:
        """SHA-256 of the names and sizes of the files."""
        digest = hashlib.sha256(repr(self.class_names).encode())
        for index in range(len(self)):
            try:
                size = os.path.getsize(self.describe(index))
            except OSError:
                size = -1
            digest.update(f"{self._within(index)!r} {size}\n".encode())
        return digest.hexdigest()

    def identify(self) -> Digest:
        """What the folder holds, by names, sizes and contents."""
        within = [self._within(index) for index in range(len(self))]
        return of_files([*self.class_names, *within], [os.path.join(self._root, name) for name in within])


def _read(path: str) -> bytes:
    with system_files.open_to_read(path) as file:
        return file.read()


def without_documents(files, read) -> list[str]:
    """Those of the files beside class folders that are images; the others, as README.md, are named.

    Args:
      files: their names.
      read: gives the contents of a file by its name; may raise OSError.
    """
    found = []
    for name in files:
        try:
            images.short_side(read(name))
            found.append(name)
        except (images.BadImageError, OSError):
            print(f"warning: not read, as it is not an image: {printable(name)}", file=sys.stderr)
    return found


def _list(path: str) -> tuple[list[str], list[str]]:
    """Names of the folders and of the files in a folder, sorted; links count as what they point to."""
    folders, files = [], []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if not names.is_clutter(entry.name):
                    (folders if os.path.isdir(entry.path) else files).append(entry.name)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    return sorted(folders), sorted(files)


def _list_classes(path: str, folders: list[str]) -> list[tuple[int, str]]:
    found, below, deeper = [], [], []
    for label, folder in enumerate(folders):
        inner, files = _list(os.path.join(path, folder))
        found += [(label, name) for name in files]
        below += [os.path.join(path, folder, name) for name in inner]
        deeper += [folder] if inner and not files else []
    if deeper:
        example = os.path.join(path, deeper[0])
        raise UserError(
            f"is one level too high: {deeper[0]} holds folders and no images;"
            f" name the folder that holds the class folders, e.g. {example}"
        )
    if below:
        print(
            "warning: not read, as a class folder's images lie in it directly:"
            f" {printable(', '.join(below))}",
            file=sys.stderr,
        )
    return found
