"""Names of the variables of the original release (brain-research/self-attention-gan, 2018), and setting ours.

The networks here and there hold the same arrays under other names and, for 1x1 convolutions of the
attention and for moving averages, in other shapes that differ in axes of length 1 only.
"""

import re
import typing

import numpy as np

_ATTENTION = {"query": "theta", "key": "phi", "value": "g", "projection": "attn"}
_NORM = {"gain": "gamma", "bias": "beta", "moving_mean": "mean", "moving_variance": "var"}
_CONV = {"kernel": "w", "bias": "biases", "u": "u"}
_DENSE = {"kernel": "Matrix", "bias": "bias", "u": "u"}


def original_names(network) -> dict[str, str]:
    """The original's name of each variable of a built Generator or Discriminator.

    Returns:
      From this project's path, e.g. `generator/block_8/conv_1/kernel`, to the original's name below
      the model's scope, e.g. `g_block1/snconv1/w`. Variables that the original does not have (the
      counters of batch norm's updates) are left out. A generator without spectral normalization has
      the names of the original's `generator_old`.
    """
    role = "g" if hasattr(network, "z_dim") else "d"
    sn = "" if role == "g" and not network.spectral_norm else "sn"
    blocks = {block.name: index + 1 for index, block in enumerate(network.blocks)}
    names = {}
    for variable in network.variables:
        _, layer, *rest = variable.path.split("/")
        name = _original_name(role, sn, blocks.get(layer), layer, rest)
        if name is not None:
            names[variable.path] = name
    return names


def _original_name(role: str, sn: str, block: int | None, layer: str, rest: list[str]) -> str | None:
    leaf = rest[-1]
    if leaf == "updates":
        return None
    if block is not None:
        scope = "d_optimized_block1" if (role, block) == ("d", 1) else f"{role}_block{block}"
        if rest[0].startswith("norm_"):
            return f"{scope}/cbn_{int(rest[0][-1]) - 1}/{_NORM[leaf]}"
        number = {"conv_1": 1, "conv_2": 2, "shortcut": 3}[rest[0]]
        conv = f"{sn}conv" if role == "g" else "sn_conv"
        return f"{scope}/{conv}{number}/{_CONV[leaf]}"
    if layer.startswith("attention_"):
        if leaf == "gamma":
            return f"{role}_non_local/sigma_ratio"
        return f"{role}_non_local/sn_conv_{_ATTENTION[rest[0]]}/{_CONV[leaf]}"
    if layer == "last_norm":
        moving = {"moving_mean": "moving_mean", "moving_variance": "moving_variance"}
        return f"g_bn/{(_NORM | moving)[leaf]}"
    if layer == "last_conv":
        return f"g_{sn}conv_last/{_CONV[leaf]}"
    if layer == "embedding":
        return "d_embedding/" + {"kernel": "embedding_map", "u": "u"}[leaf]
    return (f"g_{sn}h0/" if role == "g" else "d_sn_linear/") + _DENSE[leaf]


def original_variables(network) -> dict:
    """The variables of a built network by their names in the original."""
    names = original_names(network)
    return {names[variable.path]: variable for variable in network.variables if variable.path in names}


def original_slots(network, optimizer) -> dict:
    """Adam's moments by their names in the original, e.g. `g_bn/gamma/Adam` (m) and `g_bn/gamma/Adam_1` (v).

    Args:
      network: a built network.
      optimizer: a Keras Adam that was built for its trainable variables.
    """
    names, variables = original_names(network), network.trainable_variables
    slots = {}
    for variable, m, v in zip(variables, optimizer._momentums, optimizer._velocities, strict=True):
        slots[f"{names[variable.path]}/Adam"], slots[f"{names[variable.path]}/Adam_1"] = m, v
    return slots


class Differences(typing.NamedTuple):
    """How arrays differ from the variables to be set from them: names, or lines that begin with one."""

    missing: list[str]
    surplus: list[str]
    misshapen: list[str]


def compare(variables: dict, arrays: dict) -> Differences:
    """Compares NumPy arrays with variables of the same names; axes of length 1 do not matter."""
    misshapen = [
        f"{name} has shape {arrays[name].shape}, needed is {tuple(variable.shape)} ({variable.path})"
        for name, variable in variables.items()
        if name in arrays and _long_axes(arrays[name].shape) != _long_axes(variable.shape)
    ]
    missing = [name for name in variables if name not in arrays]
    return Differences(missing, [name for name in arrays if name not in variables], misshapen)


def _long_axes(shape) -> list[int]:
    return [length for length in shape if length != 1]


def assign(variables: dict, arrays: dict) -> None:
    """Sets variables from the arrays of the same names, which `compare` has found to fit."""
    for name, variable in variables.items():
        variable.assign(np.reshape(arrays[name], variable.shape))


def load_original(network, arrays) -> None:
    """Sets the variables of a network from the original's.

    Args:
      network: a built Generator or Discriminator with the original's attention, of the width and
        number of classes that `arrays` has.
      arrays: from the original's name, as `original_names` gives it, to a NumPy array.

    Raises:
      ValueError: variables that `arrays` lacks or holds in another shape, all by name.
    """
    variables = original_variables(network)
    found = compare(variables, arrays)
    problems = [f"{name} is missing" for name in found.missing] + found.misshapen
    if problems:
        raise ValueError("; ".join(problems))
    assign(variables, arrays)


def strip_scope(name: str) -> str:
    """`model/Generator/g_block1/...` and `model/g_block1/...` -> `g_block1/...`."""
    return re.sub(r"^(.*/)?(?=[gd]_[^/]+/)", "", name)
