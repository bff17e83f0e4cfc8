"""What `folder:PATH` and the like name, as far as it can be said without opening it."""

import os

from sagan_tf.system.errors import UserError

_FOLDERS, _FILES = ("folder", "records"), ("archive", "npz", "hdf5")
KINDS = (*_FOLDERS, *_FILES, "tfds", "digits")


def check_exists(option: str, spec: str) -> None:
    """Raises UserError if an option names a file or folder of images that is not there."""
    kind, _, place = spec.partition(":")
    if kind in _FOLDERS and not os.path.isdir(place):
        raise UserError("no such folder", option=option, value=spec)
    if kind in _FILES and not os.path.isfile(place):
        raise UserError("no such file", option=option, value=spec)
