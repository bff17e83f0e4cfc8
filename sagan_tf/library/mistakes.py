"""What the commands say to a user of the command line, said to a caller in Python."""

import contextlib
import dataclasses
import difflib
import re

from sagan_tf.system import options as command_options
from sagan_tf.system.errors import UserError


@contextlib.contextmanager
def as_value_errors():
    """Turns a UserError, which names flags, into a ValueError, which names arguments."""
    try:
        yield
    except UserError as error:
        raise ValueError(re.sub(r"(?<![\w-])--(?=[a-z])", "", str(error))) from error


def make_options(cls, values: dict):
    """A command's options with these values, checked; lists become tuples, paths become text.

    Args:
      cls: the dataclass of the options.
      values: by name.

    Raises:
      ValueError: an unknown name, or a value that does not fit.
    """
    check_names(cls, values)
    with as_value_errors():
        made = cls(**{name: as_option(value) for name, value in values.items()})
        command_options.check(made)
    return made


def replace_options(options, values: dict):
    """The options with some values changed, see `make_options`."""
    check_names(type(options), values)
    fields = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    return make_options(type(options), fields | values)


def check_names(cls, values: dict) -> None:
    """Raises ValueError for a name that is no option; it says which option is nearest."""
    names = [field.name for field in dataclasses.fields(cls)]
    for name in values:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            raise ValueError(f"{name}: no such option" + (f"; did you mean {near[0]}?" if near else ""))


def as_option(value):
    """A value as options hold it: a tuple for a list, text for a path."""
    if hasattr(value, "__fspath__"):
        return str(value)
    return tuple(value) if isinstance(value, list) else value
