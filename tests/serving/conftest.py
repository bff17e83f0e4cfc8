"""Runs of untrained networks, and what the command `export` makes of them."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf import export
from sagan_tf.runs import objects, run_files
from sagan_tf.runs.config import Config
from sagan_tf.system import cli

CLASSES = ("zero", "one", "two | too", "three", "four")
CONFIG = Config(
    precision="float32",
    dataset="digits",
    image_size=32,
    z_dim=8,
    generator_channels=2,
    discriminator_channels=1,
    generator_attention=(16,),
    discriminator_attention=(),
    batch_size=4,
    train_steps=20,
    devices="cpu:1",
)


def make_run(workdir, **changes):
    """A run with one checkpoint, in which every variable is off its initial value."""
    workdir.mkdir()
    config = dataclasses.replace(CONFIG, workdir=str(workdir), **changes)
    run_files.write_description(config, CLASSES)
    state = objects.make_state(config, len(CLASSES), tf.distribute.get_strategy())
    random = np.random.default_rng(0)
    for variable in state.ema_generator.trainable_variables:
        variable.assign_add(0.2 * random.standard_normal(variable.shape))
    for variable in state.ema_generator.non_trainable_variables:
        if variable.name == "moving_mean":
            variable.assign(0.1 * random.standard_normal(variable.shape))
        if variable.name == "moving_variance":
            variable.assign(random.uniform(0.1, 0.5, variable.shape))
    run_files.checkpoints(str(workdir)).save(state.checkpoint(), 20)
    return str(workdir)


@pytest.fixture(scope="session")
def workdir(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "conditional")


@pytest.fixture(scope="session")
def unconditional_workdir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "unconditional"
    return make_run(directory, conditional=False, generator_attention=())


def run_export(*arguments):
    """The exit code of the command."""
    with pytest.raises(SystemExit) as stop:
        cli.run(export.main, export.Options, export.__doc__, program="sagan_tf.export", argv=arguments)
    return stop.value.code


@pytest.fixture(scope="session")
def model(workdir, tmp_path_factory):
    """The directory of an exported model with one version, 1."""
    directory = tmp_path_factory.mktemp("models") / "faces"
    flags = [f"--workdir={workdir}", f"--export_dir={directory}", "--warmup_batch_sizes=1,3"]
    assert run_export(*flags, "--license=CC0 1.0", "--intended_use=To be tested.") == 0
    return directory


@pytest.fixture(scope="session")
def unconditional_model(unconditional_workdir, tmp_path_factory):
    directory = tmp_path_factory.mktemp("models") / "textures"
    assert run_export(f"--workdir={unconditional_workdir}", f"--export_dir={directory}") == 0
    return directory
