"""What `folder:PATH` and the like name, as far as it can be said without opening it."""

import os
import typing

from sagan_tf.system import suggestions
from sagan_tf.system.errors import UserError

_FOLDERS, _FILES = ("folder", "records"), ("archive", "npz", "hdf5")
KINDS = (*_FOLDERS, *_FILES, "tfds", "digits")
_OF_ENDINGS = {
    ".zip": "archive",
    ".tar": "archive",
    ".tgz": "archive",
    ".gz": "archive",
    ".npz": "npz",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
}


def check(option: str, spec: str) -> None:
    """Raises UserError if an option names no dataset, or one whose file or folder is not there.

    Whether TFDS has a set of a name cannot be said here.
    """
    kind, _, place = spec.partition(":")
    if kind not in KINDS or (kind == "digits") == bool(place):
        refuse(option, spec)
    check_exists(option, spec)


def refuse(option: str, spec: str) -> typing.NoReturn:
    """Raises UserError for an option that names no dataset."""
    meant = meant_by(spec)
    hint = f"did you mean {meant}? A" if meant else "a"
    allowed = ", ".join(f"{kind}:..." for kind in KINDS if kind != "digits")
    raise UserError(f"{hint}llowed are digits, {allowed}", option=option, value=spec)


def check_exists(option: str, spec: str) -> None:
    """Raises UserError if an option names a file or folder of images that is not there."""
    kind, _, place = spec.partition(":")
    for kinds, what, exists in ((_FOLDERS, "folder", os.path.isdir), (_FILES, "file", os.path.isfile)):
        if kind in kinds and not exists(place):
            near = suggestions.nearest_path(place, exists)
            hint = suggestions.did_you_mean(f"{kind}:{near}" if near else "")
            if os.path.exists(place):
                hint = suggestions.did_you_mean(meant_by(place))
            raise UserError(f"no such {what}{hint}", option=option, value=spec)


def meant_by(spec: str) -> str:
    """The dataset that was probably meant by what names none, KIND:PLACE; "" if nothing tells."""
    kind, colon, place = spec.partition(":")
    if os.path.isdir(spec):
        return f"records:{spec}" if os.path.isfile(os.path.join(spec, "manifest.json")) else f"folder:{spec}"
    if os.path.isfile(spec):
        kind = _OF_ENDINGS.get(os.path.splitext(spec)[1].lower())
        return f"{kind}:{spec}" if kind else ""
    near = suggestions.nearest(kind, KINDS)
    if near == "digits" or (colon and near):
        return "digits" if near == "digits" else f"{near}:{place}"
    return "" if colon or os.sep in spec or not spec else f"tfds:{spec}"
