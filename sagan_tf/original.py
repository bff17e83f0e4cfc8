"""Names of the variables of the original release (brain-research/self-attention-gan, 2018), and reading them.

The networks here and there hold the same arrays under other names and, for 1x1 convolutions of the
attention and for tables, in other shapes with the same order of values.
"""

import re

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
      counters of batch norm's updates) are left out.
    """
    role = "g" if hasattr(network, "z_dim") else "d"
    blocks = {block.name: index + 1 for index, block in enumerate(network.blocks)}
    names = {}
    for variable in network.variables:
        _, layer, *rest = variable.path.split("/")
        name = _original_name(role, blocks.get(layer), layer, rest)
        if name is not None:
            names[variable.path] = name
    return names


def _original_name(role: str, block: int | None, layer: str, rest: list[str]) -> str | None:
    leaf = rest[-1]
    if leaf == "updates":
        return None
    if block is not None:
        scope = "d_optimized_block1" if (role, block) == ("d", 1) else f"{role}_block{block}"
        if rest[0].startswith("norm_"):
            return f"{scope}/cbn_{int(rest[0][-1]) - 1}/{_NORM[leaf]}"
        number = {"conv_1": 1, "conv_2": 2, "shortcut": 3}[rest[0]]
        conv = "snconv" if role == "g" else "sn_conv"
        return f"{scope}/{conv}{number}/{_CONV[leaf]}"
    if layer.startswith("attention_"):
        if leaf == "gamma":
            return f"{role}_non_local/sigma_ratio"
        return f"{role}_non_local/sn_conv_{_ATTENTION[rest[0]]}/{_CONV[leaf]}"
    if layer == "last_norm":
        moving = {"moving_mean": "moving_mean", "moving_variance": "moving_variance"}
        return f"g_bn/{(_NORM | moving)[leaf]}"
    if layer == "last_conv":
        return f"g_snconv_last/{_CONV[leaf]}"
    if layer == "embedding":
        return "d_embedding/" + {"kernel": "embedding_map", "u": "u"}[leaf]
    return ("g_snh0/" if role == "g" else "d_sn_linear/") + _DENSE[leaf]


def load_original(network, arrays) -> None:
    """Sets the variables of a network from the original's.

    Args:
      network: a built Generator or Discriminator with the original's attention, of the width and
        number of classes that `arrays` has.
      arrays: from the original's name, as `original_names` gives it, to a NumPy array.

    Raises:
      ValueError: variables that `arrays` lacks or holds with another number of values, all by name.
    """
    names = original_names(network)
    problems = []
    for variable in network.variables:
        name = names.get(variable.path)
        if name is None:
            continue
        if name not in arrays:
            problems.append(f"{name} is missing")
        elif arrays[name].size != np.prod(variable.shape):
            problems.append(
                f"{name} has shape {arrays[name].shape}, {variable.path} has {tuple(variable.shape)}"
            )
    if problems:
        raise ValueError("; ".join(problems))
    for variable in network.variables:
        if variable.path in names:
            variable.assign(np.reshape(arrays[names[variable.path]], variable.shape))


def strip_scope(name: str) -> str:
    """`model/Generator/g_block1/...` and `model/g_block1/...` -> `g_block1/...`."""
    return re.sub(r"^(.*/)?(?=[gd]_[^/]+/)", "", name)
