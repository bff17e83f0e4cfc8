"""Mistakes of the user: what is wrong, which option is concerned, and which option would help."""

import contextlib


class UserError(Exception):
    """A mistake that the user can mend; `str` gives the one line that the user sees.

    Attributes:
      problem: what is wrong. It names no option, so that low parts need not know the command line.
      option, value: the option that is to blame and what was given for it; "" if it is not known (yet).
      remedy: options that help, with the value to give them.
      exit_code: that of the command which ends with it.
    """

    exit_code = 2

    def __init__(self, problem: str, *, option: str = "", value=None, remedy: dict | None = None):
        super().__init__(problem)
        self.problem, self.option, self.value, self.remedy = problem, option, value, remedy or {}

    def __str__(self) -> str:
        start = f"{as_flag(self.option, self.value)}: " if self.option else ""
        return start + with_remedy(self.problem, **self.remedy)


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
def writing(option: str, path: str):
    """Makes a UserError of an OSError: what an option names cannot be written."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"cannot be written ({reason})", option=option, value=path) from error
