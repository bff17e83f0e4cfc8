"""Digests of what a source holds, whatever its name: they tell whether two sources hold the same images."""

import concurrent.futures
import hashlib
import itertools
import os
import typing
import unicodedata

_READ_BYTES = 1 << 28  # larger contents are read in evenly spaced pieces
_PIECE_BYTES = 1 << 20
_FILES_IN_A_TASK = 1000


class Digest(typing.NamedTuple):
    """Two digests of a source, 16 hexadecimal digits each.

    Attributes:
      identity: says which images and classes they are. A folder or file keeps it when it is moved, renamed
        or copied. It is computed from all names, sizes and contents; beyond 256 MiB from evenly spaced
        pieces of the contents.
      freshness: the identity together with the time of every file's last change. Caches use it: it changes
        whenever a file is written. A copy may have another one.
    """

    identity: str
    freshness: str


def of_contents(*parts: str | bytes) -> Digest:
    """The digest of a source whose contents are all known: of arrays, or of checksums in a manifest."""
    digest = hashlib.sha256()
    for part in parts:
        data = _normal(part) if isinstance(part, str) else part
        digest.update(f"{len(data)} ".encode() + data)
    return Digest(digest.hexdigest()[:16], digest.hexdigest()[:16])


def of_files(described: typing.Iterable[str], paths: typing.Sequence[str]) -> Digest:
    """The digest of a source in files.

    Args:
      described: what tells the images and classes apart, e.g. their names below the source's folder.
      paths: the files, in a fixed order. Their names do not count, their sizes and contents do.
    """
    identity, times = hashlib.sha256(), hashlib.sha256()
    for text in described:
        identity.update(_normal(text) + b"\n")
    found = _sizes_and_times(paths)
    for size, time in found:
        identity.update(f"{size} ".encode())
        times.update(f"{time} ".encode())
    pieces = ((path, start) for path, (size, _) in zip(paths, found, strict=True) for start in _starts(size))
    stride = 1 + sum(size for size, _ in found) // _READ_BYTES
    for path, start in itertools.islice(pieces, 0, None, stride):
        identity.update(_read(path, start))
    times.update(identity.digest())
    return Digest(identity.hexdigest()[:16], times.hexdigest()[:16])


def of_part(whole: Digest, numbers: bytes) -> Digest:
    """The digest of some of a source's images; `numbers` says which."""
    return Digest(*(of_contents(digest, numbers).identity for digest in whole))


def _normal(text: str) -> bytes:
    """A name as bytes, the same for both Unicode forms; `repr` takes care of names that are not text."""
    return repr(unicodedata.normalize("NFC", text)).encode()


def _starts(size: int) -> range:
    return range(0, size, _PIECE_BYTES)


def _sizes_and_times(paths) -> list[tuple[int, int]]:
    """Size in bytes and time of the last change of each file; (-1, 0) if it is gone."""

    def look(path):
        try:
            found = os.stat(path)
        except OSError:
            return -1, 0
        return found.st_size, found.st_mtime_ns

    def several(start):
        return [look(path) for path in paths[start : start + _FILES_IN_A_TASK]]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:  # files on a network take a millisecond each
        tasks = pool.map(several, range(0, len(paths), _FILES_IN_A_TASK))
        return [each for task in tasks for each in task]


def _read(path: str, start: int) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            file.seek(start)
            return file.read(_PIECE_BYTES)
    except OSError:  # reading the images will report it
        return b""
