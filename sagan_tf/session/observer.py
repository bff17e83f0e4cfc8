"""What a worker does around the steps: worker 0 watches, writes, saves and scores; the others do nothing."""

import dataclasses
import time

import tensorflow as tf

from sagan_tf.data.preflight import preflight
from sagan_tf.evaluation import training_scores
from sagan_tf.metrics.catalog import METRICS
from sagan_tf.monitoring import samples
from sagan_tf.monitoring.guards import Diverged, Guards, limits_of
from sagan_tf.monitoring.summaries import Reporter, state_scalars
from sagan_tf.monitoring.watch import Watch, complain
from sagan_tf.runs import objects, run_files, training_data
from sagan_tf.runs.config import INCEPTION, Config
from sagan_tf.system import options
from sagan_tf.system.errors import UserError, failure_of_the_system
from sagan_tf.system.progress import write_line
from sagan_tf.system.run_directory import is_run
from sagan_tf.training import loop
from sagan_tf.training.checkpoint import Checkpoints
from sagan_tf.training.state import State


class Observer:
    """Observer that does nothing, for workers other than worker 0.

    Attributes:
      events: what it does at some steps.
      save_seconds: how long the last checkpoint took to write.
    """

    events: tuple[loop.Event, ...] = ()
    save_seconds = 0.0

    def begin(self, step: int) -> None:
        """Called once, before the first step of this process."""

    def losses(self, step: int, count: int, scalars: dict[str, float]) -> None:
        """Takes the means over the last `count` steps. Raises `Diverged` to end the loop."""

    def save(self, step: int) -> None:
        """Makes sure that there is a checkpoint of this step."""

    def go_back(self, error: Diverged) -> int:
        """Restores a good checkpoint after the run diverged. Returns its step, or raises `error`."""
        raise error

    def close(self) -> None:
        """Called at the end, also after an error."""


class Chief(Observer):
    """The observer of worker 0, which watches the run and alone writes to the workdir.

    Making it looks at the data, and writes what describes the run.

    Args:
      config: of the run.
      state: what is trained.
      saved: the run's checkpoints.
      dataset: the run's images.
      step: steps done when this process begins.
    """

    def __init__(self, config: Config, state: State, saved: Checkpoints, dataset, step: int):
        found = preflight(dataset, config.workdir, write_line, complain=complain)
        self._dataset = dataset
        self._config, self._state, self._saved = config, state, saved
        self._reporter = Reporter(config.workdir, step, complain)
        if self._reporter.has_diverged():  # after a restore, later steps may reach other weights
            training_scores.set_aside(config.workdir, step)
        if step == 0:
            _introduce(config, self._reporter, found.grid)
            samples.write_reals(dataset, state.generator.classes, self._reporter)
        self._sampler = samples.Sampler(state, self._reporter, config.seed, dataset)
        trained = bool(config.initialize_from or run_files.read_import(config.workdir))
        guards = Guards(step, limits_of(objects.make_objective(config).loss), trained)
        ignore = config.on_divergence == "ignore"
        self._watch = Watch(state, saved, self._reporter, self._sampler, guards, ignore)
        self.events = (
            loop.Event(config.summary_every_steps, self._summarize),
            loop.Event(config.diagnostics_every_steps, self._watch.diagnose),
            loop.Event(config.sample_every_steps, self._watch.sample),
            loop.Event(config.checkpoint_every_steps, self._save),
        )
        if config.evaluate_every_steps:
            self._scores = training_scores.TrainingScores(config, state, dataset, self._reporter)
            self.events += (loop.Event(config.evaluate_every_steps, self._score),)

    def begin(self, step: int) -> None:
        # Only now: options that contradict the run have been refused, and its configuration is unchanged.
        data = training_data.describe(self._config, self._dataset)
        run_files.write_description(self._config, self._dataset.class_names, data=data)
        if self._config.evaluate_every_steps:
            self._tolerate(lambda: self._scores.take_up(step))

    def losses(self, step: int, count: int, scalars: dict[str, float]) -> None:
        self._watch.losses(step, count, scalars)

    def save(self, step: int) -> None:
        if step not in self._saved.steps():
            self._save(step)

    def _save(self, step: int, _=None) -> None:
        start = time.perf_counter()
        self._watch.save(step)
        self.save_seconds = time.perf_counter() - start
        if not is_run(self._config.workdir):  # the directory has been removed
            run_files.write_description(self._config, self._dataset.class_names)

    def go_back(self, error: Diverged) -> int:
        good = self._watch.record(error)
        step = self._watch.go_back(good) if self._config.on_divergence == "restore" else None
        if step is None:
            raise error
        training_scores.set_aside(self._config.workdir, step)
        return step

    def close(self) -> None:
        self._reporter.flush()

    def _summarize(self, step: int, scalars: dict) -> None:
        speed = {"speed/images_per_second": self._config.batch_size * scalars["speed/steps_per_second"]}
        more = speed | state_scalars(self._state) | self._sampler.attention_shares()
        self._reporter.scalars(step, scalars | more)
        self._reporter.flush()

    def _score(self, step: int, _) -> None:
        self._watch.weights(step)  # NaN ends the run here, and is never kept as the best
        self.save(step)  # scoring may take longer than a platform waits after SIGTERM
        self._tolerate(lambda: self._scores(step))

    def _tolerate(self, scoring) -> None:
        """Scores; if that fails, it prints one line and the training goes on."""
        try:
            scoring()
        except (UserError, OSError, tf.errors.OpError) as error:
            if not isinstance(error, UserError) and not failure_of_the_system(error):
                raise
            complain(f"warning: not scored: {failure_of_the_system(error) or error}")


def _introduce(config: Config, reporter: Reporter, data_grid) -> None:
    """Writes the configuration of a new run to TensorBoard."""
    fields = dataclasses.fields(config)
    values = {field.name: getattr(config, field.name) for field in fields}
    values = {name: options.format_value(v) if isinstance(v, tuple) else v for name, v in values.items()}
    hyperparameters = [field.name for field in fields if not field.metadata["may_change"]]
    reporter.introduce(values, hyperparameters, data_grid, _score_names(config))


def _score_names(config: Config) -> list[str]:
    """Names of the scores to come. The network is not loaded yet: a guess from the configuration."""
    if not config.evaluate_every_steps:
        return []
    inception = config.inception == INCEPTION
    return [title for name in config.evaluate_metrics for title in METRICS[name].titles(inception).values()]
