"""Scores a run, a SavedModel or a folder of images, and says how each score was measured."""

import dataclasses
import os

from sagan_tf.metrics.catalog import METRICS
from sagan_tf.metrics.metric import MetricError, Need
from sagan_tf.runs.config import INCEPTION, batch_statistics_option
from sagan_tf.system import cli
from sagan_tf.system.errors import UserError, naming
from sagan_tf.system.options import MAX_SEED, option

_SCORES = "scores"  # folder within a workdir


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the command."""

    workdir: str = option(
        "", "Directory of a run, whose generator is scored.", section="What is scored", is_path=True
    )
    checkpoint: str = option(
        "latest", "Which of the run's checkpoints: latest, best, all, or a step.", section="What is scored"
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
        ("is", "fid"), "What to measure.", section="Metrics", choices=tuple(METRICS)
    )
    inception: str = option(
        INCEPTION,
        "The network that sees the images: a TF-Hub handle, or the directory of a SavedModel"
        " (also one that sagan_tf.train_classifier made).",
        section="Metrics",
        is_path=True,
    )
    splits: int = option(10, "Parts of the Inception score.", section="Metrics", minimum=1)
    cas_dataset: str = option(
        "",
        "For cas: the real images to test on; if empty, the reference's dataset.",
        section="Metrics",
        is_path=True,
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
        50_000, "Number of images; of a folder with fewer, all.", section="Samples", minimum=2
    )
    seed: int = option(
        0,
        "Seed of z and labels, and of random draws within metrics.",
        section="Samples",
        minimum=0,
        maximum=MAX_SEED,
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
    )

    def check(self) -> None:
        """Refuses combinations that cannot work. Raises UserError."""
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


def main(options: Options, given) -> int:
    """Scores what the options name. Returns the exit code."""
    try:
        return (_score_run if options.workdir else _score_generated)(options, given)
    except MetricError as error:
        error.option, error.value = "metrics", ",".join(options.metrics)
        raise


def _score_generated(options: Options, given) -> int:
    from sagan_tf.evaluation import samples
    from sagan_tf.evaluation.pipeline import score_and_keep

    place = options.generated
    if not os.path.isdir(place):
        raise UserError(f"--generated={place}: no such folder")
    is_model = os.path.isfile(os.path.join(place, "saved_model.pb"))
    with naming("generated", place):
        if is_model:
            source = samples.from_saved_model(place)
        else:
            source = samples.FolderSamples(place, options.num_samples, options.seed)
    if not is_model and "num_samples" in given and source.count < options.num_samples:
        raise UserError(f"--num_samples={options.num_samples}: {place} holds {source.count} images")
    output = options.output or f"{place.rstrip('/')}.scores.jsonl"
    scorer = _make_scorer(options, source.image_size, os.path.dirname(os.path.abspath(output)))
    if is_model:
        if source.conditional:
            _take_classes(scorer, place)
        images, protocol = _draw(options, scorer, source), _protocol(options, scorer)
    else:
        source.name_classes(scorer.class_names)
        images = source
        protocol = _protocol(options, scorer).replace(
            samples=source.count, truncation=None, class_distribution=None
        )
    score_and_keep(scorer, images, protocol, output, f"{output}.intra_fid")
    return 0


def _take_classes(scorer, saved_model: str) -> None:
    from sagan_tf.inspection.source import read_class_names

    if class_names := read_class_names(saved_model):
        scorer.take_classes(class_names, saved_model)
    elif not scorer.class_names:
        raise UserError("--reference is missing: it tells how many classes there are to ask for")


def _score_run(options: Options, given) -> int:
    from sagan_tf.evaluation.run_scoring import RunScorer
    from sagan_tf.runs import run_files

    config = run_files.read_config(options.workdir)
    if not options.reference and "reference_split" not in given:
        options = dataclasses.replace(options, reference_split=config.split)
    folder = os.path.join(options.workdir, _SCORES)
    scorer = _make_scorer(options, config.image_size, folder, config)
    run = RunScorer(
        options.workdir,
        scorer,
        lambda generator: _draw(options, scorer, generator),
        _protocol(options, scorer),
        ema=options.weights == "ema",
        batch_statistics=options.batch_statistics,
        output=options.output or os.path.join(folder, "scores.jsonl"),
    )
    if options.watch:
        return run.watch(options.watch_every_seconds)
    if options.checkpoint == "all":
        return run.score_new()
    run.score(options.checkpoint)
    return 0


def _make_scorer(options: Options, image_size: int, folder: str, config=None):
    """Loads the network and the real images' statistics, which are kept in `folder`.

    `config` is that of the run that is scored, if one is.
    """
    from sagan_tf.evaluation.scoring import Scorer
    from sagan_tf.metrics.features import load_network

    needed = [name for name in options.metrics if Need.REFERENCE in METRICS[name].needs]
    if needed and not (options.reference or config):
        raise UserError(f"--metrics={needed[0]}: needs real images to compare with: give --reference")
    has_test = any(Need.REAL_TEST in METRICS[name].needs for name in options.metrics)
    real_test = _real_test(options, image_size, config) if has_test else None
    with naming("inception", options.inception):
        network = load_network(options.inception)
    reference, class_names = None, ()
    if options.reference or needed:
        reference, class_names = _open_reference(options, network, image_size, folder, config)
    return Scorer(
        network,
        reference,
        options.metrics,
        class_names,
        splits=options.splits,
        seed=options.seed,
        batch_size=options.batch_size,
        real_test=real_test,
    )


def _open_reference(options: Options, network, image_size: int, folder: str, config):
    """The real images' statistics, if a metric needs them, and the names of the classes."""
    from sagan_tf.evaluation import pipeline
    from sagan_tf.evaluation.reference import Reference
    from sagan_tf.system.progress import Progress

    if os.path.isfile(options.reference):
        with naming("reference", options.reference):
            reference = Reference(options.reference)
        return reference, reference.class_names
    of_run = None if options.reference else config
    spec = options.reference or config.dataset
    dataset = _open_dataset(options, spec, options.reference_split, image_size, of_run)
    with Progress("real images", dataset.num_examples) as progress:
        reference = pipeline.real_reference(
            dataset,
            options.reference_split,
            network,
            options.metrics,
            folder=folder,
            batch_size=options.batch_size,
            progress=progress,
        )
    return reference, dataset.class_names


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


def _protocol(options: Options, scorer):
    from sagan_tf.evaluation.results import Protocol

    network = scorer.network
    return Protocol(
        source=options.workdir or options.generated,
        step=None,
        weights=None,
        samples=options.num_samples,
        seed=options.seed,
        truncation=options.truncation,
        class_distribution=options.class_distribution,
        splits=options.splits,
        reference=scorer.reference.describe() if scorer.reference else None,
        network=network.name,
        network_fingerprint=network.fingerprint,
        resize=network.resize,
        real_test=scorer.real_test.describe() if scorer.real_test else None,
    )


def console() -> None:
    """The command `sagan-evaluate`."""
    cli.run(main, Options, __doc__, program="sagan_tf.evaluate")


if __name__ == "__main__":
    console()
