"""Reads .npz files of arrays by name. Pickles in them are refused, and stated sizes are checked first."""

import math
import os
import zipfile
import zlib

import numpy as np

from sagan_tf.importing.stored import Stored
from sagan_tf.system.errors import UserError

_SLACK = 64 << 20  # bytes that a compressed file may have beyond four times its own size
# What NumPy and zipfile raise on damaged files, and on a .npy under this name.
FAILURES = (OSError, ValueError, EOFError, KeyError, MemoryError, RuntimeError, NotImplementedError)
FAILURES += (zipfile.BadZipFile, zlib.error, SyntaxError, TypeError)


def read(path: str) -> dict[str, Stored]:
    """The arrays of a file by name. Raises UserError if it is damaged, or its arrays are objects."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            if sum(info.file_size for info in infos) > 4 * os.path.getsize(path) + _SLACK:
                raise UserError(f"{path}: cannot be read (compressed to less than a quarter)")
            return {info.filename.removesuffix(".npy"): _describe(path, archive, info) for info in infos}
    except FAILURES as error:
        raise _refusal(path, error) from error


def _refusal(path: str, error: Exception) -> UserError:
    reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
    return UserError(f"{path}: cannot be read ({reason})")


def _describe(path: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Stored:
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        shape, _, dtype = read_header[version](member)
        size = math.prod(shape) * dtype.itemsize
        if dtype.hasobject:
            raise ValueError(f"{info.filename} holds objects")
        if size != info.file_size - member.tell():
            raise ValueError(f"{info.filename} is not as long as stated")
    return Stored(shape, lambda: _load(path, info.filename))


def _load(path: str, name: str) -> np.ndarray:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(name) as member:
            return np.lib.format.read_array(member, allow_pickle=False)
    except FAILURES as error:
        raise _refusal(path, error) from error
