"""Scores a run, a SavedModel or a folder of images, and says how each score was measured.

Examples:
  # Inception score and FID of the newest checkpoint, 50,000 samples
  python -m sagan_tf.evaluate --workdir=runs/cifar10

  # Quickly, with a classifier in Inception's place
  python -m sagan_tf.evaluate --workdir=runs/digits --inception=classifiers/digits --num_samples=2000

  # A folder of images against a dataset
  python -m sagan_tf.evaluate --generated=samples --reference=tfds:cifar10 --metrics=fid,kid
"""

import dataclasses
import os

from sagan_tf.data import kinds
from sagan_tf.metrics.catalog import METRICS
from sagan_tf.metrics.metric import Need, blaming
from sagan_tf.runs import training_data
from sagan_tf.runs.choice import check_checkpoint, check_fixed, check_has_checkpoint, choose
from sagan_tf.runs.config import INCEPTION, NO_DATASET, Config, batch_statistics_option, check_inception
from sagan_tf.system import cli, files, output, paths
from sagan_tf.system.device_option import check_devices, devices_option
from sagan_tf.system.errors import UserError, naming, renaming
from sagan_tf.system.options import MAX_SEED, from_flagfile, option, refuse_given
from sagan_tf.system.run_directory import RunFiles, check_is_run, is_run


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the command."""

    workdir: str = option(
        "",
        "Directory of a run, whose generator is scored.",
        section="What is scored",
        is_path=True,
        common=True,
    )
    checkpoint: str = option(
        "latest",
        "Which of the run's checkpoints: latest, best, all, or a step.",
        section="What is scored",
        common=True,
    )
    weights: str = option(
        "ema", "The averaged weights, or the raw ones.", section="What is scored", choices=("ema", "raw")
    )
    batch_statistics: str = batch_statistics_option("What is scored")
    generated: str = option(
        "",
        "Instead of a run: a folder of images, or a SavedModel of a generator.",
        section="What is scored",
        is_path=True,
        common=True,
    )
    watch: bool = option(
        False,
        "Score every checkpoint of a run, as it appears, until the run is complete.",
        section="What is scored",
    )
    watch_every_seconds: float = option(
        10.0, "How often --watch looks for a new checkpoint.", section="What is scored", minimum=0.1
    )

    metrics: tuple[str, ...] = option(
        ("is", "fid"),
        "What to measure.",
        section="Metrics",
        choices=tuple(METRICS),
        common=True,
    )
    inception: str = option(
        INCEPTION,
        "The network that sees the images: a TF-Hub handle, or the directory of a SavedModel"
        " (also one that sagan_tf.train_classifier made).",
        section="Metrics",
        is_path=True,
        common=True,
    )
    splits: int = option(10, "Parts of the Inception score.", section="Metrics", minimum=1)
    cas_dataset: str = option(
        "",
        "For cas: the real images to test on; if empty, the reference's dataset, or else the run's own.",
        section="Metrics",
        is_path=True,
        placeholder="KIND:PATH",
    )
    cas_split: str = option(
        "",
        "For cas: their split; if empty, test, or all images of a dataset without splits.",
        section="Metrics",
    )
    cas_epochs: float = option(
        15.0, "For cas: passes over the generated images.", section="Metrics", minimum=0.01
    )

    num_samples: int = option(
        50_000,
        "Number of images; of a folder with fewer, all.",
        section="Samples",
        minimum=2,
        common=True,
    )
    seed: int = option(
        0,
        "Seed of z and labels, and of random draws within metrics.",
        section="Samples",
        minimum=0,
        maximum=MAX_SEED,
        common=True,
    )
    truncation: float = option(
        0.0, "z is drawn from [-t, t]; 0 for no truncation.", section="Samples", minimum=0.0
    )
    class_distribution: str = option(
        "uniform",
        "How classes are drawn: at random as in the paper, all equally often, or as among the real images.",
        section="Samples",
        choices=("uniform", "balanced", "reference"),
    )
    batch_size: int = option(64, "Images that are drawn together.", section="Samples", minimum=1)
    devices: str = devices_option("Samples", "N batches at once")

    reference: str = option(
        "",
        f"Real images: a dataset as in training ({kinds.FORMS}), or a file made by"
        " sagan_tf.make_reference; if empty, the run's --evaluate_reference, or else its own dataset.",
        section="Reference",
        is_path=True,
        placeholder="KIND:PATH",
        common=True,
    )
    reference_split: str = option(
        "",
        "Their split; if empty, train, or without --reference the one that the run names.",
        section="Reference",
    )
    data_dir: str = option(
        "",
        "Where TFDS keeps its data; if empty, where the run says, or TFDS's own default.",
        section="Reference",
        is_path=True,
    )

    output: str = option(
        "",
        "File that results are added to, one line of JSON each; if empty, scores/scores.jsonl in the run's"
        " directory, or NAME.scores.jsonl beside what was --generated.",
        section="Output",
        is_path=True,
        common=True,
    )

    def check(self) -> None:
        """Refuses what cannot work, as far as names of files and numbers tell. Raises UserError."""
        self._check_combinations()
        check_devices(self.devices)
        with blaming("metrics", self.metrics):
            for name in self.metrics if not _is_folder(self.generated) else ():
                METRICS[name].check_images(self.num_samples, self.splits)
        if self.workdir and not self.watch:
            check_is_run(self.workdir)
        self._check_output()
        check_inception(self.inception)
        if self.generated and not os.path.isdir(self.generated):
            raise UserError(f"--generated={self.generated}: no such folder")
        if self.reference:
            self._check_reference("reference", *_real_images(self, None))
        if self.cas_dataset:
            with renaming(split="cas_split"):
                kinds.check("cas_dataset", self.cas_dataset, self.cas_split or "train")
        if self.generated and not self.reference and (needing := self.needing(Need.REFERENCE)):
            raise UserError(f"--metrics={needing[0]}: needs real images to compare with: give --reference")
        if self.workdir and not (self.watch and not is_run(self.workdir)):
            self.check_run()

    def _check_combinations(self) -> None:
        if bool(self.workdir) == bool(self.generated):
            raise UserError(
                "give either --workdir (a run) or --generated (a folder of images or a SavedModel)"
            )
        check_checkpoint(self.checkpoint, "latest", "best", "all")
        if self.generated:
            check_fixed(self)
            newest = paths.newest_version(self.generated)
            if newest and not paths.is_saved_model(self.generated):
                raise UserError(f"--generated={self.generated}: is an export; name its version, {newest}")
        if _is_folder(self.generated):
            problem = "needs a generator, the images of a folder are drawn already; leave it out"
            refuse_given(self, ("truncation", "class_distribution"), problem)
        if "cas" not in self.metrics:
            problem = "belongs to the metric cas: add that to --metrics, or leave this out"
            refuse_given(self, ("cas_dataset", "cas_split", "cas_epochs"), problem)
        if self.watch and self.generated:
            raise UserError("--watch: needs --workdir; a folder or a SavedModel does not change")
        if not self.metrics:
            raise UserError(f"--metrics=: is empty; allowed are {', '.join(METRICS)}")

    def _check_output(self) -> None:
        if _is_folder(self.generated):
            output.check_not_within("output", self.scores_file, self.generated)
        option = "output" if self.output else "workdir" if self.workdir else "generated"
        try:
            files.check_writable(self.scores_file)
        except OSError as error:
            problem = f"{self.scores_file} cannot be written ({error.strerror})"
            value, remedy = getattr(self, option), None if self.output else {"output": "FILE"}
            raise UserError(problem, option=option, value=value, remedy=remedy) from error

    def check_run(self) -> None:
        """Refuses a run that is not there, and a checkpoint or dataset that it does not have."""
        check_is_run(self.workdir)
        if not self.watch and self.checkpoint == "all":
            check_has_checkpoint(self.workdir)
        elif not self.watch:
            choose(self.workdir, self.checkpoint)
        if self.needing(Need.REFERENCE) and not self.reference:
            config = from_flagfile(Config, RunFiles(self.workdir).config)
            config = training_data.located(dataclasses.replace(config, workdir=self.workdir))
            reference, split = _real_images(self, config)
            if not reference and config.dataset == NO_DATASET:
                raise UserError("--reference is missing: the run was imported without images")
            try:
                if reference:
                    self._check_reference("evaluate_reference", reference, split)
                else:
                    self._check_reference("dataset", config.dataset, split)
            except UserError as error:
                raise UserError(f"{error}; --reference names other images than the run's") from error

    def _check_reference(self, option: str, spec: str, split: str) -> None:
        with renaming(split="reference_split"):
            kinds.check_reference(option, spec, split)

    @property
    def scores_file(self) -> str:
        """Where results go."""
        own = RunFiles(self.workdir).scores if self.workdir else paths.beside(self.generated, ".scores.jsonl")
        return self.output or own

    def needing(self, *needs: Need) -> list[str]:
        """Those of the metrics that have all of these needs."""
        return [name for name in self.metrics if {*needs} <= {*METRICS[name].needs}]


def _real_images(options: Options, config: Config | None) -> tuple[str, str]:
    """The images to compare with, "" for the run's own dataset, and their split.

    What the options leave open is as in the run's scores while it was trained.
    """
    reference, split = options.reference, "train"
    if config and not reference:
        reference, split = config.evaluate_reference, config.evaluate_reference_split
        split = split if reference else config.split
    if os.path.isfile(reference):  # of statistics, which has no splits
        split = "train"
    return reference, options.reference_split or split


def _is_folder(generated: str) -> bool:
    """Whether this is a folder of images, not a SavedModel."""
    return bool(generated) and not paths.is_saved_model(generated)


def main(options: Options, given) -> int:
    """Scores what the options name. Returns the exit code."""
    from sagan_tf.system.devices import choose_devices

    devices = choose_devices(options.devices)
    with blaming("metrics", options.metrics):
        if options.workdir:
            return _score_run(options, devices)
        score = _score_folder if _is_folder(options.generated) else _score_saved_model
        score(options, given, devices)
        return 0


def _score_run(options: Options, devices) -> int:
    from sagan_tf.evaluation.run_scoring import RunScorer, wait_for
    from sagan_tf.runs import run_files

    if options.watch:
        wait_for(options.workdir, options.watch_every_seconds)
        options.check_run()
    config = run_files.read_config(options.workdir)
    real = _open_real(options, config.image_size, config)
    names = run_files.read_class_names(options.workdir) if config.conditional else None
    scorer = _make_scorer(options, devices, real, names, RunFiles(options.workdir).scores_folder)
    run = RunScorer(
        options.workdir,
        scorer,
        lambda generator: _draw(options, scorer, generator),
        _protocol(options, scorer, config.image_size),
        ema=options.weights == "ema",
        batch_statistics=options.batch_statistics,
        output=options.scores_file,
        devices=devices,
    )
    if options.watch:
        return run.watch(options.watch_every_seconds)
    if options.checkpoint == "all":
        return run.score_all()
    run.score(options.checkpoint)
    return 0


def _score_saved_model(options: Options, given, devices) -> None:
    from sagan_tf.evaluation import samples
    from sagan_tf.inspection.source import read_class_names

    with naming("generated", options.generated):
        generator = samples.from_saved_model(options.generated, devices)
    real = _open_real(options, generator.image_size)
    names = None
    if generator.conditional:
        names = read_class_names(options.generated) or real.class_names
        if not names:
            raise UserError("--reference is missing: it tells how many classes there are to ask for")
    scorer = _make_scorer(options, devices, real, names)
    protocol = _protocol(options, scorer, generator.image_size)
    _score(options, scorer, _draw(options, scorer, generator), protocol, generator.digest)


def _score_folder(options: Options, given, devices) -> None:
    from sagan_tf.evaluation.samples import FolderSamples

    with naming("generated", options.generated):
        images = FolderSamples(options.generated, options.num_samples, options.seed)
    if "num_samples" in given and images.count < options.num_samples:
        raise UserError(
            f"--num_samples={options.num_samples}: {options.generated} holds {images.count} images"
        )
    options = dataclasses.replace(options, num_samples=images.count)
    real = _open_real(options, images.image_size)
    images.name_classes(real.class_names)
    names = real.class_names if images.labels is not None else None
    scorer = _make_scorer(options, devices, real, names)
    images.name_classes(scorer.class_names)  # the network's, if nothing else knows them
    protocol = _protocol(options, scorer, images.image_size)
    _score(options, scorer, images, protocol.replace(truncation=None, class_distribution=None), images.digest)


def _score(options: Options, scorer, images, protocol, digest: str) -> None:
    from sagan_tf.evaluation.pipeline import score_and_keep

    output = options.scores_file
    score_and_keep(scorer, images, protocol.replace(source_digest=digest), output, f"{output}.intra_fid")


def _open_real(options: Options, image_size: int, config=None):
    """Opens the real images that the metrics need; `config` is that of the run that is scored, if one is."""
    from sagan_tf.evaluation import real_images

    reference, split = _real_images(options, config)
    test = None
    if options.needing(Need.REAL_TEST):
        test = real_images.open_test(
            options.cas_dataset,
            options.cas_split,
            options.cas_epochs,
            reference=reference,
            image_size=image_size,
            data_dir=options.data_dir,
            config=config,
        )
    is_needed = bool(options.reference or options.needing(Need.REFERENCE))
    return real_images.open_real(
        reference,
        split,
        is_needed=is_needed,
        image_size=image_size,
        data_dir=options.data_dir,
        config=config,
        test=test,
    )


def _make_scorer(options: Options, devices, real, names, *folders: str):
    """A scorer with a network on each device.

    `folders` may hold statistics of the real images too, besides the results' own folder.
    """
    from sagan_tf.evaluation.preparation import make_scorer

    return make_scorer(
        options.inception,
        options.metrics,
        real,
        names,
        num_samples=options.num_samples,
        folders=[*folders, os.path.dirname(os.path.abspath(options.scores_file))],
        splits=options.splits,
        seed=options.seed,
        batch_size=options.batch_size,
        devices=devices,
    )


def _draw(options: Options, scorer, generator):
    from sagan_tf.evaluation import pipeline

    with naming("class_distribution", options.class_distribution):
        return pipeline.generator_samples(
            scorer,
            generator,
            num_samples=options.num_samples,
            seed=options.seed,
            truncation=options.truncation,
            distribution=options.class_distribution,
        )


def _protocol(options: Options, scorer, image_size: int):
    from sagan_tf.evaluation.preparation import make_protocol

    return make_protocol(
        scorer,
        os.path.normpath(options.workdir or options.generated),
        image_size,
        samples=options.num_samples,
        seed=options.seed,
        truncation=options.truncation,
        class_distribution=options.class_distribution,
    )


def console() -> None:
    """The command `sagan-evaluate`."""
    cli.run(main, Options, __doc__, program="sagan_tf.evaluate")


if __name__ == "__main__":
    console()
