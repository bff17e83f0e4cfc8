"""Whether two lists of class names mean the same classes."""

import typing
import unicodedata


def normal(name: str) -> str:
    """A name in one Unicode form: macOS writes "é" in file names as two characters, Linux as one."""
    return unicodedata.normalize("NFC", name)


def same(names: typing.Sequence[str], others: typing.Sequence[str]) -> bool:
    """Whether both lists have the same names in the same order, whatever their Unicode form."""
    return [normal(name) for name in names] == [normal(name) for name in others]


def agree(names: typing.Sequence[str], others: typing.Sequence[str]) -> bool:
    """Whether labels may mean the same by both lists: `same`, or one has only the numbers of the labels.

    Imported weights come without names, so their classes are called 0, 1, 2, ... Such a list agrees with
    every list of as many names, but not with the same numbers in another order.
    """
    if same(names, others):
        return True
    numbers = [str(label) for label in range(len(names))]
    one_has_numbers = numbers in (list(names), list(others))
    return len(names) == len(others) and one_has_numbers and set(names) != set(others)
