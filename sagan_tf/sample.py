"""Draws samples of a run or a SavedModel: grids, single images, interpolations, neighbours.

Examples:
  # A grid, ten images a class
  python -m sagan_tf.sample --workdir=runs/digits

  # 100 single images of two classes, from the best checkpoint
  python -m sagan_tf.sample --workdir=runs/digits --checkpoint=best --what=images --classes=3,8 \\
      --samples_per_class=50 --output=samples

  # Several pictures at once: from one z to another, and the training images nearest to samples
  python -m sagan_tf.sample --workdir=runs/digits --what=interpolation,neighbours
"""

import dataclasses
import os

from sagan_tf.data import kinds
from sagan_tf.inspection import class_choice
from sagan_tf.runs.choice import check_checkpoint, check_fixed
from sagan_tf.runs.choice import choose as choose_checkpoint
from sagan_tf.runs.config import batch_statistics_option, check_inception
from sagan_tf.system import cli, output, paths, suggestions
from sagan_tf.system.device_option import check_devices, devices_option
from sagan_tf.system.errors import UserError, naming
from sagan_tf.system.options import MAX_SEED, option
from sagan_tf.system.run_directory import RunFiles, check_is_run

_KINDS = {
    "grid": "a row of samples for each class",
    "images": "PNG files of single samples, in folders by class",
    "npz": "the same images in one .npz file",
    "same_z": "each z with every class",
    "interpolation": "from one z to another",
    "class_interpolation": "from one class to the next",
    "truncation": "z drawn from shorter and shorter intervals",
    "neighbours": "the training images that are nearest to samples",
    "progress": "an animation over the run's checkpoints",
}
_ROWS = 10  # of a picture, where no classes are asked for


@dataclasses.dataclass(frozen=True)
class Options:
    """What to draw."""

    workdir: str = option(
        "", "Directory of a run, e.g. runs/digits.", section="Generator", is_path=True, common=True
    )
    checkpoint: str = option(
        "latest",
        "Which of the run's checkpoints: latest, best, or a step.",
        section="Generator",
        common=True,
    )
    weights: str = option(
        "ema", "The averaged weights, or the raw ones.", section="Generator", choices=("ema", "raw")
    )
    batch_statistics: str = batch_statistics_option("Generator")
    savedmodel: str = option(
        "",
        "Instead of a run: a SavedModel of a generator, e.g. models/digits/1.",
        section="Generator",
        is_path=True,
        common=True,
    )

    what: tuple[str, ...] = option(
        ("grid",),
        "What to draw.",
        section="Pictures",
        choices=_KINDS,
        may_change=True,
        common=True,
    )
    classes: tuple[str, ...] = option(
        (),
        f"Names or numbers of the classes, one a row. If empty: all, or {_ROWS} evenly spaced ones of more"
        " (images and npz: all).",
        section="Pictures",
        common=True,
    )
    columns: int = option(
        10, "Images in a row of a picture.", section="Pictures", minimum=2, maximum=100, common=True
    )
    samples_per_class: int = option(
        10,
        "Samples of each class (images and npz).",
        section="Pictures",
        minimum=1,
        common=True,
    )
    seed: int = option(
        0,
        "Seed of z; sample i of a seed is always the same.",
        section="Pictures",
        minimum=0,
        maximum=MAX_SEED,
        common=True,
    )
    truncation: float = option(
        0.0,
        "z is drawn from [-t, t]: more typical images, less variety. 0 for no truncation.",
        section="Pictures",
        minimum=0.0,
        common=True,
    )
    batch_size: int = option(
        64, "Images that are drawn together.", section="Pictures", minimum=1, may_change=True
    )
    devices: str = devices_option("Pictures", "N batches at once")
    animation: str = option(
        "gif", "Format of progress.", section="Pictures", choices=("gif", "webp"), may_change=True
    )

    dataset: str = option(
        "",
        "The images among which neighbours are looked for, as in training; if empty, the run's own.",
        section="Neighbours",
        is_path=True,
        placeholder="KIND:PATH",
    )
    split: str = option("train", "Their split, if --dataset is given.", section="Neighbours")
    data_dir: str = option(
        "", "Where TFDS keeps its data; if empty, as the run says.", section="Neighbours", is_path=True
    )
    inception: str = option(
        "",
        "A network in whose features to look as well: a TF-Hub handle, or the directory of a SavedModel"
        " (also one that sagan_tf.train_classifier made). If empty, in pixels only.",
        section="Neighbours",
        is_path=True,
    )

    output: str = option(
        "",
        "Directory for what is drawn; if empty, pictures/step_STEP in the run's directory, or"
        " SAVEDMODEL.pictures.",
        section="Output",
        may_change=True,
        is_path=True,
        common=True,
    )

    def check(self) -> None:
        """Refuses combinations that cannot work. Raises UserError."""
        if bool(self.workdir) == bool(self.savedmodel):
            raise UserError("give either --workdir (a run) or --savedmodel (a SavedModel of a generator)")
        check_checkpoint(self.checkpoint, "latest", "best")
        check_devices(self.devices)
        if not self.what:
            raise UserError(f"--what=: is empty; allowed are {', '.join(_KINDS)}")
        if self.savedmodel:
            check_fixed(self)
        if "progress" in self.what and self.savedmodel:
            raise UserError("--what=progress: needs --workdir; a SavedModel has no checkpoints")
        if "neighbours" in self.what and self.savedmodel and not self.dataset:
            raise UserError("--what=neighbours: --dataset is missing: the images to look among")


def check_places(options: Options, given) -> None:
    """Refuses what is missing, before TensorFlow is imported. Raises UserError."""
    del given
    if options.workdir:
        check_is_run(options.workdir)
        choose_checkpoint(options.workdir, options.checkpoint)
        class_choice.check(options.workdir, options.classes)
    elif not paths.is_saved_model(options.savedmodel):
        raise UserError(_not_a_saved_model(options.savedmodel), option="savedmodel", value=options.savedmodel)
    if options.dataset:
        kinds.check("dataset", options.dataset, options.split)
    if options.inception:
        check_inception(options.inception)


def _not_a_saved_model(path: str) -> str:
    """What is wrong with a place that holds no SavedModel, for a message."""
    if not os.path.isdir(path):
        return f"no such folder{suggestions.did_you_mean(suggestions.nearest_path(path, os.path.isdir))}"
    meant = suggestions.did_you_mean(paths.newest_version(path))
    return f"is not a SavedModel (saved_model.pb is missing){meant}"


def main(options: Options, given) -> int:
    """Draws what the options name. Returns the exit code."""
    del given
    from sagan_tf.inspection import source as sources
    from sagan_tf.inspection.artist import Artist
    from sagan_tf.inspection.sample_folder import Folder
    from sagan_tf.system.devices import choose_devices

    devices = choose_devices(options.devices)
    if options.output:
        output.check_directory("output", options.output)
    if options.workdir:
        source = sources.from_run(
            options.workdir,
            options.checkpoint,
            options.weights == "ema",
            options.batch_statistics,
            devices=devices,
        )
        place = os.path.join(RunFiles(options.workdir).pictures, f"step_{source.run.step:08d}")
        options = dataclasses.replace(options, checkpoint=str(source.run.step))
    else:
        source = sources.from_saved_model(options.savedmodel, devices)
        place = paths.beside(options.savedmodel, ".pictures")
    conditional = source.generator.conditional
    rows = class_choice.choose(options.classes, source.class_names, conditional, limit=_ROWS)
    artist = Artist(
        source,
        rows if conditional else [0] * _ROWS,
        options.columns,
        seed=options.seed,
        truncation=options.truncation,
        batch_size=options.batch_size,
    )
    options = dataclasses.replace(options, output=options.output or place)
    work = _prepare(options, source, artist)  # mistakes show before anything is written
    folder = Folder(options.output, options, record="sample.cfg")
    for action in work:
        for path in action(folder):
            print(path, flush=True)
    return 0


def _prepare(options: Options, source, artist) -> list:
    """A function of the folder for each kind of picture; it yields the paths of what it has written."""
    from sagan_tf.inspection import written

    actions = []
    if {"images", "npz"} & set(options.what):
        actions.append(lambda folder: _write_samples(options, source, folder))
    simple = ("grid", "same_z", "interpolation", "class_interpolation", "truncation")
    for kind in [kind for kind in options.what if kind in simple]:
        image = getattr(artist, kind)()
        actions.append(lambda folder, kind=kind, image=image: [written.picture(folder, kind, image)])
    if "neighbours" in options.what:
        dataset, spaces = _open_neighbours(options, source)
        actions.append(lambda folder: written.neighbours(folder, artist, dataset, spaces))
    if "progress" in options.what:
        actions.append(
            lambda folder: written.training(
                folder,
                artist,
                source,
                workdir=options.workdir,
                ema=options.weights == "ema",
                batch_statistics=options.batch_statistics,
                animation=options.animation,
            )
        )
    return actions


def _write_samples(options: Options, source, folder):
    """Writes single images and the .npz; sample i is of class i modulo their number."""
    import numpy as np

    from sagan_tf.evaluation.samples import GeneratorSamples
    from sagan_tf.inspection import written

    conditional = source.generator.conditional
    classes = class_choice.choose(options.classes, source.class_names, conditional)
    labels = np.tile(np.array(classes, np.int32), options.samples_per_class)
    return written.samples(
        folder,
        GeneratorSamples(source.generator, labels, options.seed, options.truncation),
        source.class_names if conditional else (),
        batch_size=options.batch_size,
        images="images" in options.what,
        npz="npz" in options.what,
    )


def _open_neighbours(options: Options, source):
    """The dataset to look in, and the spaces in which distances are measured."""
    from sagan_tf import data
    from sagan_tf.inspection import nearest
    from sagan_tf.metrics.features import load_network
    from sagan_tf.runs import objects

    config = source.run.config if source.run else None
    data_dir = options.data_dir or (config.data_dir if config else "")
    if options.dataset:
        dataset = data.open_dataset(
            options.dataset,
            split=options.split,
            image_size=source.generator.image_size,
            data_dir=data_dir,
            bad_images=config.bad_images if config else "refuse",
        )
    else:
        dataset = objects.open_dataset(dataclasses.replace(config, data_dir=data_dir))
    spaces = [nearest.pixels()]
    if options.inception:
        with naming("inception", options.inception):
            spaces.append(nearest.features(load_network(options.inception)))
    return dataset, spaces


def console() -> None:
    """The command `sagan-sample`."""
    cli.run(main, Options, __doc__, program="sagan_tf.sample", check_places=check_places)


if __name__ == "__main__":
    console()
