"""Finds the checkpoint that a user asks for. Needs no TensorFlow."""

from sagan_tf.runs import best
from sagan_tf.system.errors import UserError
from sagan_tf.system.options import refuse_given
from sagan_tf.system.run_directory import RunFiles, steps_in


def check_checkpoint(checkpoint: str, *names: str, option: str = "checkpoint") -> None:
    """Raises UserError if an option's value is neither one of these names nor a step."""
    if checkpoint not in names and not checkpoint.isdigit():
        raise UserError(f"allowed are {', '.join(names)}, or a step", option=option, value=checkpoint)


def all_steps(workdir: str) -> list[int]:
    """Steps of a run's checkpoints, lowest first; also of those that are only kept for their scores."""
    paths = RunFiles(workdir)
    return sorted({*steps_in(paths.checkpoints), *steps_in(paths.best)})


def check_has_checkpoint(workdir: str) -> None:
    """Raises UserError if a run has no checkpoint."""
    if not all_steps(workdir):
        raise UserError("has no checkpoint yet", option="workdir", value=workdir)


def choose(workdir: str, checkpoint: str) -> tuple[str, list[int]]:
    """The folder of the checkpoint, and the steps to try there, the best choice last.

    Args:
      workdir: the run's directory.
      checkpoint: "latest", "best", or a step.

    Raises:
      UserError: there is no such checkpoint.
    """
    paths = RunFiles(workdir)
    saved, kept = steps_in(paths.checkpoints), steps_in(paths.best)
    if checkpoint == "best":
        entries, _ = best.read(paths.best, kept)
        if not entries:
            raise UserError(
                f"--workdir={workdir}: has no best checkpoint (--evaluate_every_steps keeps them)"
            )
        return paths.best, [entries[0].step]
    check_has_checkpoint(workdir)
    if checkpoint == "latest" and saved:
        return paths.checkpoints, saved
    for folder, steps in ((paths.checkpoints, saved), (paths.best, kept)):
        if checkpoint.isdigit() and int(checkpoint) in steps:
            return folder, [int(checkpoint)]
    names = "allowed are latest, best" if saved else "only the best are left; allowed are best"
    raise UserError(", ".join([names, *map(str, all_steps(workdir))]), option="checkpoint", value=checkpoint)


def check_fixed(options) -> None:
    """Refuses options that choose among a run's weights where there is no run. Raises UserError."""
    problem = "needs --workdir: only a run has several"
    refuse_given(options, ("checkpoint", "weights", "batch_statistics"), problem)
