"""What stands in a run's directory: configuration, names of the classes, checkpoints."""

import json
import os
import time

from sagan_tf.runs import best
from sagan_tf.runs.config import Config
from sagan_tf.system import options, runtime
from sagan_tf.system.errors import UserError
from sagan_tf.training.checkpoint import Checkpoints

CONFIG_FILE = "config.cfg"


_CLASSES_FILE = "classes.txt"


_ENVIRONMENT_FILE = "environment.jsonl"


def checkpoints(workdir: str, keep: int | None = None, keep_every: int = 0) -> Checkpoints:
    """The checkpoints of a run's directory."""
    return Checkpoints(os.path.join(workdir, "checkpoints"), keep, keep_every)


def best_checkpoints(workdir: str) -> Checkpoints:
    """The checkpoints that are kept for their scores."""
    return Checkpoints(os.path.join(workdir, "best"))


def read_best(workdir: str) -> list[best.Entry]:
    """Steps and scores of the checkpoints that are kept for their scores, best first."""
    kept = best_checkpoints(workdir)
    return best.read(kept.directory, kept.steps())[0]


def _replace_file(path: str, text: str) -> None:
    """Writes a file so that it is there whole or not at all."""
    with open(f"{path}.partial", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(f"{path}.partial", path)


def write_description(config: Config, class_names, directory: str | None = None) -> None:
    """Writes what a run's directory says about itself: its configuration and the names of its classes.

    `directory` is where it is written, if that is to become the workdir only later.
    """
    directory = directory or config.workdir
    with open(os.path.join(directory, _CLASSES_FILE), "w", encoding="utf-8") as file:
        file.writelines(f"{name}\n" for name in class_names)
    # Last, so that a directory with a configuration has the rest too.
    text = options.to_flagfile(
        config.with_decay_steps(), "The resolved configuration of this run: a flagfile."
    )
    _replace_file(os.path.join(directory, CONFIG_FILE), text)


def write_environment(config: Config, step: int, environment: runtime.Environment) -> None:
    """Adds a line to `environment.jsonl`: what a run computes with from this step on."""
    line = {"step": step, "time": round(time.time(), 3), "precision": config.precision}
    line["fast_forms"] = config.fast_forms  # they round otherwise than the plain ones
    with open(os.path.join(config.workdir, _ENVIRONMENT_FILE), "a", encoding="utf-8") as file:
        file.write(json.dumps(line | environment.record()) + "\n")


def read_class_names(workdir: str) -> tuple[str, ...]:
    with open(os.path.join(workdir, _CLASSES_FILE), encoding="utf-8") as file:
        return tuple(file.read().splitlines())


def check_classes(config: Config, dataset) -> None:
    """Raises UserError if the run in the workdir, if any, has another number of classes than the dataset."""
    if not config.conditional or not os.path.isfile(os.path.join(config.workdir, _CLASSES_FILE)):
        return
    names = read_class_names(config.workdir)
    if len(names) != dataset.num_classes:
        raise UserError(
            f"--dataset={config.dataset}: has {dataset.num_classes} classes, and the run in --workdir="
            f"{config.workdir} has {len(names)}: give the dataset it began with, or another --workdir"
        )


def read_config(workdir: str) -> Config:
    """The configuration of a run's directory. Raises UserError if it is none."""
    path = os.path.join(workdir, CONFIG_FILE)
    if not os.path.isfile(path):
        raise UserError(f"--workdir={workdir}: holds no run ({CONFIG_FILE} is missing)")
    return options.from_flagfile(Config, path).with_decay_steps()
