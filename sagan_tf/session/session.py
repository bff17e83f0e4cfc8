"""Trains in one process, from the newest checkpoint to the last step."""

import contextlib
import signal
import time
import zlib

import tensorflow as tf

from sagan_tf.evaluation import training_scores
from sagan_tf.monitoring.guards import Diverged
from sagan_tf.monitoring.watch import complain
from sagan_tf.runs import objects, run_files
from sagan_tf.runs.config import Config
from sagan_tf.session import beginning
from sagan_tf.session.failures import memory_explained
from sagan_tf.session.observer import Chief, Observer
from sagan_tf.system import runtime
from sagan_tf.system.devices import Workers
from sagan_tf.system.errors import UserError
from sagan_tf.system.progress import write_line
from sagan_tf.training import loop
from sagan_tf.training.checkpoint import DamagedCheckpointError

_NONE = -1  # no checkpoint; an imported one may be of step 0
_LAG_SECONDS, _LOOK_SECONDS = 60.0, 2.0  # how long storage may take to show a file to every host


class Session:
    """Trains a run in this process, together with the other workers if there are any.

    Call `restore` first, then `run` or, where the run is complete, `score`; then `close`.

    Args:
      config: of the run, resolved.
      workers: the processes that train together.
      dataset: the run's images.
      environment: what this process computes with.
      meeting: of the workers, see `sagan_tf.cluster`.

    Attributes:
      step: steps done.
      signal: the signal that ended `run` early, or None.
    """

    def __init__(self, config: Config, workers: Workers, dataset, environment: runtime.Environment, meeting):
        self._config, self._workers, self._dataset, self._meeting = config, workers, dataset, meeting
        self._environment, self._observer = environment, Observer()
        self._state = objects.make_state(config, dataset.num_classes, workers.strategy)
        self._saved = run_files.checkpoints(config.workdir, config.keep_checkpoints, config.keep_every_steps)
        self._pace = loop.Pace(config.steps_per_call, self._seconds_of_a_call)
        self._was_warned = False
        self.step, self.signal = 0, None

    def restore(self) -> None:
        """Reads the newest sound checkpoint, if there is one: the chief's choice, for all workers.

        A run that has none yet begins with another run's weights, if its configuration names one.

        Raises:
          UserError: this worker cannot read the checkpoint that the chief has read, or reads another.
        """
        checkpoint, workers = self._state.checkpoint(), self._workers
        newest = self._saved.restore_newest(checkpoint, write_line) if workers.is_chief else None
        _, step = workers.agree(False, _NONE if newest is None else newest)
        if step == _NONE:
            if self._config.initialize_from:
                report = write_line if workers.is_chief else (lambda line: None)
                with workers.strategy.scope():
                    beginning.begin(self._config, self._state, self._dataset.class_names, report)
            return
        self.step = step
        if not workers.is_chief:
            self._restore_the_chiefs(checkpoint)
        if workers.count > 1:
            self._meeting.compare({f"the checkpoint of step {self.step}": self._checksum()})

    def _restore_the_chiefs(self, checkpoint) -> None:
        end = time.monotonic() + _LAG_SECONDS
        while True:
            try:
                return self._saved.restore(checkpoint, self.step)
            except DamagedCheckpointError as error:
                if time.monotonic() > end:
                    raise UserError(
                        f"worker {self._workers.index} cannot read the checkpoint of step {self.step}"
                        f" ({error}): all need the same --workdir, on storage that all of them see"
                    ) from error
                write_line(f"waiting for the checkpoint of step {self.step} to be seen here")
                time.sleep(_LOOK_SECONDS)

    def _checksum(self) -> int:
        """Of the weights of both networks."""
        checksum = 0
        for variable in (*self._state.generator.variables, *self._state.discriminator.variables):
            checksum = zlib.crc32(variable.numpy().tobytes(), checksum)
        return checksum

    @property
    def is_complete(self) -> bool:
        """Whether there is no step left to do."""
        return self.step >= self._config.train_steps

    def score(self) -> None:
        """Scores a complete run, if it was killed before its last scores. The chief does it, all wait."""
        if not self._config.evaluate_every_steps:
            return
        if self._workers.is_chief:
            training_scores.score_the_end(self._config, self._state, self._dataset, self.step)
        self._workers.agree(False, self.step)

    def run(self) -> None:
        """Trains to the last step, or until a signal; then there is a checkpoint of `step`.

        Raises:
          Diverged: the run is lost, and --on_divergence does not restore it. The user has been told.
        """
        config, workers = self._config, self._workers
        if workers.is_chief:
            self._observer = Chief(config, self._state, self._saved, self._dataset, self.step)
            run_files.write_environment(config, self.step, self._environment)
        print(
            f"training {config.workdir} from step {self.step} on {workers}: {self._environment}", flush=True
        )
        if config.precision == "bfloat16" and not self._environment.native_bfloat16:
            complain(
                "--precision=bfloat16: this device emulates it, which takes several times as long as float32"
                " (9 times was measured on a processor with AVX2 alone)"
            )
        with contextlib.ExitStack() as stack:
            interrupt = stack.enter_context(loop.Interrupt())
            stack.enter_context(memory_explained(config, self._state, workers.strategy.num_replicas_in_sync))
            self._observer.begin(self.step)
            try:
                self._train(interrupt)
            except tf.errors.InvalidArgumentError:
                self._save_after_bad_image()
                raise
        self.signal = interrupt.signal

    def _save_after_bad_image(self) -> None:
        """Saves the run after a failed step. That step has changed nothing, as it had no images."""
        if self._dataset.failure is None:
            return
        self.step = int(self._state.step.numpy())
        if self.step:
            self._observer.save(self.step)
            write_line(f"saved step {self.step}; the same command takes the run up")

    def close(self) -> None:
        """Makes everything that was written visible to readers."""
        self._observer.close()

    def _train(self, interrupt: loop.Interrupt) -> None:
        config, observer, strategy = self._config, self._observer, self._workers.strategy
        train = objects.make_step(config, self._state, strategy)
        while True:
            restores = int(self._state.restores.numpy())
            try:
                self.step = loop.run(
                    train,
                    objects.make_iterator(config, self._dataset, strategy, self.step, restores),
                    first_step=self.step,
                    last_step=config.train_steps,
                    pace=self._pace,
                    events=observer.events,
                    agree=lambda count: self._agree(interrupt, count),
                    watch=self._watch,
                )
                if interrupt.signal is not None:
                    observer.save(self.step)
                return
            except Diverged as error:
                self.step = observer.go_back(error)

    def _seconds_of_a_call(self) -> float:
        """How long a call may take: with the save after it half of the grace period, as times vary."""
        return self._config.grace_period / 2 - self._observer.save_seconds

    def _watch(self, step: int, count: int, scalars: dict[str, float]) -> None:
        self._observer.losses(step, count, scalars)
        seconds = (self._pace.seconds_per_step or 0.0) + self._observer.save_seconds
        if self._workers.is_chief and seconds > self._config.grace_period and not self._was_warned:
            self._was_warned = True
            complain(
                f"--grace_period={self._config.grace_period}: a step and a save take {seconds:.0f} s here, so"
                " a run that gets SIGTERM may be killed before it is saved; it then goes on from its last"
                " checkpoint"
            )

    def _agree(self, interrupt: loop.Interrupt, count: int) -> int:
        """How many steps all workers do next: the chief's `count`, or 0 if one of them got a signal."""
        stopping, count = self._workers.agree(interrupt.signal is not None, count)
        if not stopping:
            return count
        interrupt.signal = interrupt.signal or signal.SIGTERM  # another process's
        return 0
