"""A run's directory before training: the configuration to use, and the lock."""

import dataclasses
import os

from sagan_tf.runs import run_files
from sagan_tf.runs.config import AUTO, NO_DATASET, Config
from sagan_tf.runs.config.networks import NetworkOptions
from sagan_tf.system import files, options
from sagan_tf.system.errors import UserError, writing
from sagan_tf.system.run_directory import RunFiles


def resolve(config: Config, given: set[str]) -> Config:
    """The configuration to train with.

    In a new workdir this is `config`. In the workdir of a run it is the configuration of that run, with the
    options that were given and may change.

    Args:
      config: options of the command line.
      given: names of the options that the command line sets.

    Raises:
      UserError: `config` makes no sense, or contradicts the run.
    """
    if not os.path.isfile(RunFiles(config.workdir).config):
        config = _like_its_source(config, given) if config.initialize_from else config
        config.check_new_run()
        return config.with_decay_steps()
    old = run_files.read_config(config.workdir)
    if not run_files.has_discriminator(config.workdir):
        raise UserError(
            f"--workdir={config.workdir}: an imported run without a discriminator, which cannot be trained"
            f" further; begin another run with its generator: --initialize_from={config.workdir} and another"
            " --workdir"
        )
    if old.dataset == NO_DATASET:  # imported without one: the first that is named is the run's
        named = {"dataset": config.dataset, "split": config.split} if "dataset" in given else {}
        old = dataclasses.replace(old, **named)
    changed = {name: getattr(config, name) for name in given | {"workdir"}}
    if not config.decay_steps:  # the default: keep where the rates of the run fall to 0
        changed.pop("decay_steps", None)
    for name in ("precision", "fast_forms"):
        if getattr(config, name) == AUTO:  # keep what `auto` became when the run began
            changed.pop(name, None)
    new = dataclasses.replace(old, **changed)
    options.check(new)
    changes = options.difference(old, new)
    if changes:
        raise UserError(
            f"--workdir={config.workdir}: holds a run of another configuration ({'; '.join(changes)});"
            " give the same flags to take it up, or another --workdir"
        )
    return new


def _like_its_source(config: Config, given: set[str]) -> Config:
    """The configuration with the networks of the run to begin with, where options do not say otherwise."""
    if not os.path.isfile(RunFiles(config.initialize_from).config):
        raise UserError(f"--initialize_from={config.initialize_from}: holds no run")
    old = run_files.read_config(config.initialize_from)
    names = {field.name for field in dataclasses.fields(NetworkOptions)} - set(given)
    config = dataclasses.replace(config, **{name: getattr(old, name) for name in names})
    config.check_networks()
    return config


def lock(workdir: str):
    """Makes the workdir and locks it against a second trainer.

    Returns:
      An open file. Closing it unlocks the workdir.

    Raises:
      UserError: the workdir cannot be written, or another process trains in it.
    """
    with writing("workdir", workdir):
        os.makedirs(workdir, exist_ok=True)
        file = open(RunFiles(workdir).lock, "w")
    try:
        files.lock(file)
    except BlockingIOError:
        file.close()
        raise UserError(f"--workdir={workdir}: another process is training in it") from None
    return file
