"""Scores of the EMA generator while it trains; the checkpoints that are best by one of them are kept."""

import functools
import os

from sagan_tf.evaluation import pipeline, results
from sagan_tf.evaluation.compiled import callable_of
from sagan_tf.evaluation.run_scoring import score_and_keep
from sagan_tf.evaluation.scores import METRICS
from sagan_tf.evaluation.scoring import Scorer
from sagan_tf.metrics.features import load_network
from sagan_tf.monitoring.summaries import Reporter
from sagan_tf.networks.inference import inference_copy
from sagan_tf.runs import best, run_files
from sagan_tf.runs.config import Config
from sagan_tf.system.progress import Progress
from sagan_tf.training.state import State

_FOLDER, _FILE = "scores", "scores.jsonl"  # in the workdir, as of sagan_tf.evaluate
# Of a protocol: what the scores of a metric must share to be compared.
_MEASURE = (
    "weights",
    "batch_statistics",
    "precision",
    "samples",
    "seed",
    "truncation",
    "class_distribution",
    "network_fingerprint",
)


def set_aside(workdir: str, after: int) -> None:
    """Sets aside the scores, and the best checkpoints, of steps after a step that a lost run goes on from.

    It comes to these steps again with other weights, which the old scores say nothing about.
    """
    results.set_aside(os.path.join(workdir, _FOLDER, _FILE), after)
    kept = run_files.best_checkpoints(workdir)
    if kept.steps():
        entries, measure = best.read(kept.directory, [step for step in kept.steps() if step <= after])
        best.write(kept.directory, entries, measure)
        kept.set_aside(after)


def is_due(config: Config, step: int) -> bool:
    """Whether a run scores this step."""
    every = config.evaluate_every_steps
    return bool(every and step) and (step % every == 0 or step >= config.train_steps)


def score_the_end(config: Config, state: State, dataset, step: int) -> None:
    """Scores a complete run, if the process that completed it was killed before it had.

    Whether it had is told without the network that sees the images, which takes long to load.
    """
    if not is_due(config, step):
        return
    lines = results.read(os.path.join(config.workdir, _FOLDER, _FILE))
    wanted = {"step": step, "samples": config.evaluate_samples} | results.EXPORTED
    found = {line["metric"] for line in lines if wanted.items() <= line.items()}
    if not any(found >= set(_titles(config, inception).values()) for inception in (True, False)):
        TrainingScores(config, state, dataset, Reporter(config.workdir, step)).take_up(step)


def _titles(config: Config, inception: bool) -> dict[str, str]:
    """Under which name each value is printed, by its key; see `Metric.titles`."""
    metrics = [METRICS[name] for name in config.evaluate_metrics]
    return {key: title for metric in metrics for key, title in metric.titles(inception).items()}


class TrainingScores:
    """Called every so many steps, it scores what is trained, reports, and keeps the best checkpoints.

    Statistics of the real images are computed, or read, when it is made: mistakes show before the
    first step.

    Args:
      config: of the run.
      state: what is trained.
      dataset: the run's own, whose images are the reference.
      reporter: gets the scores, under `scores/`.

    Raises:
      UserError: the network cannot be had, or a metric cannot be had from so few images.
    """

    def __init__(self, config: Config, state: State, dataset, reporter: Reporter):
        self._config, self._state, self._reporter = config, state, reporter
        self._folder = os.path.join(config.workdir, _FOLDER)
        self._output = os.path.join(self._folder, _FILE)
        network = load_network(config.inception)
        with Progress("real images", dataset.num_examples) as progress:
            reference = pipeline.real_reference(
                dataset,
                config.split,
                network,
                config.evaluate_metrics,
                folder=self._folder,
                progress=progress,
            )
        self._scorer = Scorer(network, reference, config.evaluate_metrics, dataset.class_names)
        # In float32, as samples and exports are, whatever the run is trained in.
        self._network = inference_copy(state.ema_generator, bake=False, dtype="float32")
        self._draw = functools.partial(
            pipeline.generator_samples,
            self._scorer,
            callable_of(self._network),
            num_samples=config.evaluate_samples,
        )
        self._scorer.check(self._draw())
        self._protocol = results.Protocol(
            source=config.workdir,
            step=None,
            samples=config.evaluate_samples,
            seed=0,
            truncation=0.0,
            class_distribution="uniform",
            splits=self._scorer.splits,
            reference=reference.describe() if reference else None,
            network=network.name,
            network_fingerprint=network.fingerprint,
            resize=network.resize,
            **results.EXPORTED,
        )
        self._titles = _titles(config, network.is_inception)
        how = {key: value for key, value in self._protocol._asdict().items() if key in _MEASURE}
        self._measure = {"metric": self._titles[config.best_metric]} | how
        self._say_what_is_not_comparable()

    def _say_what_is_not_comparable(self) -> None:
        workdir = self._config.workdir
        if run_files.read_best(workdir) != self._comparable():
            print(
                f"--workdir={workdir}: the checkpoints in best/ were kept by another measure than"
                f" {self._measure['metric']} of {self._measure['samples']:,} samples in float32 with"
                f" {self._config.inception}: they stay, and the best by this one are found from now on",
                flush=True,
            )

    def _comparable(self) -> list[best.Entry]:
        """What is kept for scores that were measured as it is done now."""
        kept = run_files.best_checkpoints(self._config.workdir)
        entries, measure = best.read(kept.directory, kept.steps())
        if measure is None:  # of an earlier version: the lines of scores.jsonl tell how they were measured
            lines = [line for line in results.read(self._output) if self._measure.items() <= line.items()]
            measured = {(line["step"], line["value"]) for line in lines}
            return [entry for entry in entries if entry in measured]
        return entries if measure == self._measure else []

    def _larger_is_better(self) -> bool:
        metrics = [METRICS[name] for name in self._config.evaluate_metrics]
        return next(metric for metric in metrics if self._config.best_metric in metric.names).larger_is_better

    def take_up(self, step: int) -> None:
        """Scores the step that a run is taken up at, if a killed process did not come to it."""
        if not is_due(self._config, step):
            return
        if self._missing(step):
            self(step)
        else:
            self._keep_if_best(step, self._values(step)[self._config.best_metric])

    def __call__(self, step: int, _=None) -> None:
        """Scores the state as it is now, unless a killed process has scored this step already."""
        protocol = self._protocol._replace(step=step)
        missing = self._missing(step)
        if missing:
            self._network.set_weights(self._state.ema_generator.get_weights())
            classes_file = os.path.join(self._folder, f"intra_fid_{step:08d}")
            score_and_keep(self._scorer.only(missing), self._draw(), protocol, self._output, classes_file)
        values = self._values(step)
        self._reporter.scores(
            step, {self._titles[key]: value for key, value in values.items()}, results.describe(protocol)
        )
        self._reporter.flush()
        self._keep_if_best(step, values[self._config.best_metric])

    def _missing(self, step: int) -> list[str]:
        lines, protocol = results.read(self._output), self._protocol._replace(step=step)
        inception = self._scorer.network.is_inception
        return [
            name for name in self._scorer.metrics if not results.is_done(lines, name, inception, protocol)
        ]

    def _values(self, step: int) -> dict[str, float]:
        """What a step that is scored was found to have, by the keys in `METRICS`."""
        shared = self._measure | {"step": step}
        del shared["metric"]
        ours = [line for line in results.read(self._output) if shared.items() <= line.items()]
        by_title = {line["metric"]: line["value"] for line in ours}  # the last one counts
        return {key: by_title[title] for key, title in self._titles.items()}

    def _keep_if_best(self, step: int, value: float) -> None:
        ranking = best.Best(self._config.keep_best_checkpoints, self._larger_is_better(), self._comparable())
        if (step, value) in ranking.entries:  # the process before has kept it
            return
        kept, dropped = ranking.offer(step, value)
        if not kept:
            return
        checkpoints = run_files.best_checkpoints(self._config.workdir)
        checkpoints.save(self._state.checkpoint(), step)
        best.write(checkpoints.directory, ranking.entries, self._measure)
        for old in dropped:
            checkpoints.delete(old)
