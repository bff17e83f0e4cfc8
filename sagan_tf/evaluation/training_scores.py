"""Scores the EMA generator during training and keeps the checkpoints that are best by one score."""

import functools
import os

from sagan_tf.evaluation import pipeline, results
from sagan_tf.evaluation.compiled import callable_of, on_devices
from sagan_tf.evaluation.pipeline import score_and_keep
from sagan_tf.evaluation.preparation import make_protocol, make_scorer
from sagan_tf.evaluation.real_images import RealImages, open_real
from sagan_tf.metrics.catalog import metric_of, titles
from sagan_tf.metrics.metric import blaming
from sagan_tf.monitoring.summaries import Reporter
from sagan_tf.networks.inference import inference_copy
from sagan_tf.runs import best, run_files
from sagan_tf.runs.config import Config
from sagan_tf.system.errors import renaming
from sagan_tf.system.run_directory import RunFiles
from sagan_tf.training.state import State

# Fields of the protocol that two scores of a metric must share to be compared; best.json holds them.
_MEASURE = (
    "weights",
    "batch_statistics",
    "precision",
    "samples",
    "seed",
    "truncation",
    "class_distribution",
    "network_fingerprint",
    "reference_digest",
)


def set_aside(workdir: str, after: int) -> None:
    """Sets aside scores and best checkpoints of later steps than the one that a diverged run restarts from.

    The run reaches these steps again with other weights; the old scores do not describe them.
    """
    results.set_aside(RunFiles(workdir).scores, after)
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
    """Scores a complete run, if the process that completed it was killed before its last score.

    The file of scores tells, so the network that sees the images, slow to load, is loaded only if needed.
    """
    if not is_due(config, step):
        return
    lines = results.read(RunFiles(config.workdir).scores)
    measured = {"step": step, "samples": config.evaluate_samples} | results.OF_RUN
    found = {line["metric"] for line in lines if measured.items() <= line.items()}
    wanted = (set(titles(config.evaluate_metrics, inception).values()) for inception in (True, False))
    if not any(found >= names for names in wanted):
        TrainingScores(config, state, dataset, Reporter(config.workdir, step)).take_up(step)


def _real_images(config: Config, dataset) -> RealImages:
    """The images that a run's scores compare with."""
    if not config.evaluate_reference:
        return RealImages(dataset, None, None, config.split)
    with renaming(reference="evaluate_reference", reference_split="evaluate_reference_split"):
        return open_real(
            config.evaluate_reference,
            config.evaluate_reference_split,
            is_needed=True,
            image_size=config.image_size,
            config=config,
        )


class TrainingScores:
    """Called at a step, it scores the EMA generator, reports the scores and keeps the best checkpoints.

    The constructor computes or reads the real images' statistics, so mistakes show before the first step.

    Args:
      config: of the run.
      state: what is trained.
      dataset: the run's own, whose images are the reference if the config names no others.
      reporter: gets the scores, under `scores/`.

    Raises:
      UserError: the network or the reference cannot be loaded, or a metric needs more images.
    """

    def __init__(self, config: Config, state: State, dataset, reporter: Reporter):
        self._config, self._state, self._reporter = config, state, reporter
        paths = RunFiles(config.workdir)
        self._folder, self._output = paths.scores_folder, paths.scores
        metrics = config.evaluate_metrics
        with blaming("evaluate_metrics", metrics):
            self._scorer = make_scorer(
                config.inception,
                metrics,
                _real_images(config, dataset),
                dataset.class_names,
                num_samples=config.evaluate_samples,
                folders=[self._folder],
                devices=state.devices,
            )
        # In float32 as samples and exports, whatever the precision of the training.
        network = inference_copy(state.ema_generator, bake=False, dtype="float32")
        self._copies = on_devices(network, state.devices)
        self._draw = functools.partial(
            pipeline.generator_samples,
            self._scorer,
            callable_of(*self._copies),
            num_samples=config.evaluate_samples,
        )
        with blaming("evaluate_metrics", metrics):
            self._scorer.check(self._draw())
        self._protocol = make_protocol(
            self._scorer,
            os.path.normpath(config.workdir),
            config.image_size,
            samples=config.evaluate_samples,
        ).replace(**results.EXPORTED)
        self._titles = titles(metrics, self._scorer.network.is_inception)
        of_best = self._protocol.of_metric(metric_of(config.best_metric))
        how = {key: value for key, value in of_best.fields().items() if key in _MEASURE}
        self._measure = {"metric": self._titles[config.best_metric]} | how
        self._say_what_is_not_comparable()

    def _say_what_is_not_comparable(self) -> None:
        workdir = self._config.workdir
        if run_files.read_best(workdir) != self._comparable():
            print(
                f"{workdir}: the checkpoints in best/ were kept by another measure than"
                f" {self._measure['metric']} of {self._measure['samples']:,} samples in float32 with"
                f" {self._config.inception}: they stay, and the best by this one are found from now on",
                flush=True,
            )

    def _comparable(self) -> list[best.Entry]:
        """The kept checkpoints whose scores were measured as now."""
        kept = run_files.best_checkpoints(self._config.workdir)
        entries, measure = best.read(kept.directory, kept.steps())
        if measure is None:  # an earlier version wrote them: scores.jsonl says how they were measured
            lines = results.read(self._output)
            measured = {(line["step"], line["value"]) for line in lines if self._is_ours(line)}
            return [entry for entry in entries if entry in measured]
        return entries if self._is_ours(measure) else []

    def _is_ours(self, measure: dict) -> bool:
        """Whether this measure, or line of scores, is ours; those of earlier versions name no reference."""
        unknown = {"reference_digest": self._measure["reference_digest"]}
        return self._measure.items() <= (unknown | measure).items()

    def take_up(self, step: int) -> None:
        """Scores the step from which a run continues, if a killed process did not score it."""
        if not is_due(self._config, step):
            return
        if self._missing(step):
            self(step)
        else:
            self._keep_if_best(step, self._values(step)[self._config.best_metric])

    def __call__(self, step: int, _=None) -> None:
        """Scores the state by the metrics that have no score of this step yet."""
        protocol = self._protocol.replace(step=step)
        missing = self._missing(step)
        if missing:
            for copy in self._copies:
                copy.set_weights(self._state.ema_generator.get_weights())
            classes_file = os.path.join(self._folder, f"intra_fid_{step:08d}")
            score_and_keep(self._scorer.only(missing), self._draw(), protocol, self._output, classes_file)
        values = self._values(step)
        self._reporter.scores(
            step, {self._titles[key]: value for key, value in values.items()}, results.describe(protocol)
        )
        self._reporter.flush()
        self._keep_if_best(step, values[self._config.best_metric])

    def _missing(self, step: int) -> list[str]:
        lines = results.read(self._output)
        return results.missing(lines, self._scorer.metrics, self._protocol.replace(step=step))

    def _values(self, step: int) -> dict[str, float]:
        """The values of a scored step by their keys."""
        lines, protocol = results.read(self._output), self._protocol.replace(step=step)
        return {key: results.find(lines, key, protocol)["value"] for key in self._titles}

    def _keep_if_best(self, step: int, value: float) -> None:
        larger = metric_of(self._config.best_metric).larger_is_better
        ranking = best.Best(self._config.keep_best_checkpoints, larger, self._comparable())
        if (step, value) in ranking.entries:  # an earlier process kept it
            return
        kept, dropped = ranking.offer(step, value)
        if not kept:
            return
        checkpoints = run_files.best_checkpoints(self._config.workdir)
        checkpoints.save(self._state.checkpoint(), step)
        best.write(checkpoints.directory, ranking.entries, self._measure)
        for old in dropped:
            checkpoints.delete(old)
