"""Looks at a dataset as training will see it: classes, sizes, duplicates, unreadable images, samples.

Examples:
  # A quick look: data_check/data_check.png and data_check.txt
  python -m sagan_tf.check_data --dataset=folder:photos --image_size=64

  # Every image
  python -m sagan_tf.check_data --dataset=archive:photos.zip --full
"""

import dataclasses

from sagan_tf.data import kinds
from sagan_tf.system import cli, output
from sagan_tf.system.errors import UserError, naming
from sagan_tf.system.options import option


@dataclasses.dataclass(frozen=True)
class Options:
    """What to look at."""

    dataset: str = option(
        "",
        f"Images to look at: {kinds.forms_with_notes()}.",
        is_path=True,
        placeholder="KIND:PATH",
        required=True,
    )
    split: str = option("train", "Split of the dataset.")
    data_dir: str = option("", "Where TFDS keeps its data; TFDS's own default if empty.", is_path=True)
    image_size: int = option(128, "Height and width that training will use.", minimum=8, maximum=1024)
    bad_images: str = option(
        "skip",
        "Name each image that cannot be read and go on, or stop at the first.",
        choices=("skip", "refuse"),
    )
    full: bool = option(False, "Look at every image, and compare records with their checksums.")
    output: str = option(
        "data_check", "Directory to write data_check.png and data_check.txt to.", is_path=True
    )

    def check(self) -> None:
        """Refuses what is missing. Raises UserError."""
        if not self.dataset:
            raise UserError("--dataset is missing: name the images, e.g. --dataset=folder:photos")


def check_places(options: Options, given) -> None:
    """Refuses what is missing, before TensorFlow is imported. Raises UserError."""
    del given
    kinds.check("dataset", options.dataset, options.split)


def main(options: Options, given) -> int:
    """Looks at the dataset. Returns the exit code."""
    del given
    from sagan_tf import data
    from sagan_tf.data.preflight import preflight

    with naming("dataset", options.dataset):
        kind, place = kinds.split_spec(options.dataset)
    kinds.check_not_among_images("output", options.output, options.dataset)
    output.check_directory("output", options.output)
    if kind.verify and options.full:
        kind.verify(place)
        print(f"{options.dataset}: every file is as its checksum says")
    dataset = data.open_dataset(
        options.dataset,
        split=options.split,
        image_size=options.image_size,
        data_dir=options.data_dir,
        bad_images=options.bad_images,
    )
    preflight(dataset, options.output, full=options.full)
    return 0


def console() -> None:
    """The command `sagan-check-data`."""
    cli.run(main, Options, __doc__, program="sagan_tf.check_data", check_places=check_places)


if __name__ == "__main__":
    console()
