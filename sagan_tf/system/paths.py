"""Paths and URLs in options: `~`, slashes at the end, paths that TensorFlow can read."""

import atexit
import functools
import os
import re
import shutil
import tempfile

from sagan_tf.system.errors import UserError

_KIND = re.compile("[a-z0-9]+:(?!//)")  # as in folder:photos; https:// is no kind
_PATTERN = re.compile(r"[*?\[\]\\]")  # TensorFlow's readers look for files that match such a path


def normal(place: str) -> str:
    """A place as every command understands it.

    `~` at the start is the home directory, and slashes at the end are dropped. The same holds for the path
    in KIND:PATH, such as folder:~/photos/. A URL stays as it is.
    """
    if "://" in place:
        return place
    kind, path = _split(place)
    if kind:
        return kind + normal(path)
    path = os.path.expanduser(path)
    while len(path) > 1 and path.endswith(("/", "/.")):
        path = path[:-1]
    return path


def _split(place: str) -> tuple[str, str]:
    """`folder:photos` -> ("folder:", "photos"); ("", place) for a path."""
    found = _KIND.match(place)
    return (found[0], place[found.end() :]) if found else ("", place)


def absolute(place: str, kinds: tuple[str, ...] = ()) -> str:
    """The absolute path; of KIND:PATH with one of these kinds the path becomes absolute. URLs stay."""
    if not place or "://" in place:
        return place
    kind, path = _split(place)
    if kind.rstrip(":") in kinds:
        return kind + os.path.abspath(path)
    return os.path.abspath(place)


def same(place: str, other: str) -> bool:
    """Whether two places are one, however they are written: `a`, `./a`, its absolute path, a link to it."""
    return _map_path(os.path.realpath, place) == _map_path(os.path.realpath, other)


def seen_from(folder: str, place: str) -> str:
    """The way from a folder to a place: it stays the same if both are moved together. URLs stay."""
    return _map_path(lambda path: os.path.relpath(path, folder), place)


def _map_path(function, place: str) -> str:
    """Applies a function to the path in a place, also in KIND:PATH; URLs and "" stay."""
    place = normal(place)
    if not place or "://" in place:
        return place
    kind, path = _split(place)
    return kind + function(path)


def beside(place: str, ending: str) -> str:
    """The path of what lies beside a file or folder and has its name and an ending: a/b -> a/b.ENDING.

    A folder that is named by its place alone, as `.` or `..`, has its own name there too.
    """
    place = normal(place)
    return (os.path.abspath(place) if os.path.basename(place) in ("", ".", "..") else place) + ending


def is_saved_model(folder: str) -> bool:
    """Whether a folder holds a TensorFlow SavedModel."""
    return os.path.isfile(os.path.join(folder, "saved_model.pb"))


def newest_version(folder: str) -> str:
    """The newest SavedModel in a folder of numbered versions, as an export is; "" if there is none."""
    names = os.listdir(folder) if os.path.isdir(folder) else ()
    numbers = [name for name in names if name.isdecimal() and is_saved_model(os.path.join(folder, name))]
    return os.path.join(folder, max(numbers, key=int)) if numbers else ""


def is_within(path: str, folder: str) -> bool:
    """Whether a path, which need not exist, is a folder or lies below it; links are followed."""
    path, folder = os.path.realpath(path), os.path.realpath(folder)
    return path == folder or path.startswith(os.path.join(folder, ""))


def for_tensorflow(directory: str) -> str:
    """A path of a directory by which TensorFlow's readers find it, valid as long as this process lives.

    Its readers of checkpoints and SavedModels take a path for a pattern: they do not find `lr[1]`. Such a
    directory is read by a link to it that has a plain name. Raises UserError if no link can be made.
    """
    path = os.path.abspath(directory)
    return _link_to(path) if _PATTERN.search(path) else directory


@functools.cache
def _link_to(path: str) -> str:
    try:
        folder = tempfile.mkdtemp(prefix="sagan_tf_")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        link = os.path.join(folder, "link")
        os.symlink(path, link)
    except OSError as error:
        raise UserError(
            rf"{path}: TensorFlow cannot read below a folder with one of * ? [ ] \ in its name, and a"
            f" temporary link to it cannot be made ({error.strerror}); rename the folder"
        ) from error
    return link
