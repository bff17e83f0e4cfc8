"""A run that begins with another run's weights: which variables, and how classes become other classes."""

import re
import typing

import numpy as np

from sagan_tf.runs import restoring
from sagan_tf.runs.config import Config
from sagan_tf.system.errors import UserError
from sagan_tf.training.state import State

# Variables with an axis of classes, by their paths below the network, and that axis.
_CLASS_AXES = (
    (r"block_\d+/norm_[12]/(gain|bias)", 0),
    (r"embedding/kernel", 0),
    (r"classifier/(kernel|u)", 1),
    (r"classifier/bias", 0),
)
_LISTED = 20  # how many classes get a line of their own


def begin(config: Config, state: State, class_names: typing.Sequence[str], report=print) -> None:
    """Sets the networks from the newest checkpoint of `config.initialize_from`; optimizers stay new.

    Variables of the same path and shape are taken. Those with an axis of classes are mixed by
    `class_weights`. All others keep their initial values. What was taken and what was not is reported.

    Raises:
      UserError: the other run cannot be read, or has not the blocks of the discriminator that are to be
        frozen; or the class map names classes that are not there.
    """
    old = _restore(config, "latest", ema=False)
    weights = class_weights(old.class_names, class_names, config.class_map)
    report(f"beginning with {config.initialize_from} at step {old.step}:")
    average = _restore(config, str(old.step), ema=True).generator
    networks = [
        ("generator", old.generator, state.generator),
        ("average of the generator", average, state.ema_generator),
    ]
    if old.discriminator is None:
        if config.freeze_discriminator_blocks:
            raise UserError(
                f"--freeze_discriminator_blocks={config.freeze_discriminator_blocks}:"
                f" {config.initialize_from} has no discriminator, so this one's blocks are new and must learn"
            )
        report("discriminator: that run has none, this one's is new")
    else:
        networks.append(("discriminator", old.discriminator, state.discriminator))
    for name, source, target in networks:
        left, lines = _take(name, source, target, weights)
        if target is state.discriminator:
            _check_frozen(config, target, left)
        for line in lines:
            report(line)
    as_they_were = list(old.class_names) == list(class_names) and _is_identity(weights)
    if state.generator.classes and not as_they_were:
        for line in _describe(weights, old.class_names, class_names):
            report(line)


def _check_frozen(config: Config, discriminator, left: list[str]) -> None:
    """Raises UserError if variables that were not taken cannot learn."""
    fixed = {_below(variable) for variable in discriminator.non_trainable_variables}
    new = [path for path in left if path in fixed and not path.endswith("/u")]
    if new:
        raise UserError(
            f"--freeze_discriminator_blocks={config.freeze_discriminator_blocks}: {len(new)} variables of"
            f" these blocks, as {new[0]}, are not in {config.initialize_from}, or of another shape there, so"
            " they are new and must learn"
        )


def _restore(config: Config, checkpoint: str, ema: bool) -> restoring.Run:
    try:
        return restoring.restore(config.initialize_from, checkpoint, ema)
    except UserError as error:
        raise UserError(f"--initialize_from={config.initialize_from}: {_reason(error)}") from error


def _reason(error: UserError) -> str:
    return re.sub(r"^--workdir=.*?: ", "", str(error))


def class_weights(old: typing.Sequence[str], new: typing.Sequence[str], path: str = "") -> np.ndarray:
    """How much of each old class goes into each new class: float32 (new, old); rows sum to 1.

    Args:
      old, new: names of the classes.
      path: of the class map, see --class_map. Without one, a class begins as the old one of the same name,
        or as the mean of all old ones. Where the names tell nothing (none is in both lists, or another
        number of classes has numbers for names), as many classes keep their order, and others are the mean.

    Raises:
      UserError: the map cannot be read, or names a class that is not there.
    """
    if path:
        return _from_map(list(old), list(new), path)
    mean = np.full(len(old), 1 / len(old), np.float32)
    rows = np.eye(len(old), dtype=np.float32)
    if _names_tell(old, new):
        by_name = dict(zip(old, rows, strict=True))
        return np.stack([by_name.get(name, mean) for name in new])
    return rows if len(old) == len(new) else np.tile(mean, (len(new), 1))


def _names_tell(old: typing.Sequence[str], new: typing.Sequence[str]) -> bool:
    """Whether a name that is in both lists is the same class in both.

    Labels in the place of names (0, 1, 2, ...) tell nothing about another number of classes.
    """
    is_unnamed = any(list(names) == list(map(str, range(len(names)))) for names in (old, new))
    return bool({*old} & {*new}) and len({*old}) == len(old) and (len(old) == len(new) or not is_unnamed)


def _from_map(old: list[str], new: list[str], path: str) -> np.ndarray:
    weights = np.zeros((len(new), len(old)), np.float32)
    for number, line in enumerate(_lines(path), 1):
        if not line:
            continue
        ours, equals, theirs = (part.strip() for part in line.partition("="))
        for name, known, whose in ((ours, new, "this run's data"), (theirs, old, "the other run")):
            if not equals or name not in known:
                some = ", ".join(known[:5]) + (", ..." if len(known) > 5 else "")
                problem = f"{name!r} is no class of {whose} (it has {some})" if equals else "has no ="
                raise UserError(f"--class_map={path}: line {number}: {problem}")
        weights[new.index(ours), old.index(theirs)] = 1.0
    sums = weights.sum(axis=1, keepdims=True)
    return np.where(sums > 0, weights / np.maximum(sums, 1.0), np.float32(1 / len(old)))


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            return [line.strip() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--class_map={path}: cannot be read ({error})") from error


def _is_identity(weights: np.ndarray) -> bool:
    return weights.shape[0] == weights.shape[1] and bool((weights == np.eye(len(weights))).all())


def _take(name: str, source, target, weights: np.ndarray) -> tuple[list[str], list[str]]:
    """Sets the variables of `target`. Returns the paths of those not taken, and lines for the user."""
    theirs = {_below(variable): variable.numpy() for variable in source.variables}
    same, mixed, left = 0, 0, []
    identity = _is_identity(weights)
    for variable in target.variables:
        path = _below(variable)
        value = theirs.get(path)
        axis = None if identity or not target.classes else _class_axis(path, variable.shape)
        if value is not None and axis is not None and value.shape[axis] == weights.shape[1]:
            value = np.moveaxis(np.tensordot(weights, value, axes=(1, axis)), 0, axis)
            mixed += value.shape == tuple(variable.shape)
        elif value is not None and path == "embedding/u" and not identity:
            value = None  # of the mixed embedding, set below
            mixed += 1
        elif value is not None:
            same += value.shape == tuple(variable.shape)
        if value is not None and value.shape == tuple(variable.shape):
            variable.assign(value)
        elif path != "embedding/u":
            left.append(path)
    _set_u_of_embedding(target, left, identity)
    lines = [f"{name}: {same} variables as they are, {mixed} by class, {len(left)} not taken"]
    for path in left:
        there = f"shape {theirs[path].shape} there" if path in theirs else "not there"
        lines.append(f"  not taken: {path} ({there})")
    return left, lines


def _set_u_of_embedding(network, left: list[str], identity: bool) -> None:
    """D's embedding of other classes gets the u that power iterations would lead to."""
    embedding = getattr(network, "embedding", None)
    if identity or "embedding/kernel" in left or getattr(embedding, "u", None) is None:
        return
    vectors = np.linalg.svd(embedding.kernel.numpy(), full_matrices=False)[0]  # (classes, k)
    embedding.u.assign(vectors[:, :1].T)


def _class_axis(path: str, shape) -> int | None:
    for pattern, axis in _CLASS_AXES:
        if re.fullmatch(pattern, path) and len(shape) > axis:
            is_vector_of_unconditional = path.startswith("block_") and len(shape) < 2
            return None if is_vector_of_unconditional else axis
    return None


def _describe(weights: np.ndarray, old, new) -> typing.Iterator[str]:
    """Lines that say what each class of `new` begins as."""
    averaged, same, others = [], 0, []
    for row, name in zip(weights, new, strict=True):
        begins_as = [old[index] for index in np.flatnonzero(row)]
        if (row > 0).all() and len(old) > 1:
            averaged.append(name)
        elif begins_as == [name]:
            same += 1
        else:
            others.append(f"class {name} begins as {', '.join(begins_as)}")
    yield from others[:_LISTED]
    if others[_LISTED:]:
        yield f"... and {len(others) - _LISTED} classes more"
    if same:
        yield f"of the same name: {same} of {len(new)} classes begin as they are"
    if averaged:
        yield f"{len(averaged)} classes begin as the mean of all {len(old)}: {', '.join(averaged[:10])}" + (
            ", ..." if len(averaged) > 10 else ""
        )


def _below(variable) -> str:
    """A variable's path below its network's name."""
    return variable.path.partition("/")[2]
