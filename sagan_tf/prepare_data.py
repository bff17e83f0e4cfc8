"""Prepares any images for training: crops, resizes and writes them as sharded records.

Stopped at any moment, the same command goes on where it was. The same input gives the same bytes.
Train with --dataset=records:DIR.

Examples:
  # A folder with one folder a class, or with images alone
  python -m sagan_tf.prepare_data --dataset=folder:photos --image_size=64 --output=records/photos

  # ImageNet as JPEG, an eighth larger, for --random_crop
  python -m sagan_tf.prepare_data --dataset=tfds:imagenet2012 --image_size=144 --encoding=jpeg \\
      --output=records/imagenet
"""

import dataclasses

from sagan_tf.data import kinds
from sagan_tf.runs.config import IMAGE_SIZES
from sagan_tf.system import cli
from sagan_tf.system.errors import UserError
from sagan_tf.system.options import option
from sagan_tf.system.processor import usable_cpus


@dataclasses.dataclass(frozen=True)
class Options:
    """What to prepare, and how."""

    dataset: str = option(
        "",
        f"Source: {kinds.forms_with_notes(prepared=False)}.",
        section="Source",
        is_path=True,
        placeholder="KIND:PATH",
        required=True,
    )
    split: str = option("train", "Split of the source.", section="Source")
    data_dir: str = option(
        "", "Where TFDS keeps its data; TFDS's own default if empty.", section="Source", is_path=True
    )
    bad_images: str = option(
        "refuse",
        "What to do about images that cannot be read: refuse, or skip them (the manifest names each).",
        section="Source",
        choices=("refuse", "skip"),
    )
    output: str = option("", "Directory to write to.", section="Records", is_path=True, required=True)
    image_size: int = option(
        128,
        f"Height and width. For training one of {', '.join(map(str, IMAGE_SIZES))};"
        " an eighth more (as 144) to train with --random_crop.",
        section="Records",
        minimum=8,
        maximum=1024,
    )
    encoding: str = option(
        "raw",
        "raw (fastest), jpeg (a fifth of the size at quality 95), png or webp.",
        section="Records",
        choices=("raw", "png", "jpeg", "webp"),
    )
    quality: int = option(95, "Quality of jpeg and webp.", section="Records", minimum=1, maximum=100)
    images_per_shard: int = option(4096, "Most images in one file.", section="Records", minimum=1)
    workers: int = option(0, "Threads; 0 for one a core.", section="Records", minimum=0)

    def check(self) -> None:
        """Refuses what is missing. Raises UserError."""
        if not self.dataset:
            raise UserError("--dataset is missing: name the images, e.g. --dataset=folder:photos")
        if not self.output:
            raise UserError("--output is missing: name the directory to write to")


def check_places(options: Options, given) -> None:
    """Refuses what is missing, before TensorFlow is imported. Raises UserError."""
    del given
    kinds.check("dataset", options.dataset, options.split)


def main(options: Options, given) -> int:
    """Prepares the dataset. Returns the exit code."""
    del given
    from sagan_tf import data
    from sagan_tf.data import images, prepare, records

    kinds.check_not_among_images("output", options.output, options.dataset)
    examples = data.open_examples(options.dataset, options.split, options.data_dir)
    print(f"{options.dataset}: {len(examples):,} images, {len(examples.class_names):,} classes", flush=True)
    settings = records.Settings(
        source=options.dataset,
        split=options.split,
        image_size=options.image_size,
        encoding=options.encoding,
        quality=options.quality,
        images_per_shard=options.images_per_shard,
        bad_images=options.bad_images,
        resize=images.METHOD,
        source_digest=examples.digest(),
    )
    workers = options.workers or usable_cpus()
    prepare.prepare(examples, settings, options.output, workers, lambda line: print(line, flush=True))
    return 0


def console() -> None:
    """The command `sagan-prepare-data`."""
    cli.run(main, Options, __doc__, program="sagan_tf.prepare_data", check_places=check_places)


if __name__ == "__main__":
    console()
