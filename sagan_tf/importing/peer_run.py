"""Makes a run of another project's files: decides what no file says, sets the networks, writes the run."""

import dataclasses
import os
import re
import shlex
import typing

import keras
import tensorflow as tf

import sagan_tf
from sagan_tf.importing import matching, names, publishing, rewrites
from sagan_tf.importing.original import Differences
from sagan_tf.importing.weights import Adam, Weights
from sagan_tf.networks import batch_statistics
from sagan_tf.runs import objects
from sagan_tf.runs.config import NO_DATASET, Config
from sagan_tf.system import runtime
from sagan_tf.system.devices import device_names
from sagan_tf.system.errors import UserError, naming
from sagan_tf.system.options import check as check_options
from sagan_tf.system.options import format_value, to_flagfile
from sagan_tf.system.progress import Progress
from sagan_tf.training.state import State, named_variables

# Data sets that all sources number their classes like, by the number of classes and the size of images.
_DATASETS = {(1000, True): "tfds:imagenet2012", (10, False): "tfds:cifar10", (100, False): "tfds:cifar100"}
_IN_PLACE = r"(?<!wo)ReU?LU?inplace"


class Plan(typing.NamedTuple):
    """What is to be imported.

    Attributes:
      networks: of the source, by role.
      config: of the run.
      classes: how many there are.
      decisions: what no file says.
      lines: all of it for the user.
    """

    networks: dict[str, matching.SourceNetwork]
    config: Config
    classes: int
    decisions: matching.Decisions
    lines: list[str]

    @property
    def has_discriminator(self) -> bool:
        return "discriminator" in self.networks


def plan(options, given, weights: Weights) -> Plan:
    """Finds out what files hold, and decides what they do not say.

    Args:
      options: of the command.
      given: names of the options that the command line sets.
      weights: what the files hold.

    Raises:
      UserError: sizes contradict each other or the options.
    """
    with naming("checkpoint", options.checkpoint):
        networks = _networks(weights)
        found = _architecture(networks)
    classes = found.pop("classes")
    decisions, reasons = decide(options, weights, networks["generator"])
    shortcut, why = _shortcut(options, given, weights, found["image_size"])
    found["discriminator_shortcut"] = shortcut
    lines = [f"source: {names.SOURCES[weights.source].title}", *reasons]
    lines += [f"discriminator's shortcut: {shortcut} ({why})"] if "discriminator" in networks else []
    lines += [f"SHA-256 of {os.path.basename(path)}: {digest}" for path, digest in weights.hashes.items()]
    return Plan(networks, _configure(options, given, found, classes, weights), classes, decisions, lines)


def import_weights(options, given, weights: Weights) -> int:
    """Imports what was read: see `plan`. Returns the exit code.

    Raises:
      UserError: as `plan`; or variables are missing, surplus or misshapen. Nothing has been written then.
    """
    planned = plan(options, given, weights)
    config, classes = planned.config, planned.classes
    class_names = publishing.read_class_names(options.class_names, classes)
    for line in planned.lines:
        print(f"# {line}")
    state = _make_state(config, classes, planned.has_discriminator)
    notes = _fill(state, planned, weights, options)
    if options.dry_run:
        print(to_flagfile(config), end="")
        return 0
    if options.estimate_statistics:
        _estimate_statistics(state, planned.decisions.epsilon, config.seed)
    record = {
        "source": weights.source,
        "files": weights.hashes,
        "decisions": planned.lines,
        "notes": notes,
        "discriminator": planned.has_discriminator,
        "batch_statistics": "estimated" if options.estimate_statistics else "the source's",
        "sagan_tf": sagan_tf.__version__,
    }
    state.step.assign(weights.step)
    publishing.write(config, class_names, _checkpoint(state), weights.step, record)
    _say_what_next(config, classes, weights.step, planned.has_discriminator)
    return 0


def _say_what_next(config: Config, classes: int, step: int, has_discriminator: bool) -> None:
    print(f"{config.workdir}: a run of {classes} classes at step {step}; to look at it:")
    place = shlex.quote(config.workdir)
    print(f"python -m sagan_tf.sample --workdir={place}")
    if not has_discriminator:
        print("there is no discriminator: it cannot be trained further, but another run can begin with it:")
        print(f"python -m sagan_tf.train --initialize_from={place} --workdir=... --dataset=...")


def _networks(weights: Weights) -> dict[str, matching.SourceNetwork]:
    source = names.SOURCES[weights.source]
    networks = {}
    for role, arrays in weights.networks.items():
        layers = source.discriminator if role == "discriminator" else source.generator
        if layers is None:
            raise UserError(f"of {source.title} none is read", option="discriminator")
        networks[role] = matching.SourceNetwork(source, layers, arrays)
        if not networks[role].blocks:
            raise UserError(f"its {role} has no blocks as {source.title} has them")
    return networks


def _architecture(networks: dict[str, matching.SourceNetwork]) -> dict:
    """Options of a run that the shapes tell, and `classes`."""
    found = matching.generator_architecture(networks["generator"]) | {"discriminator_attention": ()}
    if "discriminator" in networks:
        of_d = matching.discriminator_architecture(networks["discriminator"])
        for name in ("image_size", "classes"):
            if of_d[name] != found[name]:
                problem = f"its {name} is {of_d[name]}, the generator's is {found[name]}"
                raise UserError(problem, option="discriminator")
        found |= of_d
    return found | {
        "attention_form": "original",
        "attention_key_ratio": 8,
        "class_conditioning": "projection",
        "conditional": True,
    }


def decide(
    options, weights: Weights, generator: matching.SourceNetwork
) -> tuple[matching.Decisions, list[str]]:
    """What no file says, by option, source and file name; and a line about each, with the reason."""
    source, name = generator.source, os.path.basename(options.checkpoint)
    order, why = options.channel_order, "--channel_order"
    if order == "auto":
        order, why = _channel_order(weights, name)
    epsilon, epsilon_why = options.batch_norm_epsilon, "--batch_norm_epsilon"
    if not epsilon:
        epsilon, epsilon_why = _epsilon(weights, generator)
    lines = [
        f"image channels: {order} ({why}; --channel_order overrides)",
        f"batch norm's epsilon: {epsilon:g} ({epsilon_why}; --batch_norm_epsilon overrides)",
    ]
    offset, mean = source.offset, _mean_gain(generator)
    if mean is not None:
        if options.gain_offset != "auto":
            offset = float(options.gain_offset)
        elif abs(mean + offset - 1.0) > 0.5:
            raise UserError(
                f"--gain_offset is missing: {source.title} adds {offset:g} to the gains of batch norm, but"
                f" these have a mean of {mean:.2f} without it; give 1 if it is to be added, otherwise 0"
            )
        lines.append(f"gains of batch norm: {offset:g} is added to tables of mean {mean:.3f} (--gain_offset)")
    if weights.source == "ivclab":
        lines.append(f"batch statistics: those of truncation {options.truncation:g} (--truncation)")
    elif options.truncation != 1.0:
        raise UserError(
            f"--truncation={options.truncation:g}: {source.title} has one set of batch statistics"
        )
    return matching.Decisions(order, epsilon, offset, options.truncation), lines


def _channel_order(weights: Weights, name: str) -> tuple[str, str]:
    """mmgeneration's own trainings read images as BGR; what it converted from others is RGB."""
    if not weights.source.startswith("mmgeneration"):
        return "rgb", "as all files of this source"
    if re.search("rgb|cvt|convert", name):
        return "rgb", "by the file's name, converted from another project"
    if weights.has_history or re.search(r"_\d{8}_\d{6}-[0-9a-f]{8}\.", name):
        return "bgr", "mmgeneration's own trainings are"
    return "rgb", "a bare state_dict that does not say where it was trained"


def _epsilon(weights: Weights, generator: matching.SourceNetwork) -> tuple[float, str]:
    source = generator.source
    if weights.source == "mmgeneration_sagan":
        first = source.join(generator.blocks[0], generator.layers.block["norm_1"])
        gain = generator.kernel(generator.projection(first, "gain"))
        if generator.is_normalized("dense") and not gain.endswith("weight_orig"):
            return 1e-5, "the recipe whose tables have no spectral normalization"
    return source.epsilon, "as this source"


def _mean_gain(generator: matching.SourceNetwork) -> float | None:
    """The mean of all gains that are tables, as they are stored; None where they are not."""
    if generator.top("embedding") and generator.kernel(generator.top("embedding")) in generator.arrays:
        return None
    tables = []
    for block in generator.blocks:
        for norm in ("norm_1", "norm_2"):
            module = generator.source.join(block, generator.layers.block[norm])
            key = generator.kernel(generator.projection(module, "gain"))
            if key in generator.arrays:
                tables.append(generator.arrays[key].read(key))
    total = sum(table.size for table in tables)
    return float(sum(table.sum(dtype="float64") for table in tables) / total) if total else None


def _shortcut(options, given, weights: Weights, image_size: int) -> tuple[str, str]:
    """Whether D's shortcuts start from the activated input."""
    name = os.path.basename(options.discriminator or options.checkpoint)
    if "discriminator_shortcut" in given:
        return options.discriminator_shortcut, "--discriminator_shortcut"
    overrides = "; --discriminator_shortcut overrides"
    if weights.source == "mmgeneration_biggan":
        raw = "cvt_BigGAN-PyTorch" in name or image_size == 32
        return ("raw" if raw else "activated"), f"as this source's files of {image_size} pixels" + overrides
    if weights.source == "mmgeneration_sagan":
        without = re.search(r"wo_?Re(L)?Uinplace", name, re.IGNORECASE)
        activated = not without and ("inplace" in name or "convert-studio" in name)
        return ("activated" if activated else "raw"), "by the file's name" + overrides
    activated = names.SOURCES[weights.source].activated_shortcut
    return ("activated" if activated else "raw"), "as this source" + overrides


def _configure(options, given, found: dict, classes: int, weights: Weights) -> Config:
    """The configuration of the run: what the files tell, and for the rest the options."""
    for name, value in found.items():
        asked = getattr(options, name)
        if name in given and asked != value:
            raise UserError(f"--{name}={format_value(asked)}: the files have {format_value(value)!r}")
    fields = {field.name: getattr(options, field.name) for field in dataclasses.fields(Config)}
    known = _training(weights)
    if "dataset" not in given:
        known["dataset"] = _DATASETS.get((classes, found["image_size"] > 32), NO_DATASET)
    known = {name: value for name, value in known.items() if name not in given}
    config = Config(**fields | known | found)
    check_options(config)
    return objects.resolve_speed(config, runtime.environment(device_names(config.devices)))


def _training(weights: Weights) -> dict:
    """Options of training that the optimizers tell."""
    known = {}
    for role, adam in weights.optimizers.items():
        known[f"{role}_learning_rate"] = adam.learning_rate
        known |= {"beta1": adam.betas[0], "beta2": adam.betas[1], "adam_epsilon": adam.epsilon}
    steps = {role: adam.step for role, adam in weights.optimizers.items()}
    if steps.get("generator") and "discriminator" in steps:
        known["discriminator_steps"] = max(1, round(steps["discriminator"] / steps["generator"]))
    return known


class _GeneratorState:
    """A `State` without a discriminator."""

    def __init__(self, generator):
        self.generator, self.ema_generator = generator, generator.copy(name="ema_generator")
        self.discriminator = None
        self.step, self.restores = (tf.Variable(0, dtype=tf.int64) for _ in range(2))


def _make_state(config: Config, classes: int, has_discriminator: bool):
    # Weights are float32 in every precision, and statistics are estimated as samples are drawn: in float32.
    config = dataclasses.replace(config, precision="float32")
    if has_discriminator:
        return objects.make_state(config, classes, tf.distribute.OneDeviceStrategy("CPU:0"))
    keras.utils.set_random_seed(config.seed)
    return _GeneratorState(objects.make_generator(config, classes))


def _checkpoint(state) -> tf.train.Checkpoint:
    if isinstance(state, State):
        return state.checkpoint()
    return tf.train.Checkpoint(
        step=state.step,
        restores=state.restores,
        generator=named_variables(state.generator),
        ema_generator=named_variables(state.ema_generator),
    )


def _fill(state, planned: Plan, weights: Weights, options) -> list[str]:
    """Sets the networks and their optimizers. Returns what the user should know, which is printed too."""
    targets = {"generator": state.generator, "ema": state.ema_generator, "discriminator": state.discriminator}
    matchings = {
        role: matching.Matching(network, targets[role], planned.decisions)
        for role, network in planned.networks.items()
    }
    found = [match.differences() for match in matchings.values()]
    together = Differences(*(list(dict.fromkeys(sum(kind, []))) for kind in zip(*found, strict=True)))
    whose = f"{names.SOURCES[weights.source].title} in this size"
    publishing.check(together, whose, options.skip_surplus)
    notes = []
    for role, match in matchings.items():
        with naming("checkpoint", options.checkpoint):
            match.assign()
        notes += match.notes
        if role in weights.optimizers:
            optimizer = getattr(state, f"{role}_optimizer", None)
            notes += _set_moments(optimizer, targets[role], match, weights.optimizers[role])
        elif role != "ema" and state.discriminator is not None:
            notes.append(f"there are no moments of the {role}'s Adam: they start at 0")
    if "ema" not in planned.networks:
        state.ema_generator.set_weights(state.generator.get_weights())
        notes.append("there is no average of the generator's weights: it starts as the weights")
    for note in notes:
        print(f"# {note}")
    return notes


def _set_moments(optimizer, network, match: matching.Matching, adam: Adam) -> list[str]:
    """Sets Adam's moments where they are those of a variable here."""
    if optimizer is None:
        return []
    takes, left = {take.variable.path: take for take in match.takes}, []
    slots = zip(network.trainable_variables, optimizer._momentums, optimizer._velocities, strict=True)
    for variable, first, second in slots:
        take = takes[variable.path]
        if not take.moments or take.key not in adam.first:
            left.append(variable.path)
            continue
        first.assign(take.lay_out(adam.first[take.key].read(take.key)))
        second.assign(take.lay_out(adam.second[take.key].read(take.key)))
    optimizer.iterations.assign(adam.step)
    return [f"moments of {path} start at 0: it was spectrally normalized" for path in left]


def _estimate_statistics(state, epsilon: float, seed: int) -> None:
    """Batch statistics anew, from samples of these weights ('standing statistics')."""
    total = batch_statistics.BATCHES
    for network, name in ((state.generator, "weights"), (state.ema_generator, "average of the weights")):
        draw = batch_statistics.random_inputs(network, seed, batch_statistics.BATCH_SIZE)
        with Progress(f"batches, {name}", total) as progress:
            batch_statistics.estimate_statistics(network, draw, total, progress)
        for variable in network.variables:
            if variable.path.endswith("/moving_variance"):
                variable.assign_add(
                    [epsilon - rewrites.BATCH_NORM_EPSILON] * int(variable.shape[0])  # as the source adds it
                )
