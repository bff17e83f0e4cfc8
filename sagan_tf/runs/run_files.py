"""What stands in a run's directory: configuration, names of the classes, checkpoints."""

import dataclasses
import os
import time
import typing

from sagan_tf.runs import best, training_data
from sagan_tf.runs.config import Config
from sagan_tf.system import class_names, files, json_lines, options, runtime
from sagan_tf.system.errors import UserError
from sagan_tf.system.run_directory import RunFiles, check_is_run
from sagan_tf.training.checkpoint import MANIFEST, Checkpoints

SPEED = "speed/steps_per_second"  # a key of every line that training writes to metrics.jsonl


def checkpoints(workdir: str, keep: int | None = None, keep_every: int = 0) -> Checkpoints:
    """The checkpoints of a run's directory."""
    return Checkpoints(RunFiles(workdir).checkpoints, keep, keep_every)


def best_checkpoints(workdir: str) -> Checkpoints:
    """The checkpoints that are kept for their scores."""
    return Checkpoints(RunFiles(workdir).best)


def checkpoint_digest(workdir: str, step: int) -> str | None:
    """Digest of a checkpoint's contents, 16 hexadecimal digits; None if it is not there (any more)."""
    for saved in (checkpoints(workdir), best_checkpoints(workdir)):
        if os.path.isfile(path := os.path.join(saved.path(step), MANIFEST)):
            return files.sha256(path)[:16]
    return None


def read_best(workdir: str) -> list[best.Entry]:
    """Steps and scores of the checkpoints that are kept for their scores, best first."""
    kept = best_checkpoints(workdir)
    return best.read(kept.directory, kept.steps())[0]


def read_metrics(workdir: str) -> list[dict]:
    """The lines of `metrics.jsonl` that training wrote, by rising step, without those of scores."""
    lines = [line for line in json_lines.read(RunFiles(workdir).metrics) if line.get(SPEED)]
    return [{tag: value for tag, value in line.items() if value is not None} for line in lines]  # null: NaN


def read_latest_metrics(workdir: str) -> list[dict]:
    """The last of the lines that `read_metrics` gives, without reading the whole file."""
    return [line for line in json_lines.read_end(RunFiles(workdir).metrics) if line.get(SPEED)]


def read_last_metrics(workdir: str) -> dict | None:
    """The last one of them; None without lines."""
    lines = read_latest_metrics(workdir)
    return lines[-1] if lines else None


def write_description(
    config: Config,
    names: typing.Iterable[str],
    directory: str | None = None,
    data: training_data.TrainingData | None = None,
) -> None:
    """Writes what a run's directory says about itself: classes, images and configuration.

    Args:
      config: of the run.
      names: of the classes. Those that are there already stay, as labels have their meaning from them; but
        an imported run's numbers become names.
      directory: where it is written, if that is to become the workdir only later.
      data: what is recorded about the images; None to record nothing.
    """
    paths = RunFiles(directory or config.workdir)
    if os.path.isfile(paths.classes):
        names = class_names.better_known(class_names.read(paths.classes), tuple(names))
    class_names.write(paths.classes, names)
    if data:
        training_data.write(directory or config.workdir, data)
    # Last, so that a directory with a configuration has the rest too.
    text = options.to_flagfile(
        config.with_decay_steps(), "The resolved configuration of this run: a flagfile."
    )
    files.write(paths.config, text)


def write_environment(config: Config, step: int, environment: runtime.Environment) -> None:
    """Adds a line to `environment.jsonl`: what a run computes with from this step on."""
    line = {
        "step": step,
        "time": round(time.time(), 3),
        "precision": config.precision,
        "fast_forms": config.fast_forms,  # they round differently from the plain ones
    }
    json_lines.append(RunFiles(config.workdir).environment, line | environment.record())


def read_first_step(workdir: str) -> int:
    """The step at which a run began to train, by `environment.jsonl`; 0 if that is not known."""
    lines = json_lines.read(RunFiles(workdir).environment)
    return min((line["step"] for line in lines if "step" in line), default=0)


def read_class_names(workdir: str) -> tuple[str, ...]:
    """The names of a run's classes. Raises UserError if they cannot be read."""
    return class_names.read(RunFiles(workdir).classes)


def read_import(workdir: str) -> dict | None:
    """Where the weights of an imported run come from and what was decided; None for other runs.

    Raises UserError if the file is damaged.
    """
    path = RunFiles(workdir).imported
    if not os.path.isfile(path):
        return None
    try:
        return files.read_json(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: is damaged ({error}); put a copy of it back, or import again") from error


def has_discriminator(workdir: str) -> bool:
    """Whether a run has a discriminator: all have, but imported ones of a generator alone."""
    return (read_import(workdir) or {}).get("discriminator", True)


def read_config(workdir: str) -> Config:
    """The configuration of a run's directory. Raises UserError if there is none, or it is damaged."""
    path = RunFiles(workdir).config
    check_is_run(workdir)
    try:
        config = options.from_flagfile(Config, path).with_decay_steps()
    except UserError as error:
        raise UserError(f"{path}: cannot be used ({error})") from error
    # The directory may have been moved or renamed since.
    return dataclasses.replace(config, workdir=workdir)
