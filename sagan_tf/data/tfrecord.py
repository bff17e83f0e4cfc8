"""Random access to TFRecord files: where each record lies, without reading the records.

Format (tensorflow/core/lib/io/record_writer.h): each record is its length (uint64, little endian),
a checksum of the length (4 bytes), the data, and a checksum of the data (4 bytes).
"""

import os
import struct

import numpy as np

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
        """Opens the files; they stay open as long as this object lives."""
        self._files = [open(path, "rb", buffering=0) for path in paths]

    def read(self, file: int, offset: int, length: int) -> bytes:
        """`length` bytes of file number `file` from `offset`. Raises OSError if there are fewer."""
        data = os.pread(self._files[file].fileno(), length, offset)
        if len(data) != length:
            raise OSError(f"{self._files[file].name} is shorter than before")
        return data

    def read_into(self, file: int, offset: int, out) -> None:
        """Fills the contiguous array `out` from `offset` of file number `file`. Raises OSError as `read`."""
        if os.preadv(self._files[file].fileno(), [out], offset) != out.nbytes:
            raise OSError(f"{self._files[file].name} is shorter than before")
