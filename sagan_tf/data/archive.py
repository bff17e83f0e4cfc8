"""A .tar or .zip of images, one folder a class, read in place."""

import hashlib
import os
import posixpath
import tarfile
import zipfile

import numpy as np

from sagan_tf.data.digest import Digest, of_files
from sagan_tf.data.folder import is_clutter
from sagan_tf.data.tfrecord import RecordReader
from sagan_tf.system.errors import UserError


class ArchiveExamples:
    """The image files in an archive, by class and name.

    Attributes:
      labels: int32 (n,).
      class_names: names of the folders that hold the images, sorted; ("all",) where there is one.
    """

    def __init__(self, path: str):
        """Reads the archive's directory.

        Raises:
          UserError: no such file, no archive, a compressed .tar, or images in folders that are not
            side by side.
        """
        self._path = path
        if not os.path.isfile(path):
            raise UserError("no such file")
        if zipfile.is_zipfile(path):
            members, self._read = self._open_zip()
        else:
            members, self._read = self._open_tar()
        self._members = sorted(
            (name, place, size)
            for name, place, size in members
            if not any(is_clutter(part) for part in name.split("/"))
        )
        if not self._members:
            raise UserError("holds no images")
        folders = sorted({posixpath.dirname(name) for name, _, _ in self._members})
        if len({posixpath.dirname(folder) for folder in folders}) > 1 or (len(folders) > 1 and "" in folders):
            raise UserError(
                "images lie in folders that are not side by side"
                f" ({', '.join(folders[:3])}, ...); allowed are one folder a class, or images alone"
            )
        numbers = {folder: number for number, folder in enumerate(folders)}
        self.class_names = (
            tuple(posixpath.basename(folder) for folder in folders) if len(folders) > 1 else ("all",)
        )
        self.labels = np.array([numbers[posixpath.dirname(name)] for name, _, _ in self._members], np.int32)

    def _open_zip(self):
        archive = zipfile.ZipFile(self._path)

        def read(place, size):
            try:
                return archive.read(place)
            except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:  # damaged, encrypted
                raise OSError(f"cannot be unpacked ({error})") from error

        members = [
            (info.filename, info.filename, info.file_size) for info in archive.infolist() if not info.is_dir()
        ]
        return members, read

    def _open_tar(self):
        try:
            with tarfile.open(self._path, "r:") as archive:
                members = [
                    (item.name.removeprefix("./"), item.offset_data, item.size)
                    for item in archive
                    if item.isreg()
                ]
        except (tarfile.TarError, OSError) as error:
            raise UserError(f"cannot be read ({error}); allowed are .zip and uncompressed .tar") from error
        reader = RecordReader([self._path])
        return members, lambda place, size: reader.read(0, place, size)

    def __len__(self) -> int:
        return len(self._members)

    def get(self, index: int) -> tuple[bytes, int]:
        """The contents of an image file, and its label. Raises OSError."""
        _, place, size = self._members[index]
        return self._read(place, size), self.labels[index]

    def describe(self, index: int) -> str:
        """Archive and name of an image."""
        return f"{self._path}: {self._members[index][0]}"

    def digest(self) -> str:
        """SHA-256 of the names, places and sizes."""
        return hashlib.sha256(repr(self._members).encode()).hexdigest()

    def identify(self) -> Digest:
        """What the archive holds, by names, sizes and contents."""
        return of_files([name for name, _, _ in self._members], [self._path])
