"""Applies the guards to a run in progress, keeps its good checkpoints good, and says what went wrong."""

from sagan_tf.monitoring.diagnostics import Diagnostics
from sagan_tf.monitoring.guards import Diverged, Guards
from sagan_tf.monitoring.samples import Sampler
from sagan_tf.monitoring.summaries import Reporter, diagnostic_scalars
from sagan_tf.training.checkpoint import Checkpoints
from sagan_tf.training.state import State

_TRIES = 3  # from one checkpoint


class Watch:
    """What looks at a run, at the loop's calls and events; `Diverged` ends the loop.

    Args:
      state: what is trained.
      saved: its checkpoints.
      reporter: where figures and pictures go.
      sampler: draws the sample grids.
      guards: what says that the run is lost.
      report: writes a line to the user.
      complain: the same, where errors go.
      ignore: whether what the guards say is only told, once of a kind. NaN ends the run all the same.
    """

    def __init__(
        self,
        state: State,
        saved: Checkpoints,
        reporter: Reporter,
        sampler: Sampler,
        guards: Guards,
        report,
        complain,
        ignore: bool = False,
    ):
        self._state, self._saved, self._reporter, self._sampler = state, saved, reporter, sampler
        self._ignore, self._report, self._complain = ignore, report, complain
        self._checkpoint, self._diagnostics = state.checkpoint(), Diagnostics(state)
        self._guards, self._step, self._scalars = guards, 0, {}  # the step and scalars of the last call
        self._ignored, self._tries = set(), {}

    def losses(self, step: int, count: int, scalars: dict[str, float]) -> None:
        """Looks at the means of the last call."""
        self._step, self._scalars = step, scalars
        self._see(self._guards.see_losses, step, count, scalars)

    def weights(self, step: int) -> None:
        """Looks for NaN and infinity in the weights, so that what comes next can rely on them."""
        self._guards.see_variables(step, self._diagnostics.not_finite())

    def diagnose(self, step: int, values: dict) -> None:
        """Looks at the weights; writes singular values, gradient norms and histograms."""
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
        """Writes a checkpoint, unless the weights are lost: then it raises `Diverged`."""
        self.weights(step)
        self._saved.save(self._checkpoint, step, good_until=self._guards.suspicious_since)

    def record(self, error: Diverged) -> int | None:
        """Writes figures and samples of a run that is lost, and sets aside the checkpoints since it was well.

        Tells the user in one line. Returns the step of the last good checkpoint, if there is one.
        """
        scalars = self._scalars | diagnostic_scalars(
            self._diagnostics.kernels(), self._diagnostics.gradient_norms()
        )
        self._reporter.divergence(self._step, error.kind, error.reason, scalars)
        self._sampler.write_divergence(self._step)
        self._reporter.flush()
        good = self._saved.newest(error.since)
        at = "there is no good checkpoint" if good is None else f"the last good checkpoint is of step {good}"
        aside = ", ".join(f"{step:08d}.diverged" for step in self._saved.set_aside(error.since))
        at += f"; later ones are now {aside}" if aside else ""
        self._complain(f"diverged at step {self._step}: {error.reason} ({at})")
        return good

    def go_back(self, good: int | None) -> int | None:
        """Restores the last good checkpoint; from there on other random numbers are drawn.

        Returns the step from which the run goes on; None if there is no checkpoint, or too often the same.
        """
        self._tries[good] = self._tries.get(good, 0) + 1
        if good is None or self._tries[good] > _TRIES:
            return None
        restores = int(self._state.restores.numpy()) + 1
        step = self._saved.restore_newest(self._checkpoint, self._report)
        self._state.restores.assign(restores)
        self._reporter.rewind(step)
        self._guards.start(step)
        self._report(
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
                self._complain(f"step {self._step}: {error.reason} (ignored)")
                self._reporter.ignored(self._step, error.kind, error.reason)
                self._ignored.add(error.kind)
