"""A .tar or .zip of images, one folder a class, read in place."""

import hashlib
import os
import posixpath
import stat
import tarfile
import typing
import zipfile
import zlib

import numpy as np

from sagan_tf.data.digest import Digest, of_files
from sagan_tf.data.folder import without_documents
from sagan_tf.data.tfrecord import RecordReader
from sagan_tf.system import class_names as names
from sagan_tf.system.errors import UserError

_BLOCK = 512  # bytes, of a tar
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError)
_MOST_LINKS = 40  # that lead from one to the next


class _Member(typing.NamedTuple):
    """A file in an archive: its name there, where its contents are, and their size in bytes."""

    name: str
    place: str | int
    size: int


class ArchiveExamples:
    """The image files in an archive, by class and name.

    Attributes:
      labels: int32 (n,).
      class_names: names of the folders that hold the images, sorted; ("all",) where there is one.
    """

    def __init__(self, path: str):
        """Reads the archive's directory.

        Raises:
          UserError: no such file, no archive, a compressed .tar, an archive that is cut off, a link to what
            is not in it, or images in folders that are not side by side.
        """
        self._path = path
        if not os.path.isfile(path):
            raise UserError("no such file")
        if zipfile.is_zipfile(path):
            members, self._read = self._open_zip()
        else:
            members, self._read = self._open_tar()
        members = [each for each in members if not any(map(names.is_clutter, each.name.split("/")))]
        self._members = sorted(self._without_documents(members))
        if not self._members:
            raise UserError("holds no images")
        folders = sorted(
            {posixpath.dirname(each.name) for each in self._members},
            key=lambda folder: names.from_folder(posixpath.basename(folder)),
        )
        if len({posixpath.dirname(folder) for folder in folders}) > 1 or (len(folders) > 1 and "" in folders):
            raise UserError(
                "images lie in folders that are not side by side"
                f" ({', '.join(folders[:3])}, ...); allowed are one folder a class, or images alone"
            )
        numbers = {folder: number for number, folder in enumerate(folders)}
        self.class_names = ("all",)
        if len(folders) > 1:
            self.class_names = names.checked(
                names.from_folder(posixpath.basename(folder)) for folder in folders
            )
        self.labels = np.array([numbers[posixpath.dirname(each.name)] for each in self._members], np.int32)

    def _without_documents(self, members: list[_Member]) -> list[_Member]:
        """The members, less those that lie beside the class folders and are not images."""
        depth = max((each.name.count("/") for each in members), default=0)
        beside = {each.name: each for each in members if each.name.count("/") < depth}
        kept = without_documents(beside, lambda name: self._read(beside[name].place, beside[name].size))
        return [each for each in members if each.name not in beside or each.name in kept]

    def _open_zip(self):
        try:
            archive = zipfile.ZipFile(self._path)
        except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
            raise UserError(f"cannot be read ({error})") from error

        def read(place, size):
            try:
                return archive.read(place)
            except (
                zipfile.BadZipFile,
                zlib.error,
                NotImplementedError,
                RuntimeError,
                EOFError,
                OSError,
            ) as error:
                raise OSError(f"cannot be unpacked ({error})") from error  # damaged, or encrypted

        items = [item for item in archive.infolist() if not item.is_dir()]
        separator = "/" if any("/" in item.filename for item in items) else "\\"  # some programs of Windows
        members, links = {}, {}
        for item in items:
            name = _normal_name(item.filename.replace(separator, "/"))
            if stat.S_ISLNK(item.external_attr >> 16):
                links[name] = os.fsdecode(read(item, item.file_size))
            else:
                members[name] = _Member(name, item.filename, item.file_size)
        return _with_links(members, links), read

    def _open_tar(self):
        members, links = {}, {}
        try:
            with tarfile.open(self._path, "r:") as archive:
                for item in archive:
                    name = _normal_name(item.name)
                    if item.issparse():
                        raise UserError(f"holds {name} as a sparse file: pack it as a plain one")
                    if item.isreg():
                        members[name] = _Member(name, item.offset_data, item.size)  # the last one counts
                        links.pop(name, None)
                    elif item.issym():
                        links[name] = item.linkname
                    elif item.islnk():
                        links[name] = "/" + item.linkname.removeprefix("./").lstrip("/")
                end = archive.offset
        except (tarfile.TarError, OSError, EOFError) as error:
            raise UserError(f"cannot be read ({error}); allowed are .zip and uncompressed .tar") from error
        _check_end(self._path, end)
        reader = RecordReader([self._path])
        return _with_links(members, links), lambda place, size: reader.read(0, place, size)

    def __len__(self) -> int:
        return len(self._members)

    def get(self, index: int) -> tuple[bytes, int]:
        """The contents of an image file, and its label. Raises OSError."""
        _, place, size = self._members[index]
        return self._read(place, size), self.labels[index]

    def describe(self, index: int) -> str:
        """Archive and name of an image."""
        return f"{self._path}: {self._members[index].name}"

    def digest(self) -> str:
        """SHA-256 of the names, places and sizes."""
        return hashlib.sha256(repr([tuple(each) for each in self._members]).encode()).hexdigest()

    def identify(self) -> Digest:
        """What the archive holds, by names, sizes and contents."""
        return of_files([each.name for each in self._members], [self._path])


def _normal_name(name: str) -> str:
    return posixpath.normpath(name).lstrip("/")


def _with_links(members: dict[str, _Member], links: dict[str, str]) -> list[_Member]:
    """The members, and for every link the file that it leads to.

    Args:
      members: by name.
      links: target by name: relative to the link's folder, or to the archive if it starts with `/`.

    Raises:
      UserError: a link leads to what is not in the archive.
    """
    result, folders = list(members.values()), {}
    for name in links:
        target = name
        for _ in range(_MOST_LINKS):
            if target not in links:
                break
            target = _normal_name(posixpath.join(posixpath.dirname(target), links[target]))
        if target in members:
            result.append(members[target]._replace(name=name))
        elif any(each.startswith(f"{target}/") for each in (*members, *links)):
            folders[name] = target
        else:
            raise UserError(f"holds the link {name} to {links[name]}, which is not in it")
    for name, target in folders.items():
        found = [each for each in result if each.name.startswith(f"{target}/")]
        result += [each._replace(name=name + each.name[len(target) :]) for each in found]
    return result


def _check_end(path: str, end: int) -> None:
    """Raises UserError if a tar goes on behind what was read: it is damaged, or two were put together."""
    with open(path, "rb") as file:
        file.seek(end)
        while block := file.read(_BLOCK * 1024):
            if block.strip(b"\0"):
                raise UserError(
                    f"cannot be read beyond byte {end:,}: it is damaged or cut off, or several archives"
                    " follow each other"
                )
