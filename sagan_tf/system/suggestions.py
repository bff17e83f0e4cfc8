"""What a user probably meant: the nearest name, file or folder to one that is not there."""

import difflib
import itertools
import os
import typing

_MOST = 1000  # entries of a folder that are looked at
_ALIKE = 0.75  # paths have endings in common


def did_you_mean(name: str) -> str:
    """`; did you mean NAME?`, to be added to a message; "" for no name."""
    return f"; did you mean {name}?" if name else ""


def nearest(name: str, names: typing.Iterable[str]) -> str:
    """The name that is most like `name`, whatever their case; "" if none is like it."""
    spellings = {each.lower(): each for each in names}
    found = difflib.get_close_matches(name.lower(), spellings, 3)
    # Of several a name of the same length: digits are mistyped more often than left out.
    return spellings[min(found, key=lambda each: abs(len(each) - len(name)))] if found else ""


def nearest_path(path: str, accepts: typing.Callable[[str], bool] = os.path.exists) -> str:
    """The path that is most like one that is not there, and that `accepts`; "" if there is none."""
    *folders, last = os.path.normpath(path).split(os.sep)
    here = os.sep if os.path.isabs(path) else ""
    for name in filter(None, folders):
        if not os.path.isdir(os.path.join(here, name)):
            name = nearest(name, _entries(here))
        if not name:
            return ""
        here = os.path.join(here, name)
    like = difflib.get_close_matches(last, _entries(here), 5, _ALIKE)
    return next(filter(accepts, (os.path.join(here, name) for name in like)), "")


def nearest_flagfile(path: str) -> str:
    """The flagfile that is most like a path: also one in flags/ and its folders, by its name alone."""
    if not path.endswith(".cfg") and os.path.isfile(f"{path}.cfg"):
        return f"{path}.cfg"
    found = nearest_path(path, os.path.isfile)
    if found or not os.path.isdir("flags"):
        return found
    known = {}
    for folder, _, names in os.walk("flags"):
        for stem, ending in map(os.path.splitext, sorted(names)):
            if ending == ".cfg":
                known.setdefault(stem, os.path.join(folder, f"{stem}{ending}"))
    return known.get(nearest(os.path.basename(path).removesuffix(".cfg"), known), "")


def _entries(folder: str) -> list[str]:
    try:
        with os.scandir(folder or ".") as entries:
            return [entry.name for entry in itertools.islice(entries, _MOST)]
    except OSError:
        return []
