"""Typed options of a command: one frozen dataclass gives flags, flagfiles, help and validation.

A command declares its options once (`system/help.py` describes them to the user):

    @dataclasses.dataclass(frozen=True)
    class Options:
        workdir: str = option("", "Directory of the run.")
        batch_size: int = option(64, "Images in a batch.", minimum=1)

        def check(self) -> None: ...   # optional: combinations that make no sense
        def with_fitting_defaults(self, given): ...   # optional: the options, less defaults that contradict

This is the only module that names absl.flags. It does not import TensorFlow, so `--help` is quick.
"""

import dataclasses
import math
import os
import re
import sys
import typing

from absl import flags

from sagan_tf.system import paths, suggestions
from sagan_tf.system.errors import UserError, is_one_line

MAX_SEED = 2**32 - 1  # what Keras and NumPy take


def option(
    default,
    help_text,
    *,
    section="",
    minimum=None,
    maximum=None,
    choices=None,
    may_change=False,
    positional=False,
    is_path=False,
    common=False,
    required=False,
    placeholder="",
):
    """A dataclass field that is also a command line flag.

    Args:
      default: default value; tuples stand for comma-separated lists.
      help_text: what it is for, one sentence.
      section: heading under which `--help` lists it.
      minimum, maximum: inclusive bounds, for each element where the option is a list.
      choices: allowed values, for each element where the option is a list; text in upper case will do. A
        dict tells what each means.
      may_change: whether a run that is taken up again may use another value.
      positional: whether arguments without a flag are added to it; one option, a list of text, may have it.
      is_path: whether it names a place: a path, KIND:PATH, or a URL where there may be one; it is read as
        `paths.normal` says.
      common: whether `--help` shows it. If no option of a command is common, it shows all of them.
      required: whether the command needs it, for `--help`; the command itself checks that it is given.
      placeholder: what `--help` shows as its value; if empty, its type.
    """
    return dataclasses.field(
        default=default,
        metadata={
            "help": help_text,
            "section": section,
            "minimum": minimum,
            "maximum": maximum,
            "choices": choices,
            "may_change": may_change,
            "positional": positional,
            "is_path": is_path,
            "common": common,
            "required": required,
            "placeholder": placeholder,
        },
    )


_FLAGFILE = ("--flagfile", "-flagfile")
_TRUTH = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
_MEANING = {bool: "true or false", int: "a whole number", float: "a finite number", str: "text"}


class _Parser(flags.ArgumentParser):
    """Reads one value, or a tuple of them from `a,b,c`; the empty text is the empty tuple."""

    def __init__(self, hint, is_path, choices):
        self._is_path = is_path
        self._spellings = {str(choice).lower(): choice for choice in choices or () if isinstance(choice, str)}
        elements = typing.get_args(hint)
        self._is_list, self._type = bool(elements), elements[0] if elements else hint
        meaning = _MEANING[self._type]
        self.syntactic_help = f"a comma-separated list, each element {meaning}" if elements else meaning

    def parse(self, argument):
        if not isinstance(argument, str):  # a default
            return argument
        try:
            if self._is_list:
                return tuple(self._read(item.strip()) for item in argument.split(",") if item.strip())
            return self._read(argument)
        except (KeyError, ValueError):
            raise ValueError(f"must be {self.syntactic_help}") from None

    def _read(self, text):
        if self._type is bool:
            return _TRUTH[text.lower()]
        text = self._spellings.get(text.lower(), text)
        value = paths.normal(text) if self._is_path else self._type(text)
        if self._type is float and not math.isfinite(value):
            raise ValueError
        return value


def format_value(value) -> str:
    """The text that, given to the flag, yields `value` again."""
    if isinstance(value, tuple):
        return ",".join(format_value(item) for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _flag_values(cls) -> flags.FlagValues:
    """The flags of the options `cls`, not yet set."""
    values, hints = flags.FlagValues(), typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        hint, text = hints[field.name], field.metadata["help"]
        parser = _Parser(hint, field.metadata["is_path"], field.metadata["choices"])
        flag = flags.Flag(parser, None, field.name, field.default, text, boolean=hint is bool)
        flags.DEFINE_flag(flag, values)
    return values


def _read_flags(values: flags.FlagValues, argv, positional: bool) -> tuple[list[str], dict[str, str]]:
    """Sets `values` from the arguments; what absl says of a mistake becomes one plain line.

    Returns the arguments without a flag (there are some only if `positional`), and the place, FILE:LINE, of
    each flag that a flagfile sets.
    """
    values.set_gnu_getopt(positional)  # flags may follow such arguments
    names, rest, places = list(values), [], {}
    for arguments, place in _pieces(argv):
        before = {name: values[name].present for name in names}
        try:
            if place and not positional:
                _check_line(arguments[0])
            rest += _set(values, arguments, positional)
        except UserError as error:
            error.place = place
            raise
        places |= {name: place for name in names if values[name].present > before[name]}
    return rest, places


def _set(values: flags.FlagValues, arguments: list[str], positional: bool) -> list[str]:
    """Sets `values` from arguments that name no flagfile; returns those without a flag."""
    try:
        rest = values([sys.argv[0], *_with_underscores(arguments, values)])[1:]
    except flags.IllegalFlagValueError as error:
        raise UserError(str(error).removeprefix("flag ")) from error
    except (flags.Error, ValueError) as error:
        raise UserError(f"{str(error).replace(' ?', '?')} (--help lists the flags)") from error
    if rest and not positional:
        meant = _meant(rest[0], values)
        raise UserError(
            f"unexpected argument {rest[0]!r}: "
            + (
                f"did you mean {meant}?"
                if meant
                else "an option is given as --name=value (--help lists them)"
            )
        )
    return rest


def _with_underscores(arguments: list[str], values: flags.FlagValues) -> typing.Iterator[str]:
    """The arguments with --batch-size as --batch_size, and --no-flip as --noflip."""
    rest = iter(arguments)
    for argument in rest:
        found = re.match(r"(--?)([a-zA-Z][\w-]*-[\w-]*)(?==|$)", argument)
        if found:
            name = found[2].replace("-", "_")
            positive = name.removeprefix("no_")
            name = name if positive == name or name in values else f"no{positive}"
            argument = found[1] + name + argument[found.end() :]
        yield argument
        if argument == "--":
            yield from rest


def _meant(argument: str, names: typing.Container[str]) -> str:
    """The flag that an argument without one was probably meant for; "" if nothing tells."""
    name, equals, _ = argument.partition("=")
    if equals and name in names:
        return f"--{argument}"
    if argument.endswith(".cfg"):
        return f"--flagfile={argument}"
    return f"--workdir={argument}" if "workdir" in names and os.path.isdir(argument) else ""


def _pieces(argv) -> typing.Iterator[tuple[list[str], str]]:
    """The arguments, cut where a `--flagfile` stands, and each line of that file.

    With each piece comes its place, FILE:LINE; "" for the command line itself.
    """
    piece, rest = [], iter(argv)
    for argument in rest:
        name, equals, path = argument.partition("=")
        if argument == "--":
            piece += [argument, *rest]
            break
        path = path if equals else next(rest, None) if name in _FLAGFILE else None
        if name not in _FLAGFILE or path is None:  # without a name: absl will say so
            piece.append(argument)
            continue
        yield piece, ""
        piece = []
        yield from _lines_of(path)
    yield piece, ""


def _lines_of(path: str, within: tuple[str, ...] = ()) -> typing.Iterator[tuple[list[str], str]]:
    """The lines of a flagfile without comments, as one argument each, and their places.

    absl looks for a file that a flagfile names in the current directory; here it is looked for beside that
    flagfile, so that the command may be given anywhere. `within` are the files that lead here.
    """
    if not path:
        raise UserError("--flagfile=: names no file")
    path = os.path.join(os.path.dirname(within[-1]) if within else "", os.path.expanduser(path))
    if os.path.abspath(path) in map(os.path.abspath, within):
        raise UserError(f"--flagfile={path}: leads to itself")
    for number, line in enumerate(_text_of(path), 1):
        name, equals, named = line.partition("=")
        if name in _FLAGFILE and equals:
            try:
                yield from _lines_of(named, (*within, path))
            except UserError as error:
                error.place = error.place or f"{path}:{number}"
                raise
        elif line and not line.startswith(("#", "//")):
            yield [line], f"{path}:{number}"


def _text_of(path: str) -> list[str]:
    """The lines of a file without spaces around them. Raises UserError."""
    try:
        with open(path, encoding="utf-8-sig") as file:  # some editors begin a file with a byte order mark
            return [line.strip() for line in file]
    except OSError as error:
        hint = suggestions.did_you_mean(suggestions.nearest_flagfile(path))
        raise UserError(f"--flagfile={path}: {error.strerror}{hint}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"--flagfile={path}: is not text") from error


def _check_line(line: str) -> None:
    """Refuses a line of a flagfile that is not written as --name=value. Raises UserError."""
    found = re.fullmatch(r"(-{0,2})(\w[\w-]*)(\s*=\s*|\s+|)(.*)", line, re.DOTALL)
    if found and found[1] and found[3] in ("", "="):
        return
    meant = f"--{found[2]}" + (f"={found[4]}" if found[3] else "") if found else "--name=value"
    if found and not found[1]:
        problem = "an option begins with two dashes"
    else:
        problem = "an option has no spaces around =" if found and "=" in found[3] else "is no option"
    raise UserError(f"{line!r}: {problem}; write {meant}")


def parse(cls, argv):
    """Reads command line arguments.

    Args:
      cls: a dataclass whose fields were made by `option`.
      argv: the arguments without the program's name; `--flagfile=PATH` reads more of them from a
        file, and the file more files, by paths from its own directory. Of two settings of one flag the
        last wins.

    Returns:
      The instance of `cls`, checked, and the set of the names that `argv` set.

    Raises:
      UserError: an unknown flag, a value of the wrong type or out of bounds, an unreadable
        flagfile, or an argument without a flag. If a flagfile is to blame, it names the line.
    """
    values, positional = _flag_values(cls), _positional(cls)
    rest, places = _read_flags(values, argv, positional is not None)
    fields = {field.name: getattr(values, field.name) for field in dataclasses.fields(cls)}
    given = frozenset(name for name in fields if values[name].present)
    if rest:
        is_path = cls.__dataclass_fields__[positional].metadata["is_path"]
        fields[positional] += tuple(map(paths.normal, rest) if is_path else rest)
        given |= {positional}
    result = cls(**fields)
    if hasattr(result, "with_fitting_defaults"):
        result = result.with_fitting_defaults(given)
    try:
        check(result)
    except UserError as error:
        error.place = error.place or _place_of(error, places)
        raise
    return result, given


def _place_of(error: UserError, places: dict[str, str]) -> str:
    """The line of a flagfile that set the first option in a message; "" if no flagfile set it."""
    named = re.match(r"--(\w+)", str(error))
    name = named[1] if named else ""
    return places.get(name) or places.get(name.removeprefix("no"), "")


def _positional(cls) -> str | None:
    """Name of the option that takes the arguments without a flag; None if there is none."""
    return next((field.name for field in dataclasses.fields(cls) if field.metadata["positional"]), None)


def check(options) -> None:
    """Checks every option's bounds and choices, then the combinations. Raises UserError."""
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        for item in value if isinstance(value, tuple) else (value,):
            _check_item(field, item)
    if hasattr(options, "check"):
        options.check()


def _check_item(field: dataclasses.Field, item) -> None:
    choices, low, high = (field.metadata[key] for key in ("choices", "minimum", "maximum"))
    given = f"--{field.name}={format_value(item)}"
    if isinstance(item, str) and item.startswith("--"):
        raise UserError(f"--{field.name}: has no value, {item} follows")
    if isinstance(item, str) and any("\udc80" <= character <= "\udcff" for character in item):
        raise UserError(f"{given}: is not text in UTF-8; rename the file or folder")
    if isinstance(item, str) and (item != item.strip() or not is_one_line(item)):
        raise UserError(f"--{field.name}={item!r}: must be one line without spaces around it")
    if choices is not None and item not in choices:
        near = suggestions.nearest(str(item), map(str, choices))
        hint = f"; did you mean {near}?" if near else ""
        raise UserError(f"{given}: allowed are {', '.join(map(str, choices))}{hint}")
    if low is not None and not item >= low:
        raise UserError(f"{given}: must be at least {low}")
    if high is not None and not item <= high:
        raise UserError(f"{given}: must be at most {high}")


def to_flagfile(options, comment: str = "") -> str:
    """The text of a flagfile that sets every option of `options`."""
    lines = [f"# {line}" for line in comment.splitlines()]
    for field in dataclasses.fields(options):
        lines.append(f"--{field.name}={format_value(getattr(options, field.name))}")
    return "\n".join(lines) + "\n"


def from_flagfile(cls, path: str):
    """Reads a flagfile into an instance of `cls`. Raises UserError if it cannot be read or used."""
    if not os.path.isfile(path):
        raise UserError(f"{path}: no such file")
    return parse(cls, [f"--flagfile={path}"])[0]


def refuse_given(options, names: typing.Iterable[str], problem: str) -> None:
    """Raises UserError with this problem if one of these options has another value than its default."""
    for name in names:
        value = getattr(options, name)
        if value != type(options).__dataclass_fields__[name].default:
            raise UserError(problem, option=name, value=value)


def difference(old, new, ignored=(), same_place=paths.same) -> list[str]:
    """One line for every option that differs, e.g. `--seed: 0 before, 1 now`.

    Options that may change, and the names in `ignored`, are left out. `same_place` tells whether two paths
    name one place.
    """
    changed = [
        field.name
        for field in dataclasses.fields(old)
        if not (field.metadata["may_change"] or field.name in ignored)
        and not _is_same(field, getattr(old, field.name), getattr(new, field.name), same_place)
    ]
    return [
        f"--{name}: {format_value(getattr(old, name))!r} before, {format_value(getattr(new, name))!r} now"
        for name in changed
    ]


def _is_same(field: dataclasses.Field, value, other, same_place) -> bool:
    if not field.metadata["is_path"]:
        return value == other
    if isinstance(value, tuple):
        return len(value) == len(other) and all(map(same_place, value, other))
    return same_place(value, other)
