"""Options of a run and of its data."""

import dataclasses

from sagan_tf.data import kinds
from sagan_tf.system.options import MAX_SEED, option

NO_DATASET = "none"  # of an imported run: nobody has named its images yet
AUGMENTATIONS = ("color", "translation", "cutout")


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """What is learnt from, and for how long."""

    workdir: str = option(
        "",
        "Directory of the run: configuration, checkpoints, samples, TensorBoard's files.",
        section="Run",
        may_change=True,
        is_path=True,
        common=True,
        required=True,
    )
    train_steps: int = option(
        1_000_000,
        "Generator steps of the whole run.",
        section="Run",
        minimum=1,
        may_change=True,
        common=True,
    )
    seed: int = option(
        0,
        "Seed of weights, z, labels and the order of the data.",
        section="Run",
        minimum=0,
        maximum=MAX_SEED,
        common=True,
    )
    dry_run: bool = option(
        False,
        "Print the run's configuration, which is a flagfile, and what it would cost; start nothing.",
        section="Run",
        may_change=True,
        common=True,
    )

    dataset: str = option(
        "digits",
        f"Images to learn from: {kinds.forms_with_notes()}.",
        section="Data",
        is_path=True,
        placeholder="KIND:PATH",
        common=True,
        required=True,
    )
    split: str = option("train", "Split of the dataset.", section="Data")
    data_dir: str = option(
        "",
        "Where TFDS keeps its data; TFDS's own default if empty.",
        section="Data",
        may_change=True,
        is_path=True,
    )
    bad_images: str = option(
        "refuse",
        "What to do about images that cannot be read: refuse to start, or skip them (each is named).",
        section="Data",
        choices=("refuse", "skip"),
    )
    conditional: bool = option(
        True, "Learn the classes; otherwise labels are ignored.", section="Data", common=True
    )
    flip: bool = option(
        False, "Mirror half of the real images (not in the original).", section="Data", common=True
    )
    random_crop: bool = option(
        False, "Cut real images out of slightly larger ones at random (not in the original).", section="Data"
    )
    balanced_classes: bool = option(
        False, "Show every class equally often, however many images it has.", section="Data"
    )
    augment: tuple[str, ...] = option(
        (),
        "Differentiable augmentation of real and fake images, for under 5,000 images (not in the original);"
        " empty for none.",
        section="Data",
        choices=AUGMENTATIONS,
        common=True,
    )
    in_memory: str = option(
        "auto",
        "Hold the decoded images in memory: yes, no, or auto (up to 1 GiB).",
        section="Data",
        choices=("auto", "yes", "no"),
        may_change=True,
    )
