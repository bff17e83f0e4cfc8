"""Reading checkpoints of the original release (brain-research/self-attention-gan, 2018).

`train_imagenet.py` of the release saves all variables of its graph, in TensorFlow 1's format: the
networks' (`model/g_...`, `model/d_...`; `model/Generator/g_...` in its first version), Adam's moments
beside them (`.../Adam` is m, `.../Adam_1` is v), the powers of Adam's betas (of D; of G with `_1`
appended) and three counters. There is no average of weights.
"""

import math
import os
import re
import typing
import zipfile

import numpy as np
import tensorflow as tf

from sagan_tf.importing import npz_file, original
from sagan_tf.system.errors import UserError

_COUNTERS = ("global_step", "d_step", "g_step")
_BETA2_POWER = {"d": "beta2_power", "g": "beta2_power_1"}
_POWERS = ("beta1_power", "beta1_power_1", *_BETA2_POWER.values())
# Resolution of the feature map that has so many times the base channels.
_RESOLUTIONS = {"g": {16: 8, 8: 16, 4: 32, 2: 64, 1: 128}, "d": {1: 64, 2: 32, 4: 16, 8: 8, 16: 4}}
_MOVING = ("mean", "var", "moving_mean", "moving_variance")
_FILE_ENDINGS = (".index", ".meta", ".data-00000-of-00001")
# A smaller product of float32 betas no longer tells how many there are.
_SMALLEST_POWER = 1e-30


class Contents(typing.NamedTuple):
    """What a checkpoint holds.

    `arrays` are the networks' variables and Adam's moments by their names below the model's scope,
    and whatever else there is; `numbers` the counters and the powers of Adam's betas.
    """

    arrays: dict[str, np.ndarray]
    numbers: dict[str, float]

    @property
    def step(self) -> int:
        """The step of the run; 0 if the checkpoint does not say."""
        return int(self.numbers.get("global_step", self.numbers.get("g_step", 0)))

    def holds(self, *leaves: str) -> bool:
        """Whether there is any variable whose name ends with one of these parts."""
        return any(name.rpartition("/")[2] in leaves for name in self.arrays)


def read(path: str) -> Contents:
    """Reads a checkpoint.

    Args:
      path: the prefix of a TensorFlow checkpoint, any of its files, the directory that it lies in, or a
        .npz of arrays under the variables' names. If some names there begin with `w:`, the others are left.

    Raises:
      UserError: it cannot be read, two variables have one name, or values are not finite.
    """
    named = _read_npz(path) if path.endswith(".npz") else _read_tensorflow(path)
    arrays, numbers = {}, {}
    for name, array in named.items():
        name = name.removesuffix(":0")
        leaf = name.rpartition("/")[2]
        if leaf in _COUNTERS + _POWERS and array.size == 1:
            numbers[leaf] = float(np.ravel(array)[0])
            continue
        short = original.strip_scope(name)
        if short in arrays:
            raise UserError(f"--checkpoint={path}: holds {short} twice, in different scopes")
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise UserError(f"--checkpoint={path}: {name} holds values that are not finite")
        arrays[short] = array
    return Contents(arrays, numbers)


def is_release(path: str) -> bool:
    """Whether a path is that of a TensorFlow checkpoint or .npz with the release's names."""
    try:
        named = _names_in_npz(path) if path.endswith(".npz") else _names_in_tensorflow(path)
    except Exception:  # a missing or other file: reading it says what is wrong
        return False
    return any(re.match(r"g_(sn)?h0/", original.strip_scope(name.removeprefix("w:"))) for name in named)


def _names_in_npz(path: str):
    with zipfile.ZipFile(path) as file:
        return file.namelist()


def _names_in_tensorflow(path: str):
    if os.path.isfile(path) and not path.endswith(_FILE_ENDINGS):
        return ()
    for ending in _FILE_ENDINGS:
        path = path.removesuffix(ending)
    return tf.train.load_checkpoint(path).get_variable_to_dtype_map()


def _read_npz(path: str) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            marked = [name for name in file.files if name.startswith("w:")]
            return {name.removeprefix("w:"): file[name] for name in marked or file.files}
    except npz_file.FAILURES as error:
        raise UserError(f"--checkpoint={path}: cannot be read ({_one_line(error)})") from error


def _read_tensorflow(path: str) -> dict[str, np.ndarray]:
    for ending in _FILE_ENDINGS:
        path = path.removesuffix(ending)
    if not os.path.isdir(path) and not tf.io.gfile.glob(f"{path}*"):
        raise UserError(f"--checkpoint={path}: no such checkpoint{_list_checkpoints(path)}")
    try:
        reader = tf.train.load_checkpoint(path)
        types = reader.get_variable_to_dtype_map()
        return {name: reader.get_tensor(name) for name, dtype in types.items() if dtype != tf.string}
    except Exception as error:  # the reader raises many types for a damaged checkpoint
        raise UserError(f"--checkpoint={path}: cannot be read ({_one_line(error)})") from error


def _list_checkpoints(path: str) -> str:
    folder = os.path.dirname(path) or "."
    found = sorted(name.removesuffix(".index") for name in tf.io.gfile.glob(os.path.join(folder, "*.index")))
    return f"; there are {', '.join(found)}" if found else ""


def _one_line(error: Exception) -> str:
    return str(getattr(error, "message", None) or error).strip().partition("\n")[0]


def architecture(contents: Contents) -> dict[str, typing.Any]:
    """What the shapes say of the networks: options of a run by name, and `classes`.

    Raises:
      UserError: variables that tell it are missing.
    """
    arrays = contents.arrays
    spectral_norm = "g_h0/Matrix" not in arrays
    channels = {
        "g": _length(arrays, "g_bn/gamma", 0),
        "d": _length(arrays, "d_optimized_block1/sn_conv1/w", 3),
    }
    return {
        "image_size": 128,
        "z_dim": _length(arrays, "g_snh0/Matrix" if spectral_norm else "g_h0/Matrix", 0),
        "generator_channels": channels["g"],
        "discriminator_channels": channels["d"],
        "generator_attention": _attention(arrays, "g", channels["g"]),
        "discriminator_attention": _attention(arrays, "d", channels["d"]),
        "attention_form": "original",
        "attention_key_ratio": 8,
        "class_conditioning": "projection",
        "generator_embedding": 0,
        "hierarchical_z": False,
        "generator_spectral_norm": spectral_norm,
        "discriminator_spectral_norm": True,
        "conditional": True,
        "classes": _length(arrays, "g_block1/cbn_0/gamma", 0),
    }


def _length(arrays: dict, name: str, axis: int) -> int:
    if name not in arrays:
        holds = "no variables" if not arrays else f"variables such as {', '.join(sorted(arrays)[:3])}"
        raise UserError(
            f"--checkpoint: {name} is missing: not a checkpoint of the 2018 release's generator and"
            f" discriminator (it holds {holds})"
        )
    if arrays[name].ndim < axis + 1:
        raise UserError(f"--checkpoint: {name} has shape {arrays[name].shape}")
    return arrays[name].shape[axis]


def _attention(arrays: dict, role: str, channels: int) -> tuple[int, ...]:
    """The resolution of the attention of G or D, found by the channels that it takes."""
    name = f"{role}_non_local/sn_conv_theta/w"
    if name not in arrays:
        return ()
    multiple = _length(arrays, name, 2) / channels
    if multiple not in _RESOLUTIONS[role]:
        raise UserError(f"--checkpoint: {name} has shape {arrays[name].shape}: no block has so many channels")
    return (_RESOLUTIONS[role][multiple],)


def adam_steps(contents: Contents, role: str, beta2: float) -> int:
    """How many steps the Adam of a network (`g` or `d`) has taken.

    Raises:
      UserError: the checkpoint does not say, or contradicts itself or `beta2`.
    """
    counted = contents.numbers.get(f"{role}_step")
    power = contents.numbers.get(_BETA2_POWER[role], 0.0)
    if power < _SMALLEST_POWER or not 0 < beta2 < 1:
        steps = counted if counted is not None else contents.numbers.get("global_step")
        if steps is None:
            raise UserError(f"--checkpoint: has Adam's moments but no {role}_step or global_step")
        return int(steps)
    # TensorFlow 1 starts from beta and multiplies by beta after every step.
    steps = math.log(power) / math.log(beta2) - 1
    if counted is not None:
        if abs(steps - counted) > 0.5 + 0.01 * counted:
            fitting = power ** (1 / (counted + 1))
            raise UserError(
                f"--beta2={beta2}: the checkpoint's {_BETA2_POWER[role]}, {power:.4g} after {counted:.0f}"
                f" steps, is that of a beta2 of {fitting:.4g}"
            )
        return int(counted)
    return round(steps)


def add_u(contents: Contents, variables: dict) -> None:
    """Adds the u that `variables` need: the leading right singular vectors, which training tends to."""
    arrays = contents.arrays
    kernels = {name.rpartition("/")[0]: name for name in arrays if name.endswith(("/w", "/Matrix"))}
    kernels["d_embedding"] = "d_embedding/embedding_map"
    for name in variables:
        scope, _, leaf = name.rpartition("/")
        if leaf == "u" and kernels.get(scope) in arrays:
            kernel = arrays[kernels[scope]]
            matrix = kernel.T if scope == "d_embedding" else kernel.reshape(-1, kernel.shape[-1])
            arrays[name] = np.linalg.svd(matrix, full_matrices=False)[2][:1]


def is_moving_average(name: str) -> bool:
    """Whether a variable is a moving average of batch norm."""
    return name.rpartition("/")[2] in _MOVING


def has_moving_averages(contents: Contents) -> bool:
    """Whether there are any; the release's first version normalized by the batch always."""
    return contents.holds(*_MOVING)
