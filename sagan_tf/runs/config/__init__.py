"""The options of a training run: every name, type, default, help text and check, once."""

import dataclasses
import math
import sys

from sagan_tf.data import kinds
from sagan_tf.runs.config.networks import IMAGE_SIZES, NetworkOptions
from sagan_tf.runs.config.output import (
    INCEPTION,
    TRAINING_METRICS,
    OutputOptions,
    batch_statistics_option,
    check_inception,
)
from sagan_tf.runs.config.run import NO_DATASET, RunOptions
from sagan_tf.runs.config.training import AUTO, PRECISIONS, TrainingOptions
from sagan_tf.system.device_option import check_devices
from sagan_tf.system.errors import UserError, naming
from sagan_tf.system.options import format_value

__all__ = [
    "AUTO",
    "IMAGE_SIZES",
    "INCEPTION",
    "NO_DATASET",
    "PRECISIONS",
    "TRAINING_METRICS",
    "Config",
    "batch_statistics_option",
    "check_inception",
]


# Fields come in the order of the bases, the last first.
@dataclasses.dataclass(frozen=True)
class Config(OutputOptions, TrainingOptions, NetworkOptions, RunOptions):
    """A training run. Defaults are the paper's, apart from the data and the length of the run."""

    def check(self) -> None:
        """Refuses combinations that cannot work. Raises UserError."""
        if not self.workdir and not self.dry_run:
            raise UserError(
                "--workdir is missing: name the directory that is to hold the run, e.g. --workdir=runs/a"
            )
        if self.dataset != NO_DATASET:
            with naming("dataset", self.dataset):
                kinds.split_spec(self.dataset)
        self._check_beginning()
        self._check_weights()
        names = [key for metric in self.evaluate_metrics for key in TRAINING_METRICS[metric]]
        if self.evaluate_every_steps and self.best_metric not in names:
            raise UserError(
                f"--best_metric={self.best_metric}: is not measured;"
                f" allowed with these --evaluate_metrics are {', '.join(names)}"
            )
        if self.xla and self.recompute_blocks:
            raise UserError(
                "--recompute_blocks: XLA merges the second computation with the first, so that nothing is"
                " saved; leave out --xla"
            )
        end = self.decay_steps or self.train_steps
        if self.learning_rate_schedule == "linear" and self.warmup_steps >= end:
            raise UserError(
                f"--warmup_steps={self.warmup_steps}: must be less than {end}, the step at which"
                " --learning_rate_schedule=linear ends"
            )
        if self.learning_rate_schedule == "linear" and 0 < self.decay_steps < self.train_steps:
            raise UserError(
                f"--train_steps={self.train_steps}: nothing would be learnt after step {self.decay_steps},"
                " where the learning rates have fallen to 0 (--learning_rate_schedule=linear, --decay_steps)"
            )
        check_devices(self.devices)

    def with_fitting_defaults(self, given) -> "Config":
        """The same, less defaults that contradict an option; each that changes is told on standard error.

        Args:
          given: names of the options that were given; they stay.
        """
        changes = {}
        half = self.image_size // 2
        if not self.initialize_from and self.image_size in IMAGE_SIZES and half < 32:
            names = {"generator_attention", "discriminator_attention"} - set(given)
            changes |= {name: (half,) for name in sorted(names)}
        if self.best_metric != self.fitting_best_metric() and "best_metric" not in given:
            changes["best_metric"] = self.fitting_best_metric()
        for name, value in changes.items():
            why = f"--image_size={self.image_size}" if "attention" in name else "--evaluate_metrics"
            print(f"--{name}={format_value(value)}: chosen to fit {why}", file=sys.stderr)
        return dataclasses.replace(self, **changes)

    def fitting_best_metric(self) -> str:
        """`best_metric`, or the first score of `evaluate_metrics` if that is not measured."""
        metrics = [metric for metric in self.evaluate_metrics if metric in TRAINING_METRICS]
        measured = [key for metric in metrics for key in TRAINING_METRICS[metric]]
        fits = self.best_metric in measured or not self.evaluate_every_steps
        return self.best_metric if fits or not measured else measured[0]

    def with_decay_steps(self) -> "Config":
        """The same with `decay_steps` as a number of steps where learning rates fall.

        A run that an earlier version began has no such number: its rates fell to 0 at its --train_steps.
        """
        if self.learning_rate_schedule == "linear" and not self.decay_steps:
            return dataclasses.replace(self, decay_steps=self.train_steps)
        return self

    def check_new_run(self) -> None:
        """Refuses what would do nothing; not part of `check`, as runs that exist must stay readable."""
        unused = {
            "gradient_penalty_weight": ("--gradient_penalty", self.gradient_penalty == "none"),
            "decay_steps": (
                "--learning_rate_schedule=linear",
                self.learning_rate_schedule != "linear",
            ),
            "auxiliary_weight": (
                "--class_conditioning=auxiliary_classifier",
                self.class_conditioning != "auxiliary_classifier",
            ),
        }
        for name, (needed, is_unused) in unused.items():
            value, default = getattr(self, name), type(self).__dataclass_fields__[name].default
            if is_unused and value != default:
                raise UserError(f"--{name}={value:g}: does nothing without {needed}; give both or none")

    def _check_beginning(self) -> None:
        for name in ("class_map", "freeze_discriminator_blocks"):
            if getattr(self, name) and not self.initialize_from:
                raise UserError(
                    f"--{name}={getattr(self, name)}: needs --initialize_from, the run to begin with"
                )
        if not self.initialize_from:  # otherwise they are checked when that run has been read
            self.check_networks()

    def _check_frozen(self) -> None:
        blocks = 2 if self.image_size == 32 else int(math.log2(self.image_size // 4))
        if self.freeze_discriminator_blocks > blocks:
            raise UserError(
                f"--freeze_discriminator_blocks={self.freeze_discriminator_blocks}: at --image_size="
                f"{self.image_size} at most {blocks} blocks can be frozen"
            )

    def check_networks(self) -> None:
        """Refuses networks that do not go together. Raises UserError."""
        self._check_attention("generator_attention", [8 * 2**i for i in range(10)], self.image_size)
        coarsest = 8 if self.image_size == 32 else 4
        self._check_attention(
            "discriminator_attention", [coarsest * 2**i for i in range(10)], self.image_size // 2
        )
        self._check_conditioning()
        self._check_frozen()

    def _check_conditioning(self) -> None:
        needs_classes = []
        if self.class_conditioning != "projection":
            needs_classes.append(f"--class_conditioning={self.class_conditioning}")
        if self.generator_embedding:
            needs_classes.append(f"--generator_embedding={self.generator_embedding}")
        if needs_classes and not self.conditional:
            raise UserError(
                f"{needs_classes[0]}: with --noconditional there are no classes; leave out one of the two"
            )
        if self.hierarchical_z and self.conditional and not self.generator_embedding:
            raise UserError("--hierarchical_z: needs --generator_embedding (BigGAN: 128), or --noconditional")
        parts = int(math.log2(self.image_size // 4)) + 1
        nearest = parts * max(1, self.z_dim // parts)
        if self.hierarchical_z and self.z_dim % parts:
            raise UserError(
                f"--z_dim={self.z_dim}: --hierarchical_z divides it into {parts} equal parts at --image_size="
                f"{self.image_size}; allowed are multiples of {parts}, e.g. {nearest}"
            )

    def _check_weights(self) -> None:
        if self.gradient_penalty != "none" and not self.gradient_penalty_weight:
            raise UserError(
                f"--gradient_penalty_weight=0: --gradient_penalty={self.gradient_penalty} would do nothing;"
                " give a weight above 0, or --gradient_penalty=none"
            )
        if self.class_conditioning == "auxiliary_classifier" and not self.auxiliary_weight:
            raise UserError(
                "--auxiliary_weight=0: the discriminator's auxiliary classifier would learn nothing;"
                " give a weight above 0"
            )

    def _check_attention(self, name: str, candidates, largest: int) -> None:
        allowed = [resolution for resolution in candidates if resolution <= largest]
        for resolution in getattr(self, name):
            if resolution not in allowed:
                raise UserError(
                    f"no such feature map at --image_size={self.image_size};"
                    f" allowed are {', '.join(map(str, allowed))}",
                    option=name,
                    value=resolution,
                )
