"""Computes statistics of real images once, and writes them to a file for sagan_tf.evaluate --reference.

The file says how it was made. It is refused for images of another size or for another network.

Examples:
  # Of CIFAR-10's training images, by Inception
  python -m sagan_tf.make_reference --dataset=tfds:cifar10 --image_size=32 --output=cifar10-32.h5

  # With a network of your own, and the features that precision and recall need
  python -m sagan_tf.make_reference --dataset=folder:photos --image_size=64 --inception=classifiers/photos \\
      --keep_features --output=photos-64.h5
"""

import dataclasses

from sagan_tf.data import kinds
from sagan_tf.metrics import catalog
from sagan_tf.metrics.metric import Need
from sagan_tf.runs.config import INCEPTION, check_inception
from sagan_tf.system import cli, output
from sagan_tf.system.device_option import check_devices, devices_option
from sagan_tf.system.errors import UserError, naming
from sagan_tf.system.options import MAX_SEED, option


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure, and with what."""

    dataset: str = option(
        "",
        f"Real images: {kinds.FORMS}, as in training.",
        is_path=True,
        placeholder="KIND:PATH",
        required=True,
    )
    split: str = option("train", "Their split.")
    data_dir: str = option("", "Where TFDS keeps its data; TFDS's own default if empty.", is_path=True)
    bad_images: str = option(
        "refuse", "What to do about images that cannot be read.", choices=("refuse", "skip")
    )
    image_size: int = option(128, "Height and width, those of the images that will be scored.", minimum=8)
    num_images: int = option(0, "How many images, drawn at random; 0 for all.", minimum=0)
    seed: int = option(0, "Seed of the draw.", minimum=0, maximum=MAX_SEED)
    inception: str = option(
        INCEPTION, "The network: a TF-Hub handle, or the directory of a SavedModel.", is_path=True
    )
    keep_features: bool = option(
        False,
        f"Keep every image's features too ({', '.join(catalog.names(Need.REFERENCE_FEATURES))} need them).",
    )
    batch_size: int = option(64, "Images that pass through the network together.", minimum=1)
    devices: str = devices_option("", "N batches at once")
    output: str = option(
        "", "The file to write, e.g. cifar10-32.h5; must not exist yet.", is_path=True, required=True
    )

    def check(self) -> None:
        """Refuses what cannot work. Raises UserError."""
        for name in ("dataset", "output"):
            if not getattr(self, name):
                raise UserError(f"--{name} is missing (--help lists the options)")
        if self.num_images == 1:
            raise UserError("--num_images=1: a reference needs at least 2; 0 for all")
        check_devices(self.devices)
        output.check_new("output", self.output)
        kinds.check("dataset", self.dataset, self.split)
        check_inception(self.inception)
        kinds.check_not_among_images("output", self.output, self.dataset)


def main(options: Options, given) -> int:
    """Writes the file. Returns the exit code."""
    del given
    from sagan_tf import data
    from sagan_tf.data import images
    from sagan_tf.evaluation import reference
    from sagan_tf.metrics import features
    from sagan_tf.system.devices import choose_devices
    from sagan_tf.system.progress import Progress

    devices = choose_devices(options.devices)
    dataset = data.open_dataset(
        options.dataset,
        split=options.split,
        image_size=options.image_size,
        data_dir=options.data_dir,
        bad_images=options.bad_images,
    )
    with naming("inception", options.inception):
        network = features.load_network(options.inception, devices)
    about = reference.protocol(
        dataset,
        options.split,
        network,
        num_images=options.num_images,
        seed=options.seed,
        preprocessing=images.METHOD,
    )
    with Progress("real images", about["images"]) as progress:
        made = reference.write(
            options.output,
            dataset,
            network,
            about,
            keep_features=options.keep_features,
            batch_size=options.batch_size,
            progress=progress,
        )
    seen = f"{network.name} ({network.fingerprint}), {made.protocol['resize']}"
    print(f"{options.output}: {made.describe()} (digest {made.digest}); {seen}")
    return 0


def console() -> None:
    """The command `sagan-make-reference`."""
    cli.run(main, Options, __doc__, program="sagan_tf.make_reference")


if __name__ == "__main__":
    console()
