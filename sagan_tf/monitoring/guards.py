"""Notices a run that is lost: NaN, a game that one side has won, samples all alike, weights that blow up.

The limits are far from what healthy runs show (README, "A run that is lost"): a run that trips a guard
really has failed.
"""

import math
import typing

from sagan_tf.monitoring.diagnostics import Kernel
from sagan_tf.training.losses import Loss

_LOWER_RATES = "lower --generator_learning_rate and --discriminator_learning_rate"


class Diverged(Exception):
    """A run that is lost.

    Attributes:
      kind: "not finite", "won", "dead", "blow-up" or "collapse".
      reason: one line: what was seen, what it means, what helps.
      since: a step at which all was well still.
    """

    def __init__(self, kind: str, reason: str, since: int):
        super().__init__(reason)
        self.kind, self.reason, self.since = kind, reason, since

    @property
    def hopeless(self) -> bool:
        """Whether there is nothing to go on with."""
        return self.kind == "not finite"


class Limits(typing.NamedTuple):
    """Where the guards strike.

    Attributes:
      won_loss, won_steps: the discriminator has won if its adversarial loss stays below for so many steps;
        -infinity where that has no lower bound.
      stuck_steps: it is dead if its loss stays the same, to six digits, for so many steps.
      diversity, diversity_times: samples are alike if their deviation within a class stays below this share
        of the real images' so many times in a row.
      growth: singular values blow up if one is so many times what it was at first; larger where spectral
        normalization divides by it, which makes slow growth harmless.
      sudden_growth: the same, from one look to the next.
    """

    won_loss: float = 0.02
    won_steps: int = 1000
    stuck_steps: int = 200
    diversity: float = 0.1
    diversity_times: int = 3
    growth: float = 100.0
    growth_normalized: float = 1000.0
    sudden_growth: float = 10.0


def limits_of(loss: Loss) -> Limits:
    """The limits of a run with this adversarial loss: where D's has no lower bound, no value is a victory."""
    return Limits() if loss.bounded else Limits(won_loss=-math.inf)


class Guards:
    """Sees what a run measures, step by step, and raises `Diverged` when it is lost.

    Args:
      step: at which the run begins or goes on.
      limits: where it strikes; see the class for what they are otherwise.
    """

    def __init__(self, step: int, limits: Limits | None = None):
        self.limits = limits or Limits()
        self.start(step)

    def start(self, step: int) -> None:
        """Starts anew at `step`, as after going back to a checkpoint."""
        self._streaks, self._times, self._last_loss = {}, {}, None
        self._samples_seen, self._kernels_seen, self._growth = step, step, {}

    @property
    def suspicious_since(self) -> int | None:
        """The last step before something began that may turn out to be the end; None if all is well."""
        return min(self._streaks.values(), default=None)

    def see_losses(self, step: int, count: int, scalars: dict[str, float]) -> None:
        """Takes the means of the scalars over the last `count` steps.

        `loss/discriminator` is the adversarial loss alone: penalties and the like are other scalars.
        """
        for tag, value in scalars.items():
            if not math.isfinite(value):
                reason = f"{tag} is {value}: the weights are lost; {_LOWER_RATES}"
                raise Diverged("not finite", reason, step - count)
        loss, limits = scalars["loss/discriminator"], self.limits
        if self._lasts("won", loss < limits.won_loss, step, count, limits.won_steps):
            raise Diverged(
                "won",
                f"the discriminator's loss has been below {limits.won_loss} for {limits.won_steps} steps: it"
                " has won, and teaches the generator nothing; lower --discriminator_learning_rate, raise"
                " --generator_learning_rate, or give D more to do (--augment, more images)",
                self._streaks["won"],
            )
        before = self._last_loss
        same = (
            before is not None
            and loss >= limits.won_loss
            and abs(loss - before) <= 1e-6 * max(1.0, abs(loss))
        )
        self._last_loss = loss
        if self._lasts("stuck", same, step, count, limits.stuck_steps):
            raise Diverged(
                "dead",
                f"the discriminator's loss has been {loss:.6g}, unchanged, for {limits.stuck_steps} steps: it"
                f" is dead, and says the same of every image; {_LOWER_RATES}",
                self._streaks["stuck"],
            )

    def see_variables(self, step: int, not_finite: typing.Sequence[str]) -> None:
        """Takes the names of the variables that hold NaN or infinity."""
        if not_finite:
            more = f" and {len(not_finite) - 1} more variables" if len(not_finite) > 1 else ""
            reason = f"NaN or infinity in {not_finite[0]}{more}; {_LOWER_RATES}"
            raise Diverged("not finite", reason, step - 1)

    def see_kernels(self, step: int, kernels: dict[str, Kernel]) -> None:
        """Takes the singular values of all layers."""
        limits, seen, self._kernels_seen = self.limits, self._kernels_seen, step
        before, self._growth = self._growth, {name: kernel.growth for name, kernel in kernels.items()}
        for name, kernel in kernels.items():
            # At the first look nothing is known of a run that is taken up; at first all are 1.
            known = max(before.get(name, 1.0 if seen == 0 else kernel.growth), 1.0)
            if kernel.growth > (limits.growth_normalized if kernel.normalized else limits.growth):
                what = f"{kernel.growth:.3g} times what it was at first"
            elif kernel.growth > limits.sudden_growth * known:
                what = f"{kernel.growth / known:.3g} times what it was {step - seen} steps ago"
            else:
                continue
            raise Diverged(
                "blow-up",
                f"the largest singular value of {name} is {kernel.sigma:.4g}, {what}: the weights blow up;"
                f" {_LOWER_RATES}",
                seen,
            )

    def see_diversity(self, step: int, shares: dict[str, float]) -> None:
        """Takes how much samples vary, as a share of what real images do, by what they are of: `class 7`."""
        limits, seen, self._samples_seen = self.limits, self._samples_seen, step
        for name, share in shares.items():
            if share >= limits.diversity:
                self._streaks.pop(name, None)
                self._times.pop(name, None)
                continue
            self._streaks.setdefault(name, seen)
            self._times[name] = self._times.get(name, 0) + 1
            if self._times[name] >= limits.diversity_times:
                raise Diverged(
                    "collapse",
                    f"{name}: samples vary by {share:.2g} of what real images do: the generator has collapsed"
                    " and draws one image again and again; lower --generator_learning_rate, or raise"
                    " --discriminator_steps",
                    self._streaks[name],
                )

    def _lasts(self, name: str, is_so: bool, step: int, count: int, limit: int) -> bool:
        """Whether something has now been so for `limit` steps."""
        if not is_so:
            self._streaks.pop(name, None)
            return False
        self._streaks.setdefault(name, step - count)
        return step - self._streaks[name] >= limit
