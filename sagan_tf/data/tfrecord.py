"""Random access to TFRecord files: where each record lies, without reading the records.

Format (tensorflow/core/lib/io/record_writer.h): each record is its length (uint64, little endian),
a checksum of the length (4 bytes), the data, and a checksum of the data (4 bytes).
"""

import errno
import os
import struct

import numpy as np

from sagan_tf.system.errors import UserError

try:
    import resource
except ImportError:  # not on Windows
    resource = None

_HEADER, _FOOTER = 12, 4


def index(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Offsets and lengths in bytes of the data of each record, int64 (n,) both.

    Raises:
      ValueError: the file does not end where a record ends.
      OSError: it cannot be read.
    """
    offsets, lengths = [], []
    with open(path, "rb", buffering=0) as file:
        end, position = os.fstat(file.fileno()).st_size, 0
        while position < end:
            header = os.pread(file.fileno(), _HEADER, position)
            length = struct.unpack("<Q", header[:8])[0] if len(header) == _HEADER else end
            offsets.append(position + _HEADER)
            lengths.append(length)
            position += _HEADER + length + _FOOTER
    if position > end:
        raise ValueError(
            f"{path}: damaged or cut off: record {len(offsets) - 1} runs past the end of the file"
        )
    return np.array(offsets, np.int64), np.array(lengths, np.int64)


class RecordReader:
    """Reads records of many files by number; safe from several threads."""

    def __init__(self, paths: list[str]):
        """Opens the files, which stay open as long as this object lives. Raises UserError: too many."""
        _allow_more_files(len(paths))
        try:
            self._files = [open(path, "rb", buffering=0) for path in paths]
        except OSError as error:
            if error.errno != errno.EMFILE:
                raise
            raise UserError(
                f"{os.path.dirname(paths[0])}: its {len(paths):,} files are more than this process may keep"
                f" open; raise the hard limit first, as an administrator with ulimit -n {len(paths) + 1024}"
            ) from error

    def read(self, file: int, offset: int, length: int) -> bytes:
        """`length` bytes of file number `file` from `offset`. Raises OSError if there are fewer."""
        data = os.pread(self._files[file].fileno(), length, offset)
        if len(data) != length:
            raise OSError(f"{self._files[file].name} is shorter than before")
        return data

    def read_into(self, file: int, offset: int, out) -> None:
        """Fills the contiguous array `out` from `offset` of file number `file`. Raises OSError as `read`."""
        if hasattr(os, "preadv"):  # not before macOS 11
            length = os.preadv(self._files[file].fileno(), [out], offset)
        else:
            data = os.pread(self._files[file].fileno(), out.nbytes, offset)
            length = len(data)
            memoryview(out).cast("B")[:length] = data
        if length != out.nbytes:
            raise OSError(f"{self._files[file].name} is shorter than before")


def _allow_more_files(count: int) -> None:
    """Raises the limit of open files by `count`, so that other files have as much room as before.

    Usual is a soft limit of 1,024, and ImageNet has as many files in TFDS.
    """
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return
    wanted = soft + count if hard == resource.RLIM_INFINITY else min(soft + count, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError):  # macOS allows less than its hard limit says
        pass
