"""Trains a small classifier on a dataset, which scores generated images of that kind without Inception.

Examples:
  # Of the digits
  python -m sagan_tf.train_classifier --output=classifiers/digits

  # Of your own classes, at 64x64
  python -m sagan_tf.train_classifier --dataset=folder:photos --image_size=64 --flip --output=classifiers/b
"""

import dataclasses
import os
import shlex

from sagan_tf.data import kinds
from sagan_tf.system import cli, output
from sagan_tf.system.errors import UserError, naming, renaming
from sagan_tf.system.options import MAX_SEED, option


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the command."""

    dataset: str = option(
        "digits",
        f"Images to learn: {kinds.FORMS}, as in training.",
        is_path=True,
        placeholder="KIND:PATH",
    )
    split: str = option("train", "Split to learn from.")
    test_split: str = option(
        "",
        "Split to test on; if empty, the digits' own, or else the --holdout share of --split is kept back.",
    )
    holdout: float = option(
        0.1, "Share of --split that is tested on, not learnt.", minimum=0.001, maximum=0.9
    )
    data_dir: str = option("", "Where TFDS keeps its data; TFDS's own default if empty.", is_path=True)
    output: str = option("", "Directory of the SavedModel; must not exist yet.", is_path=True, required=True)
    name: str = option("", "What scores are labelled with; if empty: the dataset's name and 'classifier'.")
    image_size: int = option(32, "Height and width of the images that it takes.", minimum=8, maximum=512)
    width: int = option(
        16, "Channels of the first layer; the features are up to eight times as many.", minimum=1
    )
    epochs: float = option(15.0, "Passes over the images.", minimum=0.01)
    batch_size: int = option(64, "Images in a batch.", minimum=2)
    flip: bool = option(False, "Mirror half of the images; not for letters or digits.")
    seed: int = option(
        0, "Seed of the weights, the order, the shifts and the images kept back.", minimum=0, maximum=MAX_SEED
    )

    def check(self) -> None:
        """Refuses what cannot work. Raises UserError."""
        if not self.output:
            raise UserError(
                "--output is missing: name the directory for the classifier, e.g. --output=classifiers/digits"
            )
        if self.image_size & (self.image_size - 1):
            raise UserError(f"--image_size={self.image_size}: must be a power of two, from 8 to 512")
        kinds.check("dataset", self.dataset, self.split)
        with renaming(split="test_split"):
            kinds.check("dataset", self.dataset, self.test_split or "train")
        output.check_new("output", self.output)


def main(options: Options, given) -> int:
    """Trains, tests and saves. Returns the exit code."""
    del given
    kinds.check_not_among_images("output", options.output, options.dataset)
    import keras

    from sagan_tf.data import subset
    from sagan_tf.metrics import classifier

    train, test = _open(options)
    if train.num_classes < 2:
        raise UserError(f"--dataset={options.dataset}: has only one class; a classifier needs at least 2")
    steps = max(1, round(options.epochs * train.num_examples / options.batch_size))
    print(
        f"{train.num_examples:,} images to learn, {test.num_examples:,} to test,"
        f" {train.num_classes} classes, {steps:,} steps of {options.batch_size}",
        flush=True,
    )
    keras.utils.set_random_seed(options.seed)
    model = classifier.Classifier(options.image_size, train.num_classes, options.width)
    batches = train.batches(options.batch_size, seed=options.seed)
    classifier.fit(
        batches,
        model,
        steps=steps,
        flip=options.flip,
        seed=options.seed,
        report=lambda line: print(line, flush=True),
    )
    share, _ = classifier.accuracy(model, subset.read_once(test, 256))
    with naming("output", options.output):
        classifier.save(model, options.output, _about(options, train, test, share))
    print(f"{share:.2%} of {test.num_examples:,} images that it has not seen are classified correctly")
    print(f"saved; use it with --inception={shlex.quote(options.output)}")
    return 0


def _open(options: Options):
    """The datasets to learn from and to test on; they share no image."""
    from sagan_tf import data
    from sagan_tf.data import subset

    def open_split(split):
        return data.open_dataset(
            options.dataset,
            split=split,
            image_size=options.image_size,
            data_dir=options.data_dir,
            needs_labels=True,
        )

    train = open_split(options.split)
    has_test = options.dataset == "digits" and options.split == "train"
    test_split = options.test_split or ("test" if has_test else "")
    if test_split:
        if test_split == options.split:
            raise UserError(f"--test_split={test_split}: is the split to learn from; name another")
        with renaming(split="test_split"):
            test = open_split(test_split)
        shared = data.count_shared(options.dataset, options.split, test_split, options.data_dir)
        if shared:
            raise UserError(
                f"--test_split={test_split}: {shared:,} of its {test.num_examples:,} images are also learnt"
                f" (--split={options.split}); name splits that share none, or leave --test_split empty"
            )
        return train, test
    kept_back = max(1, round(options.holdout * train.num_examples))
    if kept_back >= train.num_examples:
        raise UserError(
            f"--dataset={options.dataset}: holds {train.num_examples} image; at least 2 are needed"
        )
    test, rest = subset.draw(train, kept_back, options.seed)
    return rest, test


def _about(options: Options, train, test, share: float) -> dict:
    """What `classifier.json` says."""
    import sagan_tf

    default = (
        f"{os.path.basename(options.dataset.partition(':')[2].rstrip('/')) or options.dataset} classifier"
    )
    return {
        "name": options.name or default,
        "image_size": options.image_size,
        "class_names": list(train.class_names),
        "dataset": options.dataset,
        "digest": train.digest.identity,
        "split": options.split,
        "learnt_images": train.num_examples,
        "test_images": test.num_examples,
        "test_accuracy": round(share, 5),
        "epochs": options.epochs,
        "width": options.width,
        "flip": options.flip,
        "seed": options.seed,
        "version": sagan_tf.__version__,
    }


def console() -> None:
    """The command `sagan-train-classifier`."""
    cli.run(main, Options, __doc__, program="sagan_tf.train_classifier")


if __name__ == "__main__":
    console()
