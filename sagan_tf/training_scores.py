"""Scores of the EMA generator while it trains; the checkpoints that are best by one of them are kept."""

import functools
import os

import tensorflow as tf

from sagan_tf import experiment
from sagan_tf.config import Config
from sagan_tf.metrics import evaluation, results
from sagan_tf.metrics.best import Best
from sagan_tf.metrics.features import load_network
from sagan_tf.metrics.samples import Generator
from sagan_tf.metrics.scores import METRICS
from sagan_tf.metrics.scoring import Scorer
from sagan_tf.run_scoring import Progress, score_and_keep
from sagan_tf.training.state import State
from sagan_tf.training.summaries import Reporter

_FOLDER = "scores"  # in the workdir, as of sagan_tf.evaluate


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
        network = load_network(config.inception)
        with Progress("real images", dataset.num_examples) as progress:
            reference = evaluation.real_reference(
                dataset,
                config.split,
                network,
                config.evaluate_metrics,
                folder=self._folder,
                progress=progress,
            )
        self._scorer = Scorer(network, reference, config.evaluate_metrics, dataset.class_names)
        ema = state.ema_generator
        generate = tf.function(functools.partial(ema, training=False))
        generator = Generator(generate, ema.z_dim, ema.image_size, bool(ema.classes))
        self._draw = functools.partial(
            evaluation.generator_samples, self._scorer, generator, num_samples=config.evaluate_samples
        )
        self._scorer.check(self._draw())
        self._protocol = results.Protocol(
            source=config.workdir,
            step=None,
            weights="EMA weights",
            samples=config.evaluate_samples,
            seed=0,
            truncation=0.0,
            class_distribution="uniform",
            splits=self._scorer.splits,
            reference=reference.describe() if reference else None,
            network=network.name,
            network_fingerprint=network.fingerprint,
            resize=network.resize,
        )
        kept = experiment.read_best(config.workdir)
        self._best = Best(config.keep_best_checkpoints, self._larger_is_better(), kept)

    def _larger_is_better(self) -> bool:
        metrics = [METRICS[name] for name in self._config.evaluate_metrics]
        return next(metric for metric in metrics if self._config.best_metric in metric.names).larger_is_better

    def __call__(self, step: int, _=None) -> None:
        """Scores the state as it is now, unless a killed process has scored this step already."""
        output = os.path.join(self._folder, "scores.jsonl")
        protocol, inception = self._protocol._replace(step=step), self._scorer.network.is_inception
        lines = results.read(output)
        names = self._scorer.metrics
        missing = [name for name in names if not results.is_done(lines, name, inception, protocol)]
        if missing:
            classes_file = os.path.join(self._folder, f"intra_fid_{step:08d}")
            score_and_keep(self._scorer.only(missing), self._draw(), protocol, output, classes_file)
            lines = results.read(output)
        ours = [line for line in lines if (line["step"], line["weights"]) == (step, protocol.weights)]
        by_title = {line["metric"]: line["value"] for line in ours}  # the last one counts
        titles = {key: title for name in names for key, title in METRICS[name].titles(inception).items()}
        values = {key: by_title[title] for key, title in titles.items()}
        self._reporter.scores(
            step, {titles[key]: value for key, value in values.items()}, results.describe(protocol)
        )
        self._reporter.flush()
        self._keep_if_best(step, values[self._config.best_metric])

    def _keep_if_best(self, step: int, value: float) -> None:
        kept, dropped = self._best.offer(step, value)
        if not kept:
            return
        checkpoints = experiment.best_checkpoints(self._config.workdir)
        checkpoints.save(self._state.checkpoint(), step)
        experiment.write_best(self._config.workdir, self._best.entries)
        for old in dropped:
            checkpoints.delete(old)
