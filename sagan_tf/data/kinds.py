"""The kinds of data sources, one row each. Options, help texts, checks and messages follow from this table.

Options are read without TensorFlow: a row's functions import what they need when they are called.
"""

import dataclasses
import os
import re
import typing

from sagan_tf.system import output, suggestions
from sagan_tf.system.errors import UserError, naming


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of source, which an option names as NAME:PLACE, or as NAME if it has no place.

    Attributes:
      name: what stands before the colon.
      place: what stands after it, as help texts call it; "" if nothing does.
      open: (place, split, data_dir) -> examples, see `data.open_examples`; None for prepared images.
      open_prepared: (place, image_size) -> source with `class_names`, see `data.sources`; of prepared images.
      verify: place -> None; raises UserError if a file is not what its checksum says. None: no checksums.
      read_class_names: (place, data_dir) -> names of the classes, if that is quicker than `open`.
      note: what help texts add.
      exists: path -> whether it is there, if the place is a path.
      endings: of the names of such files.
      has_splits: whether it has more than one split, train.
      owns_folder: whether every image below the place is an example, so that nothing else may be put there.
      needs_memory: whether single images are read too slowly to train from the place itself.
    """

    name: str
    place: str
    open: typing.Callable | None
    open_prepared: typing.Callable | None = None
    verify: typing.Callable | None = None
    read_class_names: typing.Callable | None = None
    note: str = ""
    exists: typing.Callable[[str], bool] | None = None
    endings: tuple[str, ...] = ()
    has_splits: bool = True
    owns_folder: bool = False
    needs_memory: bool = False

    @property
    def form(self) -> str:
        """How an option names such a source."""
        return f"{self.name}:{self.place}" if self.place else self.name

    def check_split(self, spec: str, split: str) -> None:
        """Raises UserError if a source of this kind, named by `spec`, cannot have the split."""
        if not self.has_splits and split != "train":
            raise UserError(
                f"{spec} has no splits; give the place of the split instead", option="split", value=split
            )


def _open_digits(place, split, data_dir):
    from sagan_tf.data import arrays

    return arrays.open_digits(split)


def _open_tfds(place, split, data_dir):
    from sagan_tf.data.tfds_builder import TfdsExamples

    return TfdsExamples(place, split, data_dir)


def _open_folder(place, split, data_dir):
    from sagan_tf.data.folder import FolderExamples

    return FolderExamples(place)


def _open_archive(place, split, data_dir):
    from sagan_tf.data.archive import ArchiveExamples

    return ArchiveExamples(place)


def _open_npz(place, split, data_dir):
    from sagan_tf.data import arrays

    return arrays.open_npz(place, split)


def _open_hdf5(place, split, data_dir):
    from sagan_tf.data import arrays

    return arrays.open_hdf5(place, split)


def _open_records(place, image_size):
    from sagan_tf.data.records import RecordSource

    return RecordSource(place, image_size)


def _verify_records(place):
    from sagan_tf.data import records

    records.verify(place)


def _class_names_of_records(place, data_dir):
    from sagan_tf.data.records import read_manifest

    return read_manifest(place).class_names


def _class_names_of_tfds(place, data_dir):
    from sagan_tf.data import tfds_builder

    return tfds_builder.read_class_names(place, data_dir)


_ROWS = (
    Kind("digits", "", _open_digits),
    Kind("tfds", "NAME", _open_tfds, read_class_names=_class_names_of_tfds),
    Kind(
        "folder",
        "PATH",
        _open_folder,
        note="one folder a class, or images alone",
        exists=os.path.isdir,
        has_splits=False,
        owns_folder=True,
    ),
    Kind(
        "archive",
        "FILE",
        _open_archive,
        note="zip or tar of the same",
        exists=os.path.isfile,
        endings=(".zip", ".tar", ".tgz", ".gz"),
        has_splits=False,
    ),
    Kind(
        "records",
        "DIR",
        None,
        open_prepared=_open_records,
        verify=_verify_records,
        read_class_names=_class_names_of_records,
        note="made by sagan_tf.prepare_data",
        exists=os.path.isdir,
        has_splits=False,
    ),
    Kind("npz", "FILE", _open_npz, exists=os.path.isfile, endings=(".npz",)),
    Kind("hdf5", "FILE", _open_hdf5, exists=os.path.isfile, endings=(".h5", ".hdf5"), needs_memory=True),
)
KINDS = {kind.name: kind for kind in _ROWS}
IN_FILES = tuple(kind.name for kind in _ROWS if kind.exists)  # their place is a path
RECORDS_MANIFEST = "manifest.json"  # see `records.Manifest`
FORMS = ", ".join(kind.form for kind in _ROWS)


def forms_with_notes(prepared: bool = True) -> str:
    """For help texts: every kind, or all that are not prepared yet, with its note in brackets."""
    rows = [kind for kind in _ROWS if prepared or kind.open]
    return ", ".join(f"{kind.form} ({kind.note})" if kind.note else kind.form for kind in rows)


def split_spec(spec: str) -> tuple[Kind, str]:
    """The kind and the place that NAME:PLACE names. Raises UserError if it names none."""
    name, _, place = spec.partition(":")
    kind = KINDS.get(name)
    if kind is None or bool(place) != bool(kind.place):
        meant = meant_by(spec)
        raise UserError(f"{f'did you mean {meant}? A' if meant else 'a'}llowed are {FORMS}")
    return kind, place


def meant_by(spec: str) -> str:
    """What was probably meant by what names no dataset, NAME:PLACE or two with "or"; "" if nothing tells."""
    name, colon, place = spec.partition(":")
    if os.path.isdir(spec):
        kind = "records" if os.path.isfile(os.path.join(spec, RECORDS_MANIFEST)) else "folder"
        return f"{kind}:{spec}"
    if os.path.isfile(spec):
        ending = os.path.splitext(spec)[1].lower()
        found = [kind.name for kind in _ROWS if ending in kind.endings]
        return f"{found[0]}:{spec}" if found else ""
    if spec in KINDS:
        return ""  # a kind without its place
    near = KINDS.get(suggestions.nearest(name, KINDS))
    if near and (colon or not near.place):
        return f"{near.name}:{place}" if near.place else near.name
    near = suggestions.nearest_path(spec)
    found = [meant_by(near) if near else "", f"tfds:{spec}" if re.fullmatch(r"\w+", spec) else ""]
    return " or ".join(filter(None, found))


def check(option: str, spec: str, split: str = "train") -> None:
    """Raises UserError if an option names no dataset, or one whose file or folder is not there.

    Also if there is a split, and a source of this kind has none; then the option to blame is called split.
    What sets TFDS has, and what splits a set has, is not known here.
    """
    with naming(option, spec):
        kind, _ = split_spec(spec)
    check_exists(option, spec)
    kind.check_split(spec, split)


def check_exists(option: str, spec: str) -> None:
    """Raises UserError if an option names a file or folder of images that is not there."""
    name, _, place = spec.partition(":")
    kind = KINDS.get(name)
    if kind and kind.exists and not kind.exists(place):
        what = "folder" if kind.exists is os.path.isdir else "file"
        near = suggestions.nearest_path(place, kind.exists)
        meant = meant_by(place) if os.path.exists(place) else f"{name}:{near}" if near else ""
        raise UserError(f"no such {what}{suggestions.did_you_mean(meant)}", option=option, value=spec)


def check_reference(option: str, spec: str, split: str) -> None:
    """Raises UserError if an option names neither a dataset, see `check`, nor a file of statistics."""
    if spec.partition(":")[0] in KINDS:
        check(option, spec, split)
    elif os.path.isfile(spec):
        if split != "train":
            raise UserError(f"{spec} is a file, which has no splits", option="split", value=split)
    else:
        raise UserError(
            f"no such file, and no dataset{suggestions.did_you_mean(meant_by(spec))}; allowed are files of"
            f" sagan_tf.make_reference, {FORMS}",
            option=option,
            value=spec,
        )


def check_not_among_images(option: str, path: str, spec: str) -> None:
    """Raises UserError if an option names an output in a folder whose images are the dataset `spec`."""
    name, _, place = spec.partition(":")
    if name in KINDS and KINDS[name].owns_folder:
        output.check_not_within(option, path, place)
