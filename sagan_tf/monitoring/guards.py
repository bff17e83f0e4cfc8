"""Notices a run that is lost: NaN, D has won or is dead, samples all alike, weights that blow up.

The limits are far from what healthy runs show (README.md beside this file): a run that trips a guard
really has failed.
"""

import math
import typing

from sagan_tf.monitoring.diagnostics import Kernel
from sagan_tf.system.errors import as_flag
from sagan_tf.training.losses import Loss

_LOWER_RATES = {"lower": ("generator_learning_rate", "discriminator_learning_rate")}


class Diverged(Exception):
    """A run that is lost; `str` gives one line: what was seen, what it means, which options help.

    Attributes:
      kind: "not finite", "won", "dead", "blow-up" or "collapse".
      problem: what was seen and what it means, without the options.
      since: the last step at which the run was certainly well.
      advice: names of options that help, by what to do with them, e.g. "lower".
    """

    def __init__(self, kind: str, problem: str, since: int, advice: dict[str, tuple[str, ...]] | None = None):
        super().__init__(problem)
        self.kind, self.problem, self.since, self.advice = kind, problem, since, advice or {}

    def __str__(self) -> str:
        parts = [f"{verb} {' and '.join(map(as_flag, options))}" for verb, options in self.advice.items()]
        return "; ".join([self.problem, *([" or ".join(parts)] if parts else [])])

    @property
    def hopeless(self) -> bool:
        """Whether the weights themselves are lost, so that the run cannot go on with them."""
        return self.kind == "not finite"


class Limits(typing.NamedTuple):
    """Where the guards strike.

    Attributes:
      won_loss, won_steps: D has won if its adversarial loss stays below `won_loss` for `won_steps` steps.
        -infinity for a loss without a lower bound.
      stuck_steps: D is dead if its loss stays the same to six digits for this many steps.
      gap_steps, blind_steps: D is blind if the mean logit of real images, over `gap_steps` steps, is not
        above that of fakes, for `blind_steps` steps.
      diversity, diversity_times: samples are alike if their deviation within a class is below this share of
        the real images' deviation, this many times in a row.
      growth: weights blow up if a singular value is this many times its first value.
      growth_normalized: the same for a layer with spectral normalization, which makes slow growth harmless.
      sudden_growth: weights blow up if a singular value grows this many times from one look to the next.
    """

    won_loss: float = 0.02
    won_steps: int = 1000
    stuck_steps: int = 200
    gap_steps: int = 1000
    blind_steps: int = 5000
    diversity: float = 0.1
    diversity_times: int = 3
    growth: float = 100.0
    growth_normalized: float = 1000.0
    sudden_growth: float = 10.0


def limits_of(loss: Loss) -> Limits:
    """The limits for this adversarial loss. Where D's loss has no lower bound, D cannot win."""
    return Limits() if loss.bounded else Limits(won_loss=-math.inf)


class Guards:
    """Sees what a run measures, step by step, and raises `Diverged` when the run is lost.

    Args:
      step: the step at which the run begins or goes on.
      limits: where to strike; `Limits()` by default.
      trained: whether the weights have been trained before step 0, by another run.
    """

    def __init__(self, step: int, limits: Limits | None = None, trained: bool = False):
        self.limits, self._trained = limits or Limits(), trained
        self.start(step)

    def start(self, step: int) -> None:
        """Forgets what was seen. Call it when the run goes back to a checkpoint."""
        self._streaks, self._times, self._last_loss = {}, {}, None
        self._gap_seen, self._gap_sum = step, 0.0
        self._samples_seen, self._kernels_seen, self._growth = step, step, {}

    @property
    def good_until(self) -> set[int]:
        """The steps that `Diverged.since` may name at the next look: those after them may all be bad.

        They are the last looks at samples, kernels and logits, and the last steps before signs of trouble
        that last.
        """
        return {self._samples_seen, self._kernels_seen, self._gap_seen, *self._streaks.values()}

    def see_losses(self, step: int, count: int, scalars: dict[str, float]) -> None:
        """Takes the means of the scalars over the last `count` steps.

        `loss/discriminator` is the adversarial loss alone: penalties and the like are other scalars.
        `logits/real` and `logits/fake` are D's mean logits.
        """
        for tag, value in scalars.items():
            if not math.isfinite(value):
                problem = f"{tag} is {value}: the weights are lost"
                raise Diverged("not finite", problem, step - count, _LOWER_RATES)
        loss, limits = scalars["loss/discriminator"], self.limits
        if self._lasts("won", loss < limits.won_loss, step, count, limits.won_steps):
            raise Diverged(
                "won",
                f"the discriminator's loss has been below {limits.won_loss} for {limits.won_steps} steps: it"
                " has won, and teaches the generator nothing",
                self._streaks["won"],
                {
                    "lower": ("discriminator_learning_rate",),
                    "raise": ("generator_learning_rate",),
                    "give D more to do with": ("augment",),
                },
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
                " is dead, and says the same of every image",
                self._streaks["stuck"],
                _LOWER_RATES | {"raise": ("discriminator_steps",)},
            )
        self._see_gap(step, count, scalars["logits/real"] - scalars["logits/fake"])

    def _see_gap(self, step: int, count: int, gap: float) -> None:
        """Takes how far D's mean logits are apart. Those of few batches are noisy, so it waits for more."""
        self._gap_sum += count * gap
        steps = step - self._gap_seen
        if steps < self.limits.gap_steps:
            return
        is_blind = self._gap_sum <= 0.0
        self._gap_seen, self._gap_sum = step, 0.0
        if self._lasts("blind", is_blind, step, steps, self.limits.blind_steps):
            raise Diverged(
                "dead",
                "the discriminator's mean logit of real images has not been above that of generated ones for"
                f" {self.limits.blind_steps:,} steps: it cannot tell them apart and teaches the generator"
                " nothing",
                self._streaks["blind"],
                {"raise": ("discriminator_steps",), "lower": ("generator_learning_rate",)},
            )

    def see_variables(self, step: int, not_finite: typing.Sequence[str]) -> None:
        """Takes the names of the variables that hold NaN or infinity."""
        if not_finite:
            more = f" and {len(not_finite) - 1} more variables" if len(not_finite) > 1 else ""
            raise Diverged("not finite", f"NaN or infinity in {not_finite[0]}{more}", step - 1, _LOWER_RATES)

    def see_kernels(self, step: int, kernels: dict[str, Kernel]) -> None:
        """Takes the singular values of all layers."""
        limits, seen, self._kernels_seen = self.limits, self._kernels_seen, step
        before, self._growth = self._growth, {name: kernel.growth for name, kernel in kernels.items()}
        is_new = seen == 0 and not self._trained
        for name, kernel in kernels.items():
            # A new run starts at 1. The first look at weights that are older has nothing to compare with.
            known = max(before.get(name, 1.0 if is_new else kernel.growth), 1.0)
            if kernel.growth > (limits.growth_normalized if kernel.normalized else limits.growth):
                what = f"{kernel.growth:.3g} times what it was at first"
            elif kernel.growth > limits.sudden_growth * known:
                what = f"{kernel.growth / known:.3g} times what it was {step - seen} steps ago"
            else:
                continue
            raise Diverged(
                "blow-up",
                f"the largest singular value of {name} is {kernel.sigma:.4g}, {what}: the weights blow up",
                seen,
                _LOWER_RATES,
            )

    def see_diversity(self, step: int, shares: dict[str, float]) -> None:
        """Takes the deviation of samples as a share of the real images', by name, e.g. `class 7`."""
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
                    " and draws one image again and again",
                    self._streaks[name],
                    {"lower": ("generator_learning_rate",), "raise": ("discriminator_steps",)},
                )

    def _lasts(self, name: str, is_so: bool, step: int, count: int, limit: int) -> bool:
        """Whether `is_so` has now held for `limit` steps."""
        if not is_so:
            self._streaks.pop(name, None)
            return False
        self._streaks.setdefault(name, step - count)
        return step - self._streaks[name] >= limit
