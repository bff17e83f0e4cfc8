"""Makes a run of a checkpoint of the 2018 release (brain-research/self-attention-gan).

Width, classes and attention are read from the checkpoint. What it cannot tell, how training is to go on, is
set here, by the options of sagan_tf.train; defaults are the release's. --dry_run shows the configuration.
"""

import dataclasses
import os
import shutil

from sagan_tf.runs.config import Config
from sagan_tf.system import cli, files, runtime
from sagan_tf.system.errors import UserError
from sagan_tf.system.options import check as check_options
from sagan_tf.system.options import format_value, option, to_flagfile

_IMAGENET_CLASSES = 1000
# From so many updates on the decay of the moving averages is the constant one of the original.
_UPDATES = 100_000


@dataclasses.dataclass(frozen=True)
class _Source:
    checkpoint: str = option(
        "",
        "The checkpoint: its prefix (model.ckpt-1000000), its directory, or a .npz of arrays under the"
        " variables' names.",
        section="Import",
        is_path=True,
    )
    class_names: str = option(
        "",
        "File with the names of the classes, one a line, in the order of the labels; if empty they are"
        " numbers. Training takes the dataset's.",
        section="Import",
        is_path=True,
    )
    skip_surplus: bool = option(
        False, "Leave out variables that the release does not have, naming them.", section="Import"
    )


def _of_2018(name: str, default):
    """A run's option with the release's default."""
    return dataclasses.field(default=default, metadata=Config.__dataclass_fields__[name].metadata)


@dataclasses.dataclass(frozen=True)
class Options(Config, _Source):
    """Options of the command: the checkpoint, and those of a run."""

    dataset: str = _of_2018("dataset", "tfds:imagenet2012")
    beta2: float = _of_2018("beta2", 0.999)
    reuse_fakes: bool = _of_2018("reuse_fakes", False)
    sync_batch_norm: bool = _of_2018("sync_batch_norm", False)
    ema_decay: float = _of_2018("ema_decay", 0.0)

    def check(self) -> None:
        """Refuses what cannot work. Raises UserError."""
        if not self.checkpoint:
            raise UserError(
                "--checkpoint is missing: name what to import, e.g. --checkpoint=old/model.ckpt-1000000"
            )
        super().check()
        if self.workdir and os.path.lexists(self.workdir) and not self.dry_run:
            raise UserError(f"--workdir={self.workdir}: exists already; name another directory")


def main(options: Options, given) -> int:
    """Imports the checkpoint. Returns the exit code."""
    import tensorflow as tf

    from sagan_tf.importing import original_checkpoint
    from sagan_tf.runs import objects

    contents = original_checkpoint.read(options.checkpoint)
    found = original_checkpoint.architecture(contents)
    classes = found.pop("classes")
    config = _configure(options, given, found, classes, contents.numbers)
    names = _read_class_names(options.class_names, classes)
    if options.dry_run:
        print(to_flagfile(config), end="")
        return 0
    # Weights are float32 in every precision, and statistics are estimated as samples are drawn: in float32.
    in_float32 = dataclasses.replace(config, precision="float32")
    state = objects.make_state(in_float32, classes, tf.distribute.OneDeviceStrategy("CPU:0"))
    _fill(state, contents, config, options.skip_surplus)
    _write(config, names, state, contents.step)
    print(f"{config.workdir}: a run of {classes} classes at step {contents.step}; to train it further:")
    print(f"python -m sagan_tf.train --workdir={config.workdir} --dataset={config.dataset}")
    return 0


def _configure(options: Options, given, found: dict, classes: int, numbers: dict) -> Config:
    """The configuration of the run: what was found in the checkpoint, and for the rest the options."""
    from sagan_tf.runs import objects
    from sagan_tf.system.devices import device_names

    for name, value in found.items():
        asked = getattr(options, name)
        if name in given and asked != value:
            raise UserError(f"--{name}={format_value(asked)}: the checkpoint has {format_value(value)!r}")
    if "dataset" not in given and classes != _IMAGENET_CLASSES:
        raise UserError(
            f"--dataset is missing: the checkpoint has {classes} classes, so it is not ImageNet's; name the"
            " images to train on (they are not opened now), e.g. --dataset=folder:photos"
        )
    fields = {field.name: getattr(options, field.name) for field in dataclasses.fields(Config)}
    if "discriminator_steps" not in given and numbers.get("g_step") and "d_step" in numbers:
        fields["discriminator_steps"] = max(1, round(numbers["d_step"] / numbers["g_step"]))
    config = Config(**fields | found)
    check_options(config)
    return objects.resolve_speed(config, runtime.environment(device_names(config.devices)))


def _read_class_names(path: str, classes: int) -> list[str]:
    if not path:
        return [str(label) for label in range(classes)]
    try:
        with open(path, encoding="utf-8") as file:
            names = [line.strip() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--class_names={path}: cannot be read ({error})") from error
    names = names[: len(names) - (names[-1:] == [""])]
    if len(names) != classes or not all(names):
        raise UserError(f"--class_names={path}: has {len(names)} lines; the checkpoint has {classes} classes")
    return names


def _fill(state, contents, config: Config, skip_surplus: bool) -> None:
    """Sets the state of the run from the checkpoint."""
    from sagan_tf.importing import original, original_checkpoint

    players = {
        "g": (state.generator, state.generator_optimizer),
        "d": (state.discriminator, state.discriminator_optimizer),
    }
    variables = {}
    for network, optimizer in players.values():
        variables |= original.original_variables(network)
        if contents.holds("Adam", "Adam_1"):
            variables |= original.original_slots(network, optimizer)
    if not contents.holds("u"):
        print("the checkpoint has no u: computed from the weights")
        original_checkpoint.add_u(contents, variables)
    averaged = original_checkpoint.has_moving_averages(contents)
    if not averaged:
        moving = filter(original_checkpoint.is_moving_average, list(variables))
        variables = {name: variables[name] for name in variables.keys() - set(moving)}
    _check(original.compare(variables, contents.arrays), config, skip_surplus)
    original.assign(variables, contents.arrays)
    if contents.holds("Adam", "Adam_1"):
        for role, (_, optimizer) in players.items():
            optimizer.iterations.assign(original_checkpoint.adam_steps(contents, role, config.beta2))
    else:
        print("the checkpoint has no moments of Adam: they start at 0")
    if not averaged:
        _estimate_moving_averages(state.generator, config.seed)
    for variable in state.generator.variables:
        if variable.path.endswith("/updates"):
            variable.assign(_UPDATES)
    state.ema_generator.set_weights(state.generator.get_weights())
    state.step.assign(contents.step)


def _check(found, config: Config, skip_surplus: bool) -> None:
    """Lists every variable that is missing, surplus or misshapen. Raises UserError if there are such."""
    for kind, lines in found._asdict().items():
        for line in lines:
            print(f"{kind}: {line}")
    numbers = {kind: len(lines) for kind, lines in found._asdict().items() if lines}
    if skip_surplus:
        numbers.pop("surplus", None)
    if numbers:
        counts = ", ".join(f"{number} {kind}" for kind, number in numbers.items())
        advice = " (--skip_surplus leaves them out)" if list(numbers) == ["surplus"] else ""
        raise UserError(
            f"--checkpoint: its variables are not those of the release at {config.generator_channels} and"
            f" {config.discriminator_channels} channels: {counts}, listed above{advice}"
        )


def _estimate_moving_averages(generator, seed: int) -> None:
    """Averages the statistics of some batches, for checkpoints of the release's first version."""
    from tqdm import tqdm

    from sagan_tf.networks import batch_statistics

    batches, batch_size = batch_statistics.BATCHES, batch_statistics.BATCH_SIZE
    print(
        f"the checkpoint has no moving averages: estimated from {batches * batch_size:,} samples", flush=True
    )
    with tqdm(total=batches, unit="batch", disable=None) as bar:
        batch_statistics.estimate_statistics(
            generator,
            batch_statistics.random_inputs(generator, seed, batch_size),
            batches,
            lambda _: bar.update(),
        )


def _write(config: Config, class_names, state, step: int) -> None:
    """Writes the run's directory so that it is there whole or not at all."""
    import tensorflow as tf

    from sagan_tf.runs import run_files

    partial = f"{config.workdir.rstrip('/')}.partial-{os.getpid()}"
    try:
        os.makedirs(partial)
        run_files.checkpoints(partial).save(state.checkpoint(), step)
        run_files.write_description(config, class_names, partial)
        files.publish(partial, config.workdir)  # fails where somebody has put files in the meantime
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "message", None)
        raise UserError(f"--workdir={config.workdir}: cannot be written ({reason})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def console() -> None:
    """The command `sagan-import-original`."""
    cli.run(main, Options, __doc__, program="sagan_tf.import_original")


if __name__ == "__main__":
    console()
