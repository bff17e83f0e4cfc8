"""A run's directory before training: the configuration to use, and the lock."""

import dataclasses
import os

from sagan_tf.data import kinds
from sagan_tf.runs import run_files, training_data
from sagan_tf.runs.config import AUTO, NO_DATASET, Config
from sagan_tf.runs.config.networks import NetworkOptions
from sagan_tf.system import files, options
from sagan_tf.system.errors import UserError, writing
from sagan_tf.system.run_directory import CONFIG_FILE, RunFiles, check_is_run, is_run

_COMPARED_BY_CONTENT = ("dataset", "split")  # options: the images count, not their place


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
    if not is_run(config.workdir):
        _check_is_new(config.workdir)
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
    if old.dataset == NO_DATASET:  # imported without a dataset: the first one that is named becomes the run's
        named = {"dataset": config.dataset, "split": config.split} if "dataset" in given else {}
        old = dataclasses.replace(old, **named)
    changed = {name: getattr(config, name) for name in given | {"workdir"}}
    if not config.decay_steps:  # the default: keep the step at which the run's rates reach 0
        changed.pop("decay_steps", None)
    for name in ("precision", "fast_forms"):
        if getattr(config, name) == AUTO:  # keep what `auto` became when the run began
            changed.pop(name, None)
    new = dataclasses.replace(old, **changed)
    if "best_metric" not in given:
        new = dataclasses.replace(new, best_metric=new.fitting_best_metric())
    options.check(new)
    changes = options.difference(old, new, ignored=_COMPARED_BY_CONTENT)
    if changes:
        raise _contradiction(config.workdir, changes)
    return new


def _like_its_source(config: Config, given: set[str]) -> Config:
    """The configuration with the networks of the run to begin with, where options do not say otherwise."""
    check_is_run(config.initialize_from, "initialize_from")
    old = run_files.read_config(config.initialize_from)
    names = {field.name for field in dataclasses.fields(NetworkOptions)} - set(given)
    config = dataclasses.replace(config, **{name: getattr(old, name) for name in names})
    config.check_networks()
    return config


def _check_is_new(workdir: str) -> None:
    """Raises UserError if a directory without a configuration holds checkpoints: they are of some run."""
    for folder in (run_files.checkpoints(workdir), run_files.best_checkpoints(workdir)):
        if steps := folder.steps():
            raise UserError(
                f"holds {len(steps)} checkpoints and no {CONFIG_FILE}, so what they are of is not known: put"
                " that file back, or name another directory for a new run",
                option="workdir",
                value=workdir,
            )


def check_images(config: Config, dataset) -> str:
    """What has changed in the images of the run in the workdir, for the user; "" if there is no run yet.

    Raises:
      UserError: the images contradict the run, see `training_data.compare`; or the workdir lies among them.
    """
    kinds.check_not_among_images("workdir", config.workdir, config.dataset)
    if not is_run(config.workdir):
        return ""
    old = run_files.read_config(config.workdir)
    if training_data.read(config.workdir) is None and old.dataset != NO_DATASET:
        # An earlier version began the run: only names tell.
        now = dataclasses.replace(old, dataset=config.dataset, split=config.split)
        if changes := options.difference(old, now):
            raise _contradiction(config.workdir, changes)
    return training_data.compare(config, dataset)


def _contradiction(workdir: str, changes: list[str]) -> UserError:
    return UserError(
        f"holds a run of another configuration ({'; '.join(changes)}); give the same flags to take it up, or"
        " another directory",
        option="workdir",
        value=workdir,
    )


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
        raise UserError("another process is training in it", option="workdir", value=workdir) from None
    return file
