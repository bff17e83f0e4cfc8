"""Where images come from: any source becomes a `Dataset` of one size, checked before the first step."""

from sagan_tf.data import kinds
from sagan_tf.system.errors import UserError, naming

__all__ = ["count_shared", "open_dataset", "open_examples", "read_class_names"]

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
):
    """Opens a dataset.

    All sources give the same pixels for the same picture: centre crop to the short side, then
    Pillow's antialiased bilinear filter (see `sagan_tf.data.images`).

    Args:
      spec: names the source: one of `kinds.KINDS`.
      split: see `open_examples`.
      image_size: height and width of the images.
      data_dir: where TFDS keeps its data; its default if empty.
      bad_images: "refuse" (UserError at the first image that cannot be read) or "skip".
      in_memory: hold decoded images in memory: "yes", "no", or "auto" (up to 1 GiB).
      random_crop: resize to an eighth more than `image_size` and, for training, cut at random places.
      needs_labels: refuse images that have no label.

    Returns:
      A `sagan_tf.data.dataset.Dataset`.

    Raises:
      UserError: the source is missing, empty, laid out wrongly or damaged, or it is HDF5 that is not
        held in memory.
    """
    from sagan_tf.data import images
    from sagan_tf.data.dataset import Dataset
    from sagan_tf.data.sources import EncodedSource, in_memory_if_small

    size = image_size + image_size // _CROP_MARGIN if random_crop else image_size
    with naming("dataset", spec):
        kind, place = kinds.split_spec(spec)
        if kind.open_prepared:
            kind.check_split(spec, split)
            source = kind.open_prepared(place, size)
            class_names = source.class_names
        else:
            examples = open_examples(spec, split, data_dir)
            source, class_names = EncodedSource(examples, size, bad_images == "skip"), examples.class_names
    source = in_memory_if_small(source, spec, size, in_memory)
    if kind.needs_memory and not source.in_memory:
        raise UserError(
            f"single images of {kind.name} files are read too slowly: hold them in memory (up to 1 GiB they"
            " are), or prepare records (sagan_tf.prepare_data)",
            option="dataset",
            value=spec,
            remedy={"in_memory": "yes"},
        )
    preprocessing = f"{images.METHOD}; centre cut from {size}x{size}" if random_crop else images.METHOD
    dataset = Dataset(spec, source, class_names, image_size, preprocessing)
    if needs_labels and (problem := dataset.without_label()):
        raise UserError(problem, option="dataset", value=spec)
    return dataset


def open_examples(spec: str, split: str = "train", data_dir: str = ""):
    """Opens a source of images of any size.

    Args:
      spec: names the source, see `kinds.KINDS`. Images alone, without folders, are one class.
      split: of digits train, test or all; of a TFDS set any split that TFDS takes (also
        `train[:10%]`); of npz and hdf5 what the arrays of images have in their names; others, and
        arrays without such names, have only train.
      data_dir: where TFDS keeps its data; its default if empty.

    Returns:
      An object with `class_names`, `labels` (int32, or None if not known beforehand), `__len__`,
      `get(index)` -> (image, label), `describe(index)`, `digest()` and `identify()`; and, if the kind has
      splits, `places()`, by which two splits are compared.

    Raises:
      UserError: the source is missing, empty or laid out wrongly.
    """
    with naming("dataset", spec):
        kind, place = kinds.split_spec(spec)
        if not kind.open:
            raise UserError("is prepared already; name the source")
        kind.check_split(spec, split)
        return kind.open(place, split, data_dir)


def count_shared(spec: str, split: str, other: str, data_dir: str = "") -> int:
    """How many images are in both of two splits of a source; no image is decoded.

    Args: see `open_examples`; `other` is the other split.

    Raises:
      UserError: as `open_examples`.
    """
    import numpy as np

    ours, theirs = (open_examples(spec, each, data_dir).places() for each in (split, other))
    return sum(len(np.intersect1d(ours[place], theirs[place])) for place in ours.keys() & theirs.keys())


def read_class_names(spec: str, split: str = "train", data_dir: str = "") -> tuple[str, ...]:
    """The names of a dataset's classes; no image is decoded, and TFDS downloads nothing.

    Args: see `open_dataset`.

    Raises:
      UserError: the source is missing, empty or laid out wrongly.
    """
    with naming("dataset", spec):
        kind, place = kinds.split_spec(spec)
        if kind.read_class_names:
            return tuple(kind.read_class_names(place, data_dir))
    return tuple(open_examples(spec, split, data_dir).class_names)
