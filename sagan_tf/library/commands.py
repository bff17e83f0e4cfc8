"""The commands `train` and `evaluate` as functions: options are arguments, mistakes are ValueErrors."""

import dataclasses
import os
import signal

from sagan_tf import evaluate as evaluate_command
from sagan_tf import train as train_command
from sagan_tf.evaluation import results
from sagan_tf.library.mistakes import (
    as_option,
    as_value_errors,
    check_names,
    make_options,
    replace_options,
)
from sagan_tf.library.model import Model, load
from sagan_tf.runs.config import Config
from sagan_tf.system import options as command_options
from sagan_tf.system.run_directory import is_run

_DIVERGED = 3  # exit codes of `sagan_tf.train`; 128 and more stand for signals
_SIGNALS = 128


def train(config: Config | str | os.PathLike, **changes) -> Model:
    """Trains a run, or takes it up, as the command `sagan-train` does, and prints what it prints.

    It sets the seeds of Python, NumPy and TensorFlow.

    Args:
      config: the options, or the path of a flagfile.
      changes: options that differ, e.g. `workdir="runs/a"`, `train_steps=900`.

    Returns: the model of the last checkpoint, with the averaged weights.

    Raises:
      ValueError: an option does not fit, or the directory holds a run of other options.
      RuntimeError: the run has diverged.
      KeyboardInterrupt: SIGINT or SIGTERM came; the run is saved, and the same call takes it up.

    >>> model = train("digits.cfg", workdir="runs/new", train_steps=2)
    digits: 1,442 images ...
    >>> model.step
    2
    """
    config, given = _read(config, changes)
    with as_value_errors():
        code = train_command.main(config, given)
    if code == _DIVERGED:
        raise RuntimeError(f"workdir={config.workdir}: the run has diverged; see what is printed above")
    if code >= _SIGNALS:
        raise KeyboardInterrupt(signal.Signals(code - _SIGNALS).name)
    return load(config.workdir)


def evaluate(source: Model | str | os.PathLike, **options) -> list[dict]:
    """Scores a run, a SavedModel or a folder of images, as the command `sagan-evaluate` does.

    Args:
      source: a loaded model, or a path.
      options: of the command, e.g. `metrics=["fid"]`, `num_samples=10_000`; `--help` lists them.

    Returns: the lines that were added to the file of scores; each has "metric", "value" and its protocol.

    Raises:
      ValueError: an option does not fit, or a metric cannot be computed.

    >>> scores = evaluate("runs/digits", metrics=["is"], inception="classifier", num_samples=8, splits=2,
    ...                   output="scores.jsonl")
    <BLANKLINE>
    ...
    >>> scores[0]["metric"], scores[0]["samples"]
    ('classifier_score', 8)
    """
    if isinstance(source, Model):
        if source.path is None:
            raise ValueError("source: a model in memory has no path; train it with a workdir, or export it")
        given = source.place if source.config else {}
        path = source.path
    else:
        path, given = os.fspath(source), {}
    given = (given or {"workdir" if is_run(path) else "generated": path}) | options
    made = make_options(evaluate_command.Options, given)
    before = len(results.read(made.scores_file))
    with as_value_errors():
        evaluate_command.main(made, frozenset(given))
    return results.read(made.scores_file)[before:]


def _read(config: Config | str | os.PathLike, changes: dict) -> tuple[Config, frozenset[str]]:
    """The options to train with, and the names of those that were given."""
    if isinstance(config, Config):
        config = replace_options(config, changes)
        defaults = {field.name: field.default for field in dataclasses.fields(Config)}
        given = {name for name, default in defaults.items() if getattr(config, name) != default}
        return config, frozenset(given | changes.keys())
    path = os.fspath(config)
    if not os.path.isfile(path):
        raise ValueError(f"config={path}: no such file")
    check_names(Config, changes)
    flags = [f"--{name}={command_options.format_value(as_option(value))}" for name, value in changes.items()]
    with as_value_errors():
        return command_options.parse(Config, [f"--flagfile={path}", *flags])
