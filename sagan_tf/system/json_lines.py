"""Files of JSON lines: one object a line. A line that a killed process cut short is ignored."""

import json
import math
import os
import typing

from sagan_tf.system import files

_TAIL_BYTES = 1 << 16


def append(path: str, line: dict, *, flush: bool = False) -> None:
    """Adds a line; the directory is made if need be. Raises OSError.

    Args:
      path: the file.
      line: what JSON can hold; NaN and infinity, which it cannot, become null.
      flush: whether to wait until the line is on the disk.
    """
    os.makedirs(os.path.dirname(path) or os.curdir, exist_ok=True)
    with open(path, "a+b") as file:
        if file.tell() and not _ends_line(file):  # a killed process's half line must not spoil this one
            file.write(b"\n")
        file.write(_dumped(line).encode() + b"\n")
    if flush:
        files.sync(path)


def _dumped(line: dict) -> str:
    return json.dumps(finite(line), allow_nan=False)


def finite(value):
    """The value with null (None) in place of every NaN and infinity in it: JSON has neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return value


def _ends_line(file) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def read(path: str) -> list[dict]:
    """All whole lines of a file; none if there is no file."""
    if not os.path.exists(path):
        return []
    with open(path, "rb") as file:
        return _parsed(file)


def read_end(path: str) -> list[dict]:
    """The last whole lines of a file, up to 64 KiB of them; none if there is no file."""
    if not os.path.exists(path):
        return []
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - _TAIL_BYTES, 0))
        return _parsed(file)


def _parsed(file) -> list[dict]:
    lines = []
    for line in file:
        try:
            value = json.loads(line)
        except ValueError:  # also where the bytes are not UTF-8
            continue
        if isinstance(value, dict):  # the end of a line that was cut may be a number
            lines.append(value)
    return lines


def replace(path: str, lines: typing.Iterable[dict]) -> None:
    """Writes the file anew with these lines. Raises OSError."""
    files.write(path, "".join(_dumped(line) + "\n" for line in lines))
