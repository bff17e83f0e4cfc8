"""Where images come from: any source becomes a `Dataset` of one size, checked before the first step."""

from sagan_tf.data.dataset import Dataset
from sagan_tf.data.sources import EncodedSource, in_memory_if_small
from sagan_tf.options import UserError

__all__ = ["Dataset", "open_dataset"]


def open_dataset(
    spec: str,
    *,
    split: str = "train",
    image_size: int,
    data_dir: str = "",
    bad_images: str = "refuse",
    in_memory: str = "auto",
) -> Dataset:
    """Opens the dataset that `--dataset` names.

    All sources give the same pixels for the same picture: centre crop to the short side, then
    Pillow's antialiased bilinear filter (see `sagan_tf.data.images`).

    Args:
      spec: digits, tfds:NAME (an image classification set of TensorFlow Datasets), or folder:PATH
        (one folder a class; a folder of images alone is one class).
      split: of digits train, test or all; of a TFDS set any split that TFDS takes (also
        `train[:10%]`); a folder has only train.
      image_size: height and width of the images.
      data_dir: where TFDS keeps its data; its default if empty.
      bad_images: "refuse" (UserError at the first image that cannot be read) or "skip".
      in_memory: hold decoded images in memory: "yes", "no", or "auto" (up to 1 GiB).

    Returns:
      The dataset.

    Raises:
      UserError: the source is missing, empty, laid out wrongly or damaged.
    """
    kind, _, place = spec.partition(":")
    if kind == "digits":
        from sagan_tf.data.digits import open_digits

        source, class_names = open_digits(split, image_size)
        return Dataset(spec, source, class_names, image_size)
    if kind == "folder":
        from sagan_tf.data.folder import FolderExamples

        if split != "train":
            raise UserError(f"--split={split}: a folder has no splits; name the folder of the split instead")
        examples = FolderExamples(place)
    elif kind == "tfds":
        from sagan_tf.data.tfds_builder import TfdsExamples

        examples = TfdsExamples(place, split, data_dir)
    else:
        raise UserError(f"--dataset={spec}: allowed are digits, tfds:NAME and folder:PATH")
    encoded = EncodedSource(examples, image_size, bad_images == "skip")
    source = in_memory_if_small(encoded, spec, image_size, in_memory)
    return Dataset(spec, source, examples.class_names, image_size)
