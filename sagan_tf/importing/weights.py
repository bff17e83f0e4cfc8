"""From files of any source to the networks in them: arrays by name, Adam's moments, steps."""

import dataclasses
import os
import re
import typing

import tensorflow as tf

from sagan_tf.importing import names, npz_file, torch_file
from sagan_tf.importing.stored import Stored
from sagan_tf.system import files
from sagan_tf.system.errors import UserError

ROLES = ("generator", "ema", "discriminator")
_PREFIXES = {"generator": "generator", "generator_ema": "ema", "discriminator": "discriminator"}
# Names of PyTorch's buffers: what is in a state_dict and is no parameter of the optimizer.
_BUFFER = (
    r"(^|\.)(u\d+|sv\d+|stored_(mean|var)|accumulation_counter|running_(mean|var)|num_batches_tracked"
    r"|weight_[uv])$"
)
# First bytes of files that are not read, and what they are.
_FIRST_BYTES = (
    (b"\x89HDF\r\n", "an HDF5 file, as of Keras (.h5)"),
    (b"\x1f\x8b", "a compressed archive; unpack it first"),
    (b"<", "a web page: the download did not give the file"),
    (b"version https://git-lfs", "a pointer of Git LFS: the download did not give the file"),
)


class Adam(typing.NamedTuple):
    """An Adam's state: moments by the names of the variables that they belong to, and its settings."""

    first: dict[str, Stored]
    second: dict[str, Stored]
    step: int
    learning_rate: float
    betas: tuple[float, float]
    epsilon: float


@dataclasses.dataclass
class Weights:
    """What files hold.

    Attributes:
      source: key in `names.SOURCES`.
      is_source_given: whether the user said so, and names do not decide.
      networks: arrays by name, for some of `ROLES`.
      optimizers: for "generator" and "discriminator", where there are any.
      step: of the training; 0 if no file says.
      has_history: whether the files say how they were trained: then mmgeneration trained them itself.
      hashes: SHA-256 of every file, by its path.
    """

    source: str = ""
    is_source_given: bool = False
    networks: dict[str, dict[str, Stored]] = dataclasses.field(default_factory=dict)
    optimizers: dict[str, Adam] = dataclasses.field(default_factory=dict)
    step: int = 0
    has_history: bool = False
    hashes: dict[str, str] = dataclasses.field(default_factory=dict)


class Paths(typing.NamedTuple):
    """Files to read, "" for none: see the options of the command."""

    checkpoint: str
    ema: str = ""
    discriminator: str = ""
    generator_optimizer: str = ""
    discriminator_optimizer: str = ""
    state: str = ""

    @classmethod
    def of_folder(cls, folder: str, given: "Paths") -> "Paths":
        """BigGAN-PyTorch's folder: the newest of its saves; files that are `given` go first."""
        listed = os.listdir(folder)
        suffixes = {m[1] for name in listed if (m := re.fullmatch(r"G((?!_ema|_optim)(?:_\w+)?)\.pth", name))}
        if "" not in suffixes and len(suffixes) != 1:
            several = ", ".join(f"G{suffix}.pth" for suffix in sorted(suffixes))
            what = f"name one of its {several}" if suffixes else "it holds no G.pth"
            raise UserError(f"--checkpoint={folder}: {what}")
        suffix = "" if "" in suffixes else suffixes.pop()
        stems = ("G", "G_ema", "D", "G_optim", "D_optim", "state_dict")
        found = [
            os.path.join(folder, f"{stem}{suffix}.pth") if f"{stem}{suffix}.pth" in listed else ""
            for stem in stems
        ]
        return cls(found[0], *[own or other for own, other in zip(given[1:], found[1:], strict=True)])


def gather(paths: Paths, source: str = "") -> Weights:
    """Reads all files.

    Args:
      paths: where they are.
      source: key in `names.SOURCES`, if it is not to be recognized from the names.

    Raises:
      UserError: a file cannot be read, or is of no source that is known.
    """
    if os.path.isdir(paths.checkpoint) and any(n.endswith(".pth") for n in os.listdir(paths.checkpoint)):
        paths = Paths.of_folder(paths.checkpoint, paths)
    weights = Weights(source, is_source_given=bool(source))
    trees = {}
    for option, path in paths._asdict().items():
        if path:
            trees[option] = _load(path, "checkpoint" if option == "state" else option, weights.hashes)
    _take_networks(weights, trees["checkpoint"], paths.checkpoint, "generator")
    if "generator" not in weights.networks:
        if "ema" not in weights.networks:
            raise UserError(
                f"--checkpoint={paths.checkpoint}: holds a discriminator alone; a generator is needed"
            )
        weights.networks["generator"] = weights.networks["ema"]
    if paths.ema:
        weights.networks["ema"] = _single(weights, trees["ema"], paths.ema, "generator")
    if paths.discriminator:
        _take_networks(weights, trees["discriminator"], paths.discriminator, "discriminator")
    for role in ("generator", "discriminator"):
        if getattr(paths, f"{role}_optimizer"):
            weights.optimizers[role] = trees[f"{role}_optimizer"]
    if paths.state and isinstance(trees["state"], dict):
        weights.step = _whole(trees["state"].get("itr"))
    for role, tree in list(weights.optimizers.items()):
        path = getattr(paths, f"{role}_optimizer") or paths.checkpoint
        adam = _read_adam(tree, weights.networks.get(role, {}), path)
        weights.optimizers.pop(role)
        if adam is not None:
            weights.optimizers[role] = adam
            weights.step = weights.step or (adam.step if role == "generator" else 0)
    return weights


def _load(path: str, option: str, hashes: dict[str, str]):
    """What a file holds; its hash is noted, and compared with the one in its name."""
    try:
        if os.path.isfile(path):
            _check_start(path)
            hashes[path] = files.sha256(path)
            in_name = re.search(r"-(?!(?:19|20)\d{6}\.)([0-9a-f]{8})\.(pth|pt|npz)$", path)  # no date
            if in_name and not hashes[path].startswith(in_name[1]):
                raise UserError(
                    f"{path}: its SHA-256 begins with {hashes[path][:8]} and not with {in_name[1]}, as its"
                    " name says: the file is damaged or was changed"
                )
            return npz_file.read(path) if path.endswith(".npz") else torch_file.read(path)
        return _read_tensorflow(path, hashes)
    except UserError as error:
        if error.option:
            raise
        problem = str(error).removeprefix(f"{path}: ")
        raise UserError(problem, option=option, value=path) from error
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", option=option, value=path) from error


def _check_start(path: str) -> None:
    with open(path, "rb") as file:
        start = file.read(4096)
    if start[257:262] == b"ustar":
        raise UserError("seems to be a tar archive; unpack it first")
    if start[8:9] == b"{" and path.endswith(".safetensors"):
        raise UserError(f"seems to be a safetensors file, as of diffusers; {torch_file.READABLE}")
    if start.startswith(b"\x80") and (b"torch_utils" in start or b"dnnlib" in start):
        raise UserError(f"seems to be a pickle of StyleGAN, a program with weights; {torch_file.READABLE}")
    for first, what in _FIRST_BYTES:
        if start.startswith(first):
            raise UserError(f"seems to be {what}; {torch_file.READABLE}")


def _read_tensorflow(path: str, hashes: dict[str, str]) -> dict[str, Stored]:
    """A TensorFlow checkpoint by its prefix, or in an unpacked module of TF-Hub."""
    if os.path.isfile(os.path.join(path, "model_index.json")):
        raise UserError(f"seems to be a diffusion model of diffusers; {torch_file.READABLE}")
    if os.path.isfile(os.path.join(path, "variables", "variables.index")):
        path = os.path.join(path, "variables", "variables")
    if not tf.io.gfile.glob(f"{path}*"):
        raise UserError("no such file")
    try:
        reader = tf.train.load_checkpoint(path)
        shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    except Exception as error:  # the reader raises many types for a damaged checkpoint
        reason = str(getattr(error, "message", None) or error).strip().partition("\n")[0]
        raise UserError(f"cannot be read ({reason})") from error
    for file in sorted(tf.io.gfile.glob(f"{path}.data-*")):
        hashes[file] = files.sha256(file)
    return {
        name.removeprefix("module/"): Stored(tuple(shape), lambda name=name: reader.get_tensor(name))
        for name, shape in shapes.items()
        if types[name] != tf.string
    }


def _take_networks(weights: Weights, tree, path: str, option: str) -> None:
    """Adds a file's networks, optimizers and step."""
    found = _networks(weights, tree, path)
    for role, arrays in found.items():
        weights.networks.setdefault(role, arrays)
    optimizer = tree.get("optimizer")
    if isinstance(optimizer, dict):
        single = {} if len(found) != 1 else {next(iter(found)): optimizer}
        own = single if "param_groups" in optimizer else optimizer
        for role in ("generator", "discriminator"):
            if isinstance(own.get(role), dict):
                weights.optimizers.setdefault(role, own[role])
    meta = tree.get("meta")
    if isinstance(meta, dict):
        weights.has_history = True
        weights.step = weights.step or _whole(meta.get("iter"))
    weights.step = weights.step or _whole(tree.get("step"))
    if option == "discriminator" and "discriminator" not in found:
        raise UserError(f"--discriminator={path}: holds no discriminator")


def _whole(value) -> int:
    return value if isinstance(value, int) and 0 <= value < 2**40 else 0


def _networks(weights: Weights, tree, path: str) -> dict[str, dict[str, Stored]]:
    """The networks of a file by their roles. Sets the source if it is not known yet."""
    if not isinstance(tree, dict):
        raise UserError(f"{path}: holds no state_dict")
    state = tree["state_dict"] if isinstance(tree.get("state_dict"), dict) else tree
    arrays = {
        key: value for key, value in state.items() if isinstance(key, str) and isinstance(value, Stored)
    }
    groups = {}
    for key, value in arrays.items():
        prefix, _, rest = key.partition(".")
        role = _PREFIXES.get(prefix, "")
        key = rest if role else key
        groups.setdefault(role, {})[key.removeprefix("module.")] = value
    together = any(groups)  # a file of all networks; of other variables in it none belongs to them
    if together:
        groups.pop("", None)
    every = [key for group in groups.values() for key in group]
    key = _source_of(every, list(tree), weights.source if weights.is_source_given else "", path)
    if weights.source and key != weights.source:
        raise UserError(
            f"{path}: is of {names.SOURCES[key].title}, not of {names.SOURCES[weights.source].title}"
        )
    weights.source = key
    if together:
        weights.has_history = True
        return groups
    last = names.SOURCES[key].generator.top["last_conv"].format(last="")
    is_generator = any(name.startswith(last) for name in every)
    return {"generator" if is_generator else "discriminator": groups[""]}


def _source_of(keys: list[str], top: list, wanted: str, path: str) -> str:
    other = names.describe_other(keys) or names.describe_other(map(str, top))
    key = wanted or names.recognize(keys)
    if other:
        raise UserError(f"{path}: seems to be {other}, which this project does not have; {_sources()}")
    if key is None:
        some = ", ".join(sorted(keys)[:3]) or ", ".join(sorted(map(str, top))[:3]) or "nothing"
        raise UserError(f"{path}: is of no source that is known (it holds {some}); {_sources()}")
    return key


def _sources() -> str:
    return "read are " + ", ".join(source.title for source in names.SOURCES.values())


def _single(weights: Weights, tree, path: str, role: str) -> dict[str, Stored]:
    found = _networks(weights, tree, path)
    if role not in found:
        raise UserError(f"{path}: holds no {role}")
    return found[role]


def _read_adam(tree, arrays: dict[str, Stored], path: str) -> Adam | None:
    """An optimizer's moments by the names of the network's parameters, in the state_dict's order."""
    parameters = [key for key in arrays if not re.search(_BUFFER, key)]
    try:
        groups, state = tree["param_groups"], tree["state"]
        ids = [number for group in groups for number in group["params"]]
        if not state:
            return None
        if len(ids) != len(parameters):
            raise UserError(
                f"{path}: its optimizer is of {len(ids)} parameters, the network has {len(parameters)}"
            )
        entries = {key: state[number] for key, number in zip(parameters, ids, strict=True)}
        for key, entry in entries.items():
            if not entry["exp_avg"].shape == entry["exp_avg_sq"].shape == arrays[key].shape:
                raise UserError(f"{path}: its optimizer's moments of {key} have another shape")
        steps = {_step(entry["step"]) for entry in entries.values()}
        group = groups[0]
        return Adam(
            {key: entry["exp_avg"] for key, entry in entries.items()},
            {key: entry["exp_avg_sq"] for key, entry in entries.items()},
            max(steps),
            float(group["lr"]),
            tuple(map(float, group["betas"])),
            float(group["eps"]),
        )
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise UserError(f"{path}: its optimizer is no Adam, or is damaged") from error


def _step(value) -> int:
    return int(value.read("step")) if isinstance(value, Stored) else int(value)
