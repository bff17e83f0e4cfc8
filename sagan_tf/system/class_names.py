"""Class names: how they compare, and how lines in a file and names of folders hold them.

This is the only place that knows. What is written by one function here, another one reads.
"""

import os
import re
import typing
import unicodedata

from sagan_tf.system import files
from sagan_tf.system.errors import UserError, is_one_line

# Files that operating systems leave in folders. Every other file is read as an image.
_CLUTTER = ("thumbs.db", "desktop.ini", "__macosx")
_MOST_BYTES = 255  # of a file's or folder's name
_SHOWN = 3  # names in a message


def normal(name: str) -> str:
    """A name in one Unicode form: macOS writes "é" in file names as two characters, Linux as one."""
    return unicodedata.normalize("NFC", name)


def same(names: typing.Sequence[str], others: typing.Sequence[str]) -> bool:
    """Whether both lists have the same names in the same order, whatever their Unicode form."""
    return [normal(name) for name in names] == [normal(name) for name in others]


def agree(names: typing.Sequence[str], others: typing.Sequence[str]) -> bool:
    """Whether labels may mean the same by both lists: `same`, or one has only the numbers of the labels.

    Imported weights come without names, so their classes are called 0, 1, 2, ... Such a list agrees with
    every list of as many names, unless some of these are such numbers too.
    """
    if same(names, others):
        return True
    numbers = [str(label) for label in range(len(names))]
    one_has_numbers = numbers in (list(names), list(others))
    return len(names) == len(others) and one_has_numbers and not {*names} & {*others}


def better_known(names: typing.Sequence[str], others: typing.Sequence[str]) -> typing.Sequence[str]:
    """Of two lists that `agree`, the one that has more than numbers; `names` where they do not."""
    are_numbers = list(names) == [str(label) for label in range(len(names))]
    return others if are_numbers and agree(names, others) else names


def differences(before: typing.Sequence[str], now: typing.Sequence[str]) -> str:
    """What keeps labels of one list from meaning the same by the other, in words; "" if they `agree`."""
    if agree(before, now):
        return ""
    if len(before) != len(now):
        return f"{len(before)} classes before, {len(now)} now"
    before, now = [normal(name) for name in before], [normal(name) for name in now]
    gone = [name for name in before if name not in set(now)]
    new = [name for name in now if name not in set(before)]
    if not gone:
        return "the same classes in another order"
    return f"classes {_listed(gone)} before, {_listed(new)} now"


def _listed(names) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def checked(names: typing.Iterable[str]) -> tuple[str, ...]:
    """The names in the form in which they are compared.

    Raises:
      UserError: one is empty, is not a line of text, or two are the same.
    """
    result = {}
    for name in names:
        if not name or not is_one_line(name.replace("\u2028", "").replace("\u2029", "")):
            raise UserError(f"the class name '{name}' is not one line of text in UTF-8: rename it")
        if normal(name) in result:
            raise UserError(f"two classes have the same name, '{name}' (perhaps in two Unicode forms)")
        result[normal(name)] = None
    return tuple(result)


def label_of(text: str, names: typing.Sequence[str]) -> int | None:
    """The label of the class that a user means by a name or by the label itself; None if there is none.

    A name counts first. A class that is called by a number is not meant by another number: of 0, 1, 10, 2
    there is no class 3, although 2 has that label.
    """
    names = [normal(name) for name in names]
    if normal(text) in names:
        return names.index(normal(text))
    is_label = text.isdecimal() and int(text) < len(names) and not names[int(text)].isdecimal()
    return int(text) if is_label else None


def to_lines(names: typing.Iterable[str]) -> str:
    """The text of a file with one name a line; `from_lines` reads it."""
    return "".join(f"{name}\n" for name in names)


def from_lines(text: str) -> tuple[str, ...]:
    """The names in a text: only a line feed ends a line, and a carriage return before it is dropped."""
    lines = text.removeprefix("\ufeff").split("\n")
    if lines[-1] == "":
        del lines[-1]
    return tuple(normal(line.removesuffix("\r")) for line in lines)


def write(path: str, names: typing.Iterable[str]) -> None:
    """Writes a file with one name a line. Raises OSError."""
    files.write(path, to_lines(names))


def read(path: str) -> tuple[str, ...]:
    """Reads a file with one name a line. Raises UserError if it cannot be read."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return from_lines(file.read())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', '') or error})") from error


def is_clutter(name: str) -> bool:
    """Whether this is an OS file such as .DS_Store."""
    return name.startswith(".") or name.lower() in _CLUTTER


def to_folder(name: str) -> str | None:
    """The name of a folder for a class; `from_folder` gives the class's name again.

    `/` and what else a folder cannot be called becomes %2F and the like. None: the name is too long.
    """
    folder = re.sub("%(?=[0-9A-Fa-f]{2})|[/\0\\\\:]", lambda found: _escaped(found[0]), name)
    if is_clutter(folder):
        folder = _escaped(folder[0]) + folder[1:]
    return folder if len(os.fsencode(folder)) <= _MOST_BYTES else None


def _escaped(character: str) -> str:
    return f"%{ord(character):02X}"


def from_folder(folder: str) -> str:
    """The name of a folder's class. Only what `to_folder` writes is decoded: a folder `100%25` is a class."""
    name = re.sub("%([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), folder)
    return normal(name if to_folder(name) == folder else folder)
