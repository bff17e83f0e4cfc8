"""Mistakes of the user: what is wrong, which option is concerned, and which option would help."""

import contextlib
import errno
import os
import re
import sys
import unicodedata


class UserError(Exception):
    """A mistake that the user can mend; `str` gives the one line that the user sees.

    Attributes:
      problem: what is wrong. It names no option, so that low parts need not know the command line.
      option, value: the option that is to blame and what was given for it; "" if it is not known (yet).
      remedy: options that help, with the value to give them.
      place: FILE:LINE, if a line of a flagfile is to blame.
      exit_code: that of the command which ends with it.
    """

    exit_code = 2
    place = ""

    def __init__(self, problem: str, *, option: str = "", value=None, remedy: dict | None = None):
        super().__init__(problem)
        self.problem, self.option, self.value, self.remedy = problem, option, value, remedy or {}

    def __str__(self) -> str:
        start = f"{self.place}: " if self.place else ""
        start += f"{as_flag(self.option, self.value)}: " if self.option else ""
        return printable(start + with_remedy(self.problem, **self.remedy))


def is_one_line(text: str) -> bool:
    """Whether text can be stored as one line of UTF-8: it has no control characters and no stray bytes."""
    return not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text)


def printable(text: str) -> str:
    """The text as one line that every UTF-8 file and terminal takes: other characters become \\xe9, \\n."""
    if is_one_line(text):
        return text
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(each if is_one_line(each) else ascii(each)[1:-1] for each in text)


def failure_of_the_system(error: BaseException) -> str:
    """What the operating system says about a file that cannot be read or written; "" for other errors.

    TensorFlow makes errors of its own of those that its C++ code meets; their text ends with the system's.
    """
    if isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
        return f"{error.filename}: {reason}" if error.filename else reason
    tensorflow_errors = getattr(sys.modules.get("tensorflow"), "errors", None)
    if tensorflow_errors and isinstance(error, tensorflow_errors.OpError):
        first = re.sub(r"^\{\{.*?\}\} ?", "", str(error).partition("\n")[0])  # the name of a node
        return first if any(reason in first for reason in _REASONS) else ""
    return ""


# What TensorFlow's text says of files. Not ENOMEM: memory has messages of its own.
_REASONS = tuple(
    os.strerror(getattr(errno, name))
    for name in (
        "EACCES EPERM EROFS ENOSPC EDQUOT EFBIG EIO ESTALE ENOENT ENOTDIR EISDIR EMFILE ENFILE ENAMETOOLONG"
        " ELOOP ENODEV ENXIO ETIMEDOUT EBUSY ENOTCONN"
    ).split()
    if hasattr(errno, name)
)


def as_flag(option: str, value=None) -> str:
    """An option as the command line has it: `--NAME=VALUE`, `--NAME` (None, True) or `--noNAME` (False)."""
    if value is None or isinstance(value, bool):
        return f"--no{option}" if value is False else f"--{option}"
    return f"--{option}={value}"


def with_remedy(text: str, **remedy) -> str:
    """A sentence, and in brackets the options that help: `with_remedy("too big", steps=3)`."""
    flags = ", ".join(as_flag(option, value) for option, value in remedy.items())
    return f"{text} ({flags})" if flags else text


@contextlib.contextmanager
def naming(option: str, value=None):
    """Whatever UserError the block raises and blames on no option is blamed on this one."""
    try:
        yield
    except UserError as error:
        if not error.option:
            error.option, error.value = option, value
        raise


@contextlib.contextmanager
def renaming(**names):
    """Whatever UserError the block raises names these options: `renaming(dataset="reference")`.

    For commands whose option for something is not called as in training.
    """
    try:
        yield
    except UserError as error:
        error.option = names.get(error.option, error.option)
        error.remedy = {names.get(option, option): value for option, value in error.remedy.items()}
        raise


@contextlib.contextmanager
def writing(option: str, path: str):
    """Makes a UserError of the operating system's errors: what an option names cannot be written."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = failure_of_the_system(error)
        if not reason:
            raise
        reason = getattr(error, "strerror", "") or reason
        raise UserError(f"cannot be written ({reason})", option=option, value=path) from error
