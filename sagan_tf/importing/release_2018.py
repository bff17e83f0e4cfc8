"""A checkpoint of the 2018 release (brain-research/self-attention-gan) becomes a run."""

import dataclasses
import shlex

from sagan_tf.runs.config import Config
from sagan_tf.system import runtime
from sagan_tf.system.errors import UserError
from sagan_tf.system.options import check as check_options
from sagan_tf.system.options import format_value, to_flagfile

# The release's training options, which no checkpoint holds.
DEFAULTS = {
    "dataset": "tfds:imagenet2012",
    "beta2": 0.999,
    "reuse_fakes": False,
    "sync_batch_norm": False,
    "ema_decay": 0.0,
}
_IMAGENET_CLASSES = 1000
# After so many updates the decay of the moving averages is constant, as the original's.
_UPDATES = 100_000


def import_release(options, given) -> int:
    """Imports a checkpoint.

    Args:
      options: of the command: those of a run, `checkpoint`, `class_names` and `skip_surplus`.
      given: names of the options that the command line sets.

    Returns: the exit code.
    """
    import tensorflow as tf

    from sagan_tf.importing import original_checkpoint, publishing
    from sagan_tf.runs import objects

    contents = original_checkpoint.read(options.checkpoint)
    found = original_checkpoint.architecture(contents)
    classes = found.pop("classes")
    config = configure(options, given, found, classes, contents.numbers)
    names = publishing.read_class_names(options.class_names, classes)
    if options.dry_run:
        print(to_flagfile(config), end="")
        return 0
    # Weights are float32 in every precision, and statistics are estimated as samples are drawn: in float32.
    in_float32 = dataclasses.replace(config, precision="float32")
    state = objects.make_state(in_float32, classes, tf.distribute.OneDeviceStrategy("CPU:0"))
    _fill(state, contents, config, options.skip_surplus)
    publishing.write(config, names, state.checkpoint(), contents.step)
    print(f"{config.workdir}: a run of {classes} classes at step {contents.step}; to train it further:")
    flags = f"--workdir={shlex.quote(config.workdir)} --dataset={shlex.quote(config.dataset)}"
    print(f"python -m sagan_tf.train {flags}")
    return 0


def configure(options, given, found: dict, classes: int, numbers: dict) -> Config:
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


def _fill(state, contents, config: Config, skip_surplus: bool) -> None:
    """Sets the state of the run from the checkpoint."""
    from sagan_tf.importing import original, original_checkpoint, publishing

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
    whose = f"the release at {config.generator_channels} and {config.discriminator_channels} channels"
    publishing.check(original.compare(variables, contents.arrays), whose, skip_surplus)
    original.assign(variables, contents.arrays)
    if contents.holds("Adam", "Adam_1"):
        for role, (_, optimizer) in players.items():
            optimizer.iterations.assign(original_checkpoint.adam_steps(contents, role, config.beta2))
    else:
        print("the checkpoint has no moments of Adam: they start at 0")
    if not averaged:
        estimate_moving_averages(state.generator, config.seed)
    for variable in state.generator.variables:
        if variable.path.endswith("/updates"):
            variable.assign(_UPDATES)
    state.ema_generator.set_weights(state.generator.get_weights())
    state.step.assign(contents.step)


def estimate_moving_averages(generator, seed: int) -> None:
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
