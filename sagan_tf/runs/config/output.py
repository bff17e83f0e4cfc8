"""Options of what a run writes and measures."""

import dataclasses
import os

from sagan_tf.data import kinds
from sagan_tf.metrics import catalog
from sagan_tf.system.errors import UserError
from sagan_tf.system.options import option
from sagan_tf.system.paths import is_saved_model

INCEPTION = "https://tfhub.dev/tensorflow/tfgan/eval/inception/1"
TRAINING_METRICS = catalog.while_training()


def check_inception(place: str) -> None:
    """Refuses a place of no network for scores, without TensorFlow. Raises UserError."""
    if place.startswith(("https://", "http://")) or is_saved_model(place):
        return
    is_there = os.path.isdir(place)
    problem = "is not a SavedModel (saved_model.pb is missing)" if is_there else "no such folder"
    remedy = "a classifier for it is made by sagan_tf.train_classifier"
    raise UserError(f"{problem}; {remedy}", option="inception", value=place)


def batch_statistics_option(section: str):
    """The option of every command that shows, scores or exports a run's generator."""
    return option(
        "moving",
        "What batch norm uses: the moving averages of training, or statistics estimated from 6,400 samples"
        " for these very weights.",
        section=section,
        choices=("moving", "estimated"),
    )


@dataclasses.dataclass(frozen=True)
class OutputOptions:
    """What is kept of a run."""

    checkpoint_every_steps: int = option(
        1000,
        "Steps from one checkpoint to the next.",
        section="Output",
        minimum=1,
        may_change=True,
        common=True,
    )
    keep_checkpoints: int = option(
        5, "How many of the latest checkpoints are kept.", section="Output", minimum=1, may_change=True
    )
    keep_every_steps: int = option(
        0,
        "Checkpoints of steps that are multiples of this are kept for good; 0 for none.",
        section="Output",
        minimum=0,
        may_change=True,
    )
    summary_every_steps: int = option(
        100,
        "Interval of scalars in TensorBoard and metrics.jsonl.",
        section="Output",
        minimum=1,
        may_change=True,
    )
    diagnostics_every_steps: int = option(
        500,
        "Interval of singular values, gradient norms, logit histograms.",
        section="Output",
        minimum=1,
        may_change=True,
    )
    on_divergence: str = option(
        "stop",
        "What to do with a run that is lost (NaN, D has won, samples all alike, weights that blow up): stop,"
        " restore (go on from the last good checkpoint with other random numbers), or ignore it.",
        section="Output",
        choices=("stop", "restore", "ignore"),
        may_change=True,
    )
    sample_every_steps: int = option(
        1000, "Interval of sample grids (PNG and TensorBoard).", section="Output", minimum=1, may_change=True
    )

    evaluate_every_steps: int = option(
        0,
        "Steps from one scoring to the next, by --evaluate_metrics; 0 for none.",
        section="Scores",
        minimum=0,
        may_change=True,
        common=True,
    )
    evaluate_metrics: tuple[str, ...] = option(
        ("fid",), "What to measure.", section="Scores", choices=tuple(TRAINING_METRICS), may_change=True
    )
    evaluate_samples: int = option(
        10_000, "Generated images for a score.", section="Scores", minimum=2, may_change=True
    )
    evaluate_reference: str = option(
        "",
        f"The real images to compare with: a dataset ({kinds.FORMS}), or a file made by"
        " sagan_tf.make_reference; if empty, the images that are learnt.",
        section="Scores",
        may_change=True,
        is_path=True,
        placeholder="KIND:PATH",
    )
    evaluate_reference_split: str = option("train", "Their split.", section="Scores", may_change=True)
    inception: str = option(
        INCEPTION,
        "The network that sees the images: a TF-Hub handle, or the directory of a SavedModel (also one that"
        " sagan_tf.train_classifier made).",
        section="Scores",
        may_change=True,
        is_path=True,
    )
    best_metric: str = option(
        "fid",
        "The score by which the best checkpoints are kept, in best/.",
        section="Scores",
        choices=tuple(key for keys in TRAINING_METRICS.values() for key in keys),
        may_change=True,
    )
    keep_best_checkpoints: int = option(
        1, "How many of the best checkpoints are kept.", section="Scores", minimum=1, may_change=True
    )
