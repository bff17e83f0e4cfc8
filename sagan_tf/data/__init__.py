"""Where images come from: any source becomes a `Dataset` of one size, checked before the first step."""

from sagan_tf.data import images
from sagan_tf.data.dataset import Dataset
from sagan_tf.data.sources import EncodedSource, in_memory_if_small
from sagan_tf.system import dataset_spec
from sagan_tf.system.errors import UserError, naming

__all__ = ["IN_FILES", "WITHOUT_SPLITS", "Dataset", "open_dataset", "open_examples", "read_class_names"]

WITHOUT_SPLITS = ("folder", "archive", "records")  # kinds of sources
IN_FILES = (*WITHOUT_SPLITS, "npz", "hdf5")  # kinds of sources whose place is a path
_PLACES = ("folder:PATH", "archive:FILE", "records:DIR", "npz:FILE", "hdf5:FILE")
_CROP_MARGIN = 8  # random crops are cut from images that are larger by 1 / 8


def open_dataset(
    spec: str,
    *,
    split: str = "train",
    image_size: int,
    data_dir: str = "",
    bad_images: str = "refuse",
    in_memory: str = "auto",
    random_crop: bool = False,
    needs_labels: bool = False,
) -> Dataset:
    """Opens a dataset.

    All sources give the same pixels for the same picture: centre crop to the short side, then
    Pillow's antialiased bilinear filter (see `sagan_tf.data.images`).

    Args:
      spec: as `open_examples` takes it, or records:DIR (see `sagan_tf.data.records`).
      split: see `open_examples`.
      image_size: height and width of the images.
      data_dir: where TFDS keeps its data; its default if empty.
      bad_images: "refuse" (UserError at the first image that cannot be read) or "skip".
      in_memory: hold decoded images in memory: "yes", "no", or "auto" (up to 1 GiB).
      random_crop: resize to an eighth more than `image_size` and, for training, cut at random places.
      needs_labels: refuse images that have no label.

    Returns:
      The dataset.

    Raises:
      UserError: the source is missing, empty, laid out wrongly or damaged, or it is HDF5 that is not
        held in memory.
    """
    size = image_size + image_size // _CROP_MARGIN if random_crop else image_size
    kind, _, place = spec.partition(":")
    if kind == "records":
        from sagan_tf.data.records import RecordSource

        _check_split(spec, split)
        with naming("dataset", spec):
            source = RecordSource(place, size)
        class_names = source.class_names
    else:
        examples = open_examples(spec, split, data_dir)
        source, class_names = EncodedSource(examples, size, bad_images == "skip"), examples.class_names
    source = in_memory_if_small(source, spec, size, in_memory)
    if kind == "hdf5" and not source.in_memory:
        raise UserError(
            "HDF5 that is not held in memory (it is up to 1 GiB) is too slow for single images: prepare"
            " records from it (sagan_tf.prepare_data), or hold it in memory",
            option="dataset",
            value=spec,
            remedy={"in_memory": "yes"},
        )
    preprocessing = f"{images.METHOD}; centre cut from {size}x{size}" if random_crop else images.METHOD
    dataset = Dataset(spec, source, class_names, image_size, preprocessing)
    if needs_labels:
        with naming("dataset", spec):
            dataset.check_labels()
    return dataset


def open_examples(spec: str, split: str = "train", data_dir: str = ""):
    """Opens a source of images of any size.

    Args:
      spec: digits; tfds:NAME (an image classification set of TensorFlow Datasets); folder:PATH (one
        folder a class; images alone are one class); archive:FILE (.zip or .tar, the same layout);
        npz:FILE or hdf5:FILE (an array of uint8 images and one of labels).
      split: of digits train, test or all; of a TFDS set any split that TFDS takes (also
        `train[:10%]`); of npz and hdf5 what the arrays of images have in their names; others, and
        arrays without such names, have only train.
      data_dir: where TFDS keeps its data; its default if empty.

    Returns:
      An object with `class_names`, `labels` (int32, or None if not known beforehand), `__len__`,
      `get(index)` -> (image, label), `describe(index)`, `digest()` and `identify()`.

    Raises:
      UserError: the source is missing, empty or laid out wrongly.
    """
    with naming("dataset", spec):
        return _open_examples(spec, split, data_dir)


def read_class_names(spec: str, split: str = "train", data_dir: str = "") -> tuple[str, ...]:
    """The names of a dataset's classes; no image is decoded, and TFDS downloads nothing.

    Args: see `open_dataset`.

    Raises:
      UserError: the source is missing, empty or laid out wrongly.
    """
    kind, _, place = spec.partition(":")
    with naming("dataset", spec):
        if kind == "records":
            from sagan_tf.data.records import read_manifest

            return tuple(read_manifest(place).class_names)
        if kind == "tfds":
            from sagan_tf.data import tfds_builder

            return tfds_builder.read_class_names(place, data_dir)
    return tuple(open_examples(spec, split, data_dir).class_names)


def _open_examples(spec: str, split: str, data_dir: str):
    kind, _, place = spec.partition(":")
    if kind == "tfds":
        from sagan_tf.data.tfds_builder import TfdsExamples

        return TfdsExamples(place, split, data_dir)
    if kind in ("digits", "npz", "hdf5"):
        from sagan_tf.data import arrays

        if kind == "digits":
            return arrays.open_digits(split)
        return arrays.open_npz(place, split) if kind == "npz" else arrays.open_hdf5(place, split)
    if kind not in ("folder", "archive"):
        meant = dataset_spec.meant_by(spec)
        hint = f"did you mean {meant}? Allowed" if meant else "allowed"
        raise UserError(f"{hint} are digits, tfds:NAME, {', '.join(_PLACES)}")
    _check_split(spec, split)
    if kind == "folder":
        from sagan_tf.data.folder import FolderExamples

        return FolderExamples(place)
    from sagan_tf.data.archive import ArchiveExamples

    return ArchiveExamples(place)


def _check_split(spec, split):
    if split != "train":
        raise UserError(
            f"{spec} has no splits; give the place of the split instead", option="split", value=split
        )
