"""Scores a run, a SavedModel or a folder of images, and says how each score was measured.

Examples:
  # Inception score and FID of the newest checkpoint, 50,000 samples
  python -m sagan_tf.evaluate --workdir=runs/cifar10

  # Quickly, with a classifier in Inception's place
  python -m sagan_tf.evaluate --workdir=runs/digits --inception=classifiers/digits --num_samples=2000

  # A folder of images against a dataset
  python -m sagan_tf.evaluate --generated=samples --reference=tfds:cifar10 --metrics=fid,kid
"""

import contextlib
import dataclasses
import os
import time
import typing

from sagan_tf.metrics.catalog import METRICS
from sagan_tf.metrics.metric import MetricError, Need
from sagan_tf.runs.choice import choose
from sagan_tf.runs.config import INCEPTION, Config, batch_statistics_option
from sagan_tf.system import class_names, cli, dataset_spec, files, output, paths
from sagan_tf.system.errors import UserError, naming, renaming
from sagan_tf.system.options import MAX_SEED, from_flagfile, option
from sagan_tf.system.run_directory import RunFiles, check_is_run


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
        "For cas: the real images to test on; if empty, the reference's dataset.",
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

    reference: str = option(
        "",
        "Real images: a dataset as in training (digits, tfds:NAME, folder:PATH, ...), or a file made by"
        " sagan_tf.make_reference; if empty, the run's own dataset.",
        section="Reference",
        is_path=True,
        placeholder="KIND:PATH",
        common=True,
    )
    reference_split: str = option("train", "Their split.", section="Reference")
    data_dir: str = option(
        "", "Where TFDS keeps its data; TFDS's own default if empty.", section="Reference", is_path=True
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
        with _blaming(self):
            for name in self.metrics if not _is_folder(self.generated) else ():
                METRICS[name].check_images(self.num_samples, self.splits)
        self._check_output()
        if not self.inception.startswith(("https://", "http://")) and not _is_model(self.inception):
            raise UserError(f"--inception={self.inception}: is not a SavedModel (saved_model.pb is missing)")
        if self.generated and not os.path.isdir(self.generated):
            raise UserError(f"--generated={self.generated}: no such folder")
        if self.reference.partition(":")[0] in dataset_spec.KINDS:
            dataset_spec.check_exists("reference", self.reference)
        elif self.reference and not os.path.isfile(self.reference):
            kinds = ", ".join(dataset_spec.KINDS)
            raise UserError(
                f"--reference={self.reference}: no such file, and no dataset (allowed are {kinds})"
            )
        dataset_spec.check_exists("cas_dataset", self.cas_dataset)
        if self.generated and not self.reference and (needing := self.needing(Need.REFERENCE)):
            raise UserError(f"--metrics={needing[0]}: needs real images to compare with: give --reference")
        if self.workdir and not (self.watch and not _is_run(self.workdir)):
            self.check_run()

    def _check_combinations(self) -> None:
        if bool(self.workdir) == bool(self.generated):
            raise UserError(
                "give either --workdir (a run) or --generated (a folder of images or a SavedModel)"
            )
        if self.checkpoint not in ("latest", "best", "all") and not self.checkpoint.isdigit():
            raise UserError(f"--checkpoint={self.checkpoint}: allowed are latest, best, all, or a step")
        if self.batch_statistics == "estimated" and self.generated:
            raise UserError("--batch_statistics=estimated: needs --workdir; a SavedModel's are fixed")
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
        if not self.watch and self.checkpoint != "all":
            choose(self.workdir, self.checkpoint)
        if self.needing(Need.REFERENCE) and not self.reference:
            config = from_flagfile(Config, RunFiles(self.workdir).config)
            dataset_spec.check_exists("dataset", config.dataset)

    @property
    def scores_file(self) -> str:
        """Where results go."""
        own = RunFiles(self.workdir).scores if self.workdir else paths.beside(self.generated, ".scores.jsonl")
        return self.output or own

    def needing(self, *needs: Need) -> list[str]:
        """Those of the metrics that have all of these needs."""
        return [name for name in self.metrics if {*needs} <= {*METRICS[name].needs}]


def _is_run(workdir: str) -> bool:
    return os.path.isfile(RunFiles(workdir).config)


def _is_model(place: str) -> bool:
    return os.path.isfile(os.path.join(place, "saved_model.pb"))


def _is_folder(generated: str) -> bool:
    """Whether this is a folder of images, not a SavedModel."""
    return bool(generated) and not _is_model(generated)


@contextlib.contextmanager
def _blaming(options: Options):
    """Adds --metrics to the error of a metric that cannot be computed."""
    try:
        yield
    except MetricError as error:
        error.option, error.value = "metrics", ",".join(options.metrics)
        raise


def main(options: Options, given) -> int:
    """Scores what the options name. Returns the exit code."""
    with _blaming(options):
        return (_score_run if options.workdir else _score_generated)(options, given)


class _Real(typing.NamedTuple):
    """The real images, opened but not yet seen by the network.

    Attributes:
      dataset: to compute the reference from; None if there is a file, or nothing to compare with.
      file: a file of reference statistics, opened, or None.
      test: to test a classifier on, or None.
      split: of the dataset.
    """

    dataset: typing.Any
    file: typing.Any
    test: typing.Any
    split: str

    @property
    def class_names(self) -> tuple[str, ...]:
        """Empty if nothing is compared with."""
        source = self.file or self.dataset
        return tuple(source.class_names) if source else ()


def _score_generated(options: Options, given) -> int:
    from sagan_tf.evaluation import samples
    from sagan_tf.evaluation.pipeline import score_and_keep

    place = options.generated
    with naming("generated", place):
        if _is_model(place):
            source = samples.from_saved_model(place)
        else:
            source = samples.FolderSamples(place, options.num_samples, options.seed)
    real = _open_real(options, source.image_size, options.reference_split)
    if _is_model(place):
        names = _classes_of_model(place, real) if source.conditional else None
    else:
        if "num_samples" in given and source.count < options.num_samples:
            raise UserError(f"--num_samples={options.num_samples}: {place} holds {source.count} images")
        source.name_classes(real.class_names)
        names = real.class_names if source.labels is not None else None
        options = dataclasses.replace(options, num_samples=source.count)
    scorer = _make_scorer(options, real, names, source.image_size, [_folder(options.scores_file)])
    protocol = _protocol(options, scorer, source.image_size).replace(source_digest=source.digest)
    if _is_model(place):
        images = _draw(options, scorer, source)
    else:
        if not real.class_names:
            scorer.class_names = scorer.network.class_names
            source.name_classes(scorer.class_names)
        images, protocol = source, protocol.replace(truncation=None, class_distribution=None)
    score_and_keep(scorer, images, protocol, options.scores_file, f"{options.scores_file}.intra_fid")
    return 0


def _classes_of_model(saved_model: str, real: _Real) -> tuple[str, ...]:
    from sagan_tf.inspection.source import read_class_names

    names = read_class_names(saved_model) or real.class_names
    if not names:
        raise UserError("--reference is missing: it tells how many classes there are to ask for")
    return tuple(names)


def _score_run(options: Options, given) -> int:
    from sagan_tf.evaluation.run_scoring import RunScorer
    from sagan_tf.runs import run_files

    if options.watch:
        _wait_for(options)
    config = run_files.read_config(options.workdir)
    split = options.reference_split if options.reference or "reference_split" in given else config.split
    real = _open_real(options, config.image_size, split, config)
    names = run_files.read_class_names(options.workdir) if config.conditional else None
    folders = [RunFiles(options.workdir).scores_folder, _folder(options.scores_file)]
    scorer = _make_scorer(options, real, names, config.image_size, folders)
    run = RunScorer(
        options.workdir,
        scorer,
        lambda generator: _draw(options, scorer, generator),
        _protocol(options, scorer, config.image_size),
        ema=options.weights == "ema",
        batch_statistics=options.batch_statistics,
        output=options.scores_file,
    )
    if options.watch:
        return run.watch(options.watch_every_seconds)
    if options.checkpoint == "all":
        return run.score_new()
    run.score(options.checkpoint)
    return 0


def _wait_for(options: Options) -> None:
    """Waits until there is a run."""
    if not _is_run(options.workdir):
        print(f"waiting for a run in {options.workdir}; Ctrl-C ends it", flush=True)
    while not _is_run(options.workdir):
        time.sleep(options.watch_every_seconds)
    options.check_run()


def _folder(path: str) -> str:
    return os.path.dirname(os.path.abspath(path))


def _open_real(options: Options, image_size: int, split: str, config=None) -> _Real:
    """Opens the real images that the metrics need; `config` is that of the run that is scored, if one is."""
    from sagan_tf.evaluation.reference import Reference

    test = _real_test(options, image_size, config) if options.needing(Need.REAL_TEST) else None
    if os.path.isfile(options.reference):
        with naming("reference", options.reference):
            return _Real(None, Reference(options.reference), test, split)
    if not options.reference and not options.needing(Need.REFERENCE):
        return _Real(None, None, test, split)
    of_run = None if options.reference else config
    spec = options.reference or config.dataset
    with renaming(dataset="reference" if options.reference else "dataset", split="reference_split"):
        return _Real(_open_dataset(options, spec, split, image_size, of_run), None, test, split)


def _make_scorer(options: Options, real: _Real, names, image_size: int, folders):
    """Loads the network and the real images' statistics, after a look at what can be wrong before that.

    Args:
      options: of the command.
      real: the real images.
      names: of the generated images' classes; None if they have no labels.
      image_size: of the generated images.
      folders: where statistics of real images are kept.
    """
    from sagan_tf.evaluation.scoring import Scorer
    from sagan_tf.metrics.features import load_network

    known = {"real": real.class_names, "test": real.test and real.test.class_names}
    for name in options.metrics:
        METRICS[name].check_images(options.num_samples, options.splits)
        if names is not None or real.class_names:  # else only the network knows the classes of a folder
            METRICS[name].check_classes(names, **known)
        if real.dataset and Need.REFERENCE in METRICS[name].needs:
            METRICS[name].check_count(real.dataset.num_examples, "real images")
    with naming("inception", options.inception):
        network = load_network(options.inception)
    for name in options.metrics if names is not None else ():
        METRICS[name].check_classes(names, network=network.class_names)
    if options.needing(Need.REFERENCE) and names is not None and real.class_names:
        _say_what_classes(names, real.class_names)
    return Scorer(
        network,
        real.file or _reference(options, real, network, folders),
        options.metrics,
        real.class_names if names is None else names,
        splits=options.splits,
        seed=options.seed,
        batch_size=options.batch_size,
        real_test=real.test,
    )


def _say_what_classes(names, real_names) -> None:
    """A note where labels mean something else to the real images, or may do so."""
    note = ""
    if not class_names.agree(names, real_names):
        counts = f"{len(real_names)} instead of {len(names)}"
        note = f"the real images have other classes ({counts}); these metrics compare without classes"
    elif not class_names.same(names, real_names):
        note = "one side has only numbers for names of classes: taken to be in the order of the other's names"
    if note:
        print(f"note: {note}", flush=True)


def _reference(options: Options, real: _Real, network, folders):
    """The real images' statistics, if a metric needs them."""
    from sagan_tf.evaluation import pipeline
    from sagan_tf.system.progress import Progress

    if not real.dataset:
        return None
    with Progress("real images", real.dataset.num_examples) as progress:
        return pipeline.real_reference(
            real.dataset,
            real.split,
            network,
            options.metrics,
            folders=folders,
            batch_size=options.batch_size,
            progress=progress,
        )


def _real_test(options: Options, image_size: int, config):
    from sagan_tf import data
    from sagan_tf.evaluation import pipeline

    spec = options.cas_dataset or options.reference or (config.dataset if config else "")
    if not spec or os.path.isfile(spec):
        raise UserError("--cas_dataset is missing: real images to test on, e.g. --cas_dataset=digits")
    split = options.cas_split or ("train" if spec.partition(":")[0] in data.WITHOUT_SPLITS else "test")
    learnt = (config.dataset, config.split) if config else (options.reference, options.reference_split)
    if (spec, split) == learnt:
        raise UserError(
            f"--cas_split={split}: of {spec} is what the generator learnt; name another split, or other"
            " images (--cas_dataset)"
        )
    with renaming(dataset="cas_dataset", split="cas_split"):
        dataset = _open_dataset(options, spec, split, image_size, config)
    return pipeline.real_test(dataset, split, min(image_size, 64), options.cas_epochs)


def _open_dataset(options: Options, spec: str, split: str, image_size: int, config):
    """Opens real images; if a run's `config` is given, with the options that the run opened its own with."""
    from sagan_tf import data
    from sagan_tf.runs import objects

    if config:
        data_dir = options.data_dir or config.data_dir
        config = dataclasses.replace(config, dataset=spec, split=split, data_dir=data_dir)
        return objects.open_dataset(config)
    return data.open_dataset(spec, split=split, image_size=image_size, data_dir=options.data_dir)


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
    from sagan_tf.evaluation.results import Protocol
    from sagan_tf.metrics import tfgan

    network, reference, real_test = scorer.network, scorer.reference, scorer.real_test
    uses_tfgan = any("library" in METRICS[name].settings for name in options.metrics)
    return Protocol(
        source=os.path.normpath(options.workdir or options.generated),
        step=None,
        weights=None,
        samples=options.num_samples,
        seed=options.seed,
        truncation=options.truncation,
        class_distribution=options.class_distribution,
        splits=options.splits,
        reference=reference.describe() if reference else None,
        reference_digest=reference.digest if reference else None,
        network=network.name,
        network_fingerprint=network.fingerprint,
        resize=network.resize(image_size),
        real_test=real_test.describe() if real_test else None,
        real_test_digest=real_test.digest if real_test else None,
        library=tfgan.version() if uses_tfgan else None,
    )


def console() -> None:
    """The command `sagan-evaluate`."""
    cli.run(main, Options, __doc__, program="sagan_tf.evaluate")


if __name__ == "__main__":
    console()
