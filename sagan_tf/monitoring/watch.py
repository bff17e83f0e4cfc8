"""Applies the guards to a run in progress, protects its good checkpoints, and reports what went wrong."""

import sys

from sagan_tf.monitoring.diagnostics import Diagnostics
from sagan_tf.monitoring.guards import Diverged, Guards
from sagan_tf.monitoring.samples import Sampler
from sagan_tf.monitoring.summaries import Reporter, diagnostic_scalars
from sagan_tf.system.progress import write_line
from sagan_tf.training.checkpoint import Checkpoints
from sagan_tf.training.state import State

_TRIES = 3  # how often a run goes back to one checkpoint


def complain(line: str) -> None:
    """Prints a line about the run on standard error, without breaking a progress bar."""
    write_line(f"train: {line}", sys.stderr)


class Watch:
    """Looks at a run after the loop's calls and at its events. It raises `Diverged` when the run is lost.

    Args:
      state: what is trained.
      saved: its checkpoints.
      reporter: writes figures and pictures.
      sampler: draws the sample grids.
      guards: decide whether the run is lost.
      ignore: whether a guard only prints a line, once for each kind. NaN ends the run in any case.
    """

    def __init__(
        self,
        state: State,
        saved: Checkpoints,
        reporter: Reporter,
        sampler: Sampler,
        guards: Guards,
        ignore: bool = False,
    ):
        self._state, self._saved, self._reporter, self._sampler = state, saved, reporter, sampler
        self._guards, self._ignore = guards, ignore
        self._checkpoint, self._diagnostics = state.checkpoint(), Diagnostics(state)
        self._step, self._scalars = 0, {}  # of the last call
        self._ignored, self._tries = set(), {}

    def losses(self, step: int, count: int, scalars: dict[str, float]) -> None:
        """Looks at the means of the last call."""
        self._step, self._scalars = step, scalars
        self._see(self._guards.see_losses, step, count, scalars)

    def weights(self, step: int) -> None:
        """Raises `Diverged` if there is NaN or infinity in the weights."""
        self._guards.see_variables(step, self._diagnostics.not_finite())

    def diagnose(self, step: int, values: dict) -> None:
        """Looks at the weights. Writes singular values, gradient norms and histograms."""
        kernels = self._diagnostics.kernels()
        scalars = diagnostic_scalars(kernels, self._diagnostics.gradient_norms())
        histograms = {tag: value for tag, value in values.items() if getattr(value, "ndim", 0)}
        self._reporter.diagnostics(step, scalars, histograms)
        self.weights(step)
        self._see(self._guards.see_kernels, step, kernels)

    def sample(self, step: int, _=None) -> None:
        """Writes the sample grids and looks at how much the samples vary."""
        self._sampler.write_samples(step)
        shares = self._sampler.diversity()
        self._reporter.diversity(step, shares)
        self._see(self._guards.see_diversity, step, shares)

    def save(self, step: int, _=None) -> None:
        """Writes a checkpoint. Raises `Diverged` instead if the weights hold NaN or infinity."""
        self.weights(step)
        self._saved.save(self._checkpoint, step, good_until=self._guards.good_until)

    def record(self, error: Diverged) -> int | None:
        """Records a run that is lost: figures, samples, one line to the user.

        Sets aside the checkpoints after the last step at which the run was well. Returns the step of the
        newest good checkpoint, or None.
        """
        scalars = self._scalars | diagnostic_scalars(
            self._diagnostics.kernels(), self._diagnostics.gradient_norms()
        )
        self._reporter.divergence(self._step, error.kind, str(error), scalars)
        self._sampler.write_divergence(self._step)
        self._reporter.flush()
        good = self._saved.newest(error.since)
        at = "there is no good checkpoint" if good is None else f"the last good checkpoint is of step {good}"
        aside = ", ".join(f"{step:08d}.diverged" for step in self._saved.set_aside(error.since))
        at += f"; later ones are now {aside}" if aside else ""
        complain(f"diverged at step {self._step}: {error} ({at})")
        return good

    def go_back(self, good: int | None) -> int | None:
        """Restores the newest good checkpoint. From there on the run draws other random numbers.

        Returns the step from which the run goes on. Returns None if there is no checkpoint, or if the run has
        gone back to this one too often.
        """
        self._tries[good] = self._tries.get(good, 0) + 1
        if good is None or self._tries[good] > _TRIES:
            return None
        restores = int(self._state.restores.numpy()) + 1
        step = self._saved.restore_newest(self._checkpoint, write_line)
        self._state.restores.assign(restores)
        self._reporter.rewind(step)
        self._guards.start(step)
        write_line(
            f"going on from step {step} with other random numbers, try {self._tries[good]} of {_TRIES}"
        )
        return step

    def _see(self, look, *arguments) -> None:
        try:
            look(*arguments)
        except Diverged as error:
            if error.hopeless or not self._ignore:
                raise
            if error.kind not in self._ignored:
                complain(f"step {self._step}: {error} (ignored)")
                self._reporter.ignored(self._step, error.kind, str(error))
                self._ignored.add(error.kind)
