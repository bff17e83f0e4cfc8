"""Which variable of a source becomes which variable of a network here, and by which rewrites."""

import dataclasses
import re
import typing

import numpy as np

from sagan_tf.importing import rewrites
from sagan_tf.importing.names import Layers, Source
from sagan_tf.importing.original import Differences
from sagan_tf.importing.stored import Stored
from sagan_tf.networks.architectures import ARCHITECTURES, discriminator_resolutions, generator_resolutions
from sagan_tf.system.errors import UserError

_SIGMA_TOLERANCE = 1e-6


class Decisions(typing.NamedTuple):
    """What no file says.

    Attributes:
      channel_order: "rgb" or "bgr", of the images.
      epsilon: batch norm's in the source.
      offset: added to gains that are tables.
      truncation: whose statistics are wanted, where there are several.
    """

    channel_order: str
    epsilon: float
    offset: float
    truncation: float


@dataclasses.dataclass(frozen=True)
class Take:
    """How one variable is set.

    Attributes:
      variable: of a network here.
      key: the source's variable.
      layout: rewrites that move numbers, for weights and Adam's moments.
      value: what is done to weights after that, or None.
      others: further variables that `value` reads.
      moments: whether Adam's moments of `key` are moments of `variable`.
    """

    variable: typing.Any
    key: str
    layout: tuple[typing.Callable, ...] = ()
    value: typing.Callable | None = None
    others: tuple[str, ...] = ()
    moments: bool = True

    def lay_out(self, array):
        for rewrite in self.layout:
            array = rewrite(array)
        return array


class SourceNetwork:
    """The arrays of one network of a source.

    Args:
      source, layers: their names.
      arrays: by name.
    """

    def __init__(self, source: Source, layers: Layers, arrays: dict[str, Stored]):
        self.source, self.layers, self.arrays = source, layers, arrays
        self.places = layers.places(arrays)
        self.blocks = [place.prefix for place in self.places if place.kind == "block"]

    def top(self, layer: str) -> str:
        return self.layers.top.get(layer, "").format(last=len(self.blocks) + 2)

    def key(self, module: str, leaves: typing.Iterable[str]) -> str:
        """The first of some variables of a module that is there; if none is, the likeliest name."""
        keys = {leaf: self.source.join(module, leaf) for leaf in leaves}
        found = next((key for key in keys.values() if key in self.arrays), None)
        if found is not None:
            return found
        return keys[max(keys, key=lambda leaf: sum(name.endswith(leaf) for name in self.arrays))]

    def kernel(self, module: str) -> str:
        return self.key(module, self.source.leaves.kernel)

    def projection(self, norm: str, name: str) -> str:
        """The module of a conditional batch norm's gains ("gain") or biases ("bias")."""
        leaves = self.source.leaves
        modules = [self.source.join(norm, leaf) for leaf in (leaves.gain if name == "gain" else leaves.shift)]
        return next((module for module in modules if self.kernel(module) in self.arrays), modules[0])

    def is_normalized(self, layer: str) -> bool:
        """Whether a layer outside of blocks has spectral normalization."""
        return self.key(self.top(layer), self.source.leaves.u) in self.arrays

    def shape(self, key: str, dimensions: int) -> tuple[int, ...]:
        """The shape of a variable from which sizes are read. Raises UserError if it cannot be."""
        if key not in self.arrays:
            raise UserError(f"{key} is missing: its shape would tell the network's size")
        shape = self.arrays[key].shape
        if len(shape) < dimensions or 0 in shape:
            raise UserError(f"{key} has shape {shape}")
        return shape

    def attention(self, resolutions: typing.Sequence[int]) -> dict[int, str]:
        """From resolutions after whose block attention stands to the prefix of its keys."""
        found, block = {}, -1
        for place in self.places:
            block += place.kind == "block"
            if place.kind == "attention":
                if not self.source.attention_is_placed:
                    block = self._block_of(place.prefix)
                if not 0 <= block < len(resolutions):
                    raise UserError(f"{place.prefix}: attention where there is none in this project")
                found[resolutions[block]] = place.prefix
        return found

    def _block_of(self, attention: str) -> int:
        """The only block that gives as many channels as the attention takes."""
        inputs = self.shape(self.kernel(self.source.join(attention, "theta")), 4)
        wanted = inputs[1] if self.source.torch else inputs[2]
        outputs = [self.shape(self.kernel(self.convolution(block)), 4) for block in range(len(self.blocks))]
        widths = [shape[0] if self.source.torch else shape[3] for shape in outputs]
        if widths.count(wanted) != 1:
            raise UserError(f"{attention}: takes {wanted} channels, which not exactly one block gives")
        return widths.index(wanted)

    def convolution(self, block: int) -> str:
        return self.source.join(self.blocks[block], self.layers.block["conv_1"])


def generator_architecture(network: SourceNetwork) -> dict[str, typing.Any]:
    """Options of a run that a generator's shapes tell, and `classes`. Raises UserError."""
    source, blocks = network.source, len(network.blocks)
    image_size = 4 * 2**blocks
    if image_size not in ARCHITECTURES:
        raise UserError(f"its generator has {blocks} blocks: no size of images that this project has")
    (width,) = network.shape(network.key(network.top("last_norm"), source.leaves.last_gain), 1)[-1:]
    z_inputs = network.shape(network.kernel(network.top("dense")), 2)[1 if source.torch else 0]
    norm = source.join(network.blocks[0], network.layers.block["norm_1"])
    kernel = network.kernel(network.projection(norm, "gain"))
    gain = network.shape(kernel, 2)
    embedding = network.kernel(network.top("embedding")) if network.top("embedding") else ""
    found = {"generator_embedding": 0, "hierarchical_z": False, "z_dim": z_inputs}
    if embedding in network.arrays:
        classes, size = network.shape(embedding, 2)
        inputs = gain[1 if source.torch else 0]
        found = {"generator_embedding": size, "hierarchical_z": inputs != size, "z_dim": z_inputs}
        if found["hierarchical_z"]:
            found["z_dim"] = z_inputs * (blocks + 1)
    else:
        classes = gain[1 if is_one_hot(network, kernel) else 0]
    return found | {
        "image_size": image_size,
        "generator_channels": max(1, width // ARCHITECTURES[image_size].generator[-1]),
        "generator_attention": tuple(network.attention(generator_resolutions(image_size))),
        "generator_spectral_norm": network.is_normalized("dense"),
        "classes": classes,
    }


def is_one_hot(network: SourceNetwork, key: str) -> bool:
    """Whether a table is a linear layer of one-hot classes: (channels, classes), StudioGAN's."""
    return network.source.one_hot_tables and "embed" not in key


def discriminator_architecture(network: SourceNetwork) -> dict[str, typing.Any]:
    """The same of a discriminator."""
    sizes = {len(architecture.discriminator): size for size, architecture in ARCHITECTURES.items()}
    if len(network.blocks) not in sizes:
        raise UserError(f"its discriminator has {len(network.blocks)} blocks: no size that this project has")
    image_size = sizes[len(network.blocks)]
    first = network.shape(network.kernel(network.convolution(0)), 4)
    embedding = network.kernel(network.top("embedding"))
    return {
        "image_size": image_size,
        "discriminator_channels": max(1, first[0] // ARCHITECTURES[image_size].discriminator[0]),
        "discriminator_attention": tuple(network.attention(discriminator_resolutions(image_size))),
        "discriminator_spectral_norm": network.is_normalized("dense"),
        "classes": network.shape(embedding, 2)[0],
    }


class Matching:
    """All of a network's variables with what they are set from.

    Args:
      network: the source's arrays.
      target: the built Generator or Discriminator.
      decisions: what no file says.
    """

    def __init__(self, network: SourceNetwork, target, decisions: Decisions):
        self._network, self._target, self._decisions = network, target, decisions
        self._source, self._leaves = network.source, network.source.leaves
        self._is_generator = hasattr(target, "z_dim")
        size = target.image_size
        resolutions = (generator_resolutions if self._is_generator else discriminator_resolutions)(size)
        self._attention = network.attention(resolutions)
        self._blocks = dict(zip([block.name for block in target.blocks], network.blocks, strict=False))
        self.notes = []  # lines for the user
        self.takes = [
            self._take(variable, variable.path.split("/")[1:])
            for variable in target.variables
            if not variable.path.endswith("/updates")
        ]

    def differences(self) -> Differences:
        """What is missing, surplus or misshapen, by name."""
        arrays, needed = self._network.arrays, []
        missing, misshapen = [], []
        for take in self.takes:
            needed += [take.key, *take.others]
            absent = [key for key in (take.key, *take.others) if key not in arrays]
            missing += [key for key in absent if key not in missing]
            if take.key in arrays and not self._fits(take):
                shape, wanted = arrays[take.key].shape, tuple(take.variable.shape)
                misshapen.append(f"{take.key} has shape {shape}, needed is {wanted} ({take.variable.path})")
        surplus = set(arrays) - set(needed)
        return Differences(
            missing, sorted(key for key in surplus if not re.search(self._source.ignored, key)), misshapen
        )

    def _fits(self, take: Take) -> bool:
        shape = self._network.arrays[take.key].shape
        try:  # on an array of that shape without memory
            return np.shape(take.lay_out(np.broadcast_to(np.float32(0), shape))) == tuple(take.variable.shape)
        except (ValueError, IndexError):
            return False

    def assign(self) -> None:
        """Sets the variables. Raises UserError if values are not finite."""
        for take in self.takes:
            array = take.lay_out(self._read(take.key))
            take.variable.assign(array if take.value is None else take.value(array))
        for variable in self._target.variables:
            if variable.path.endswith("/updates"):
                variable.assign(UPDATES)

    def _read(self, key: str) -> np.ndarray:
        return self._network.arrays[key].read(key)

    def _take(self, variable, path: list[str]) -> Take:
        layer, *rest = path
        network, leaf = self._network, path[-1]
        if layer in self._blocks:
            names, prefix = network.layers.block, self._blocks[layer]
            module = self._source.join(prefix, names.get(rest[0], rest[0]))
            if rest[0].startswith("norm_"):
                statistics = names.get(f"statistics_{rest[0][-1]}", names[rest[0]])
                return self._norm(variable, module, self._source.join(prefix, statistics), rest[1:])
            return self._weight(variable, module, leaf)
        if layer.startswith("attention_"):
            prefix = self._attention.get(int(layer.removeprefix("attention_")), layer)
            if leaf == "gamma":
                return Take(variable, self._source.join(prefix, self._leaves.gamma), (rewrites.scalar,))
            return self._weight(variable, self._source.join(prefix, network.layers.attention[rest[0]]), leaf)
        if layer == "last_norm":
            statistics = network.top("last_statistics") or network.top(layer)
            return self._norm(variable, network.top(layer), statistics, rest)
        return self._weight(variable, network.top(layer), leaf)

    def _weight(self, variable, module: str, leaf: str) -> Take:
        if leaf == "u":
            return self._u(variable, module)
        leaves = self._leaves.kernel if leaf == "kernel" else self._leaves.bias
        return Take(variable, self._network.key(module, leaves), self._layout(variable, module, leaf))

    def _layout(self, variable, module: str, leaf: str) -> tuple[typing.Callable, ...]:
        """Rewrites of a kernel or bias."""
        path, rewritten = variable.path.partition("/")[2], []
        if self._is_generator and path.startswith("dense/") and not self._source.positions_first:
            rewritten.append(rewrites.positions_first)
        if leaf == "bias":
            rewritten.append(rewrites.flat)
        elif path == "embedding/kernel":
            pass
        elif len(variable.shape) == 2:
            rewritten.append(rewrites.matrix if self._source.torch else rewrites.last_axes)
        elif self._source.torch:
            rewritten.append(rewrites.convolution)
        if self._source.embedding_first and "/norm_" in path and getattr(self._target, "hierarchical_z", 0):
            if leaf == "kernel":
                rewritten.append(rewrites.embedding_last(self._target.z_dim // (len(self._blocks) + 1)))
        if self._decisions.channel_order == "bgr":
            first = next(iter(self._blocks))
            if self._is_generator and path.startswith("last_conv/"):
                rewritten.append(rewrites.reversed_outputs)
            elif not self._is_generator and path in (f"{first}/conv_1/kernel", f"{first}/shortcut/kernel"):
                rewritten.append(rewrites.reversed_inputs)
        return tuple(rewritten)

    def _u(self, variable, module: str) -> Take:
        key, kernel = self._network.key(module, self._leaves.u), self._network.kernel(module)
        if key.endswith("weight_u"):
            v = self._source.join(module, self._leaves.v)

            def sigma():
                arrays = map(self._read, (kernel, key, v))
                return rewrites.sigma_of_uv(*arrays, channels_last=self._source.v_channels_last)

            solve = self._solver(variable, module, kernel, sigma)
            return Take(variable, key, (rewrites.row,), solve, (kernel, v))
        if self._source.u_epsilon:
            layout = self._layout(variable_of(self._target, variable, "kernel"), module, "kernel")

            def sigma():
                laid = Take(None, kernel, layout).lay_out(self._read(kernel))
                wide = laid.reshape(-1, laid.shape[-1])
                return rewrites.sigma_of_u0(wide, self._read(key), self._source.u_epsilon)

            return Take(
                variable, key, (rewrites.row,), self._solver(variable, module, kernel, sigma), (kernel,)
            )
        moved = self._layout(variable, module, "bias")  # as of a bias, (outputs,)
        first = (rewrites.flat,) if rewrites.positions_first in moved else ()
        return Take(variable, key, (*first, *moved, rewrites.row))

    def _solver(self, variable, module: str, kernel: str, sigma: typing.Callable):
        target = variable_of(self._target, variable, "kernel")
        layout = self._layout(target, module, "kernel")

        def solve(_):
            laid = Take(None, kernel, layout).lay_out(self._read(kernel))
            wide = laid.T if variable.path.endswith("embedding/u") else laid.reshape(-1, laid.shape[-1])
            wanted = sigma()
            u, found = rewrites.u_for_sigma(wide, wanted)
            if abs(found - wanted) > _SIGMA_TOLERANCE * abs(wanted):
                self.notes.append(
                    f"{kernel}: its spectral norm is taken as {found:.6g}, the source's is {wanted:.6g}"
                )
            return u

        return solve

    def _norm(self, variable, module: str, statistics: str, rest: list[str]) -> Take:
        name, leaf, leaves, decisions = rest[0], rest[-1], self._leaves, self._decisions
        if name in ("moving_mean", "moving_variance"):
            key = self._network.key(statistics, leaves.mean if name == "moving_mean" else leaves.variance)
            layout = (rewrites.flat,)
            if key.endswith(("standing_means", "standing_vars")):
                layout = (rewrites.at_truncation(decisions.truncation),)
            added = rewrites.added(decisions.epsilon - rewrites.BATCH_NORM_EPSILON)
            return Take(variable, key, layout, added if name == "moving_variance" else None)
        if "/last_norm/" in variable.path:
            own = leaves.last_gain if name == "gain" else leaves.last_shift
            return Take(variable, self._network.key(module, own), (rewrites.flat,))
        projection = self._network.projection(module, name)
        if len(rest) == 2:
            return self._weight(variable, projection, leaf)
        return self._table(variable, projection, decisions.offset if name == "gain" else 0.0)

    def _table(self, variable, module: str, offset: float) -> Take:
        """A table of gains or biases, a row a class; spectral normalization is taken in."""
        kernel = self._network.kernel(module)
        layout = (rewrites.one_hot,) if is_one_hot(self._network, kernel) else ()
        if not kernel.endswith("weight_orig"):
            return Take(variable, kernel, layout, rewrites.added(offset) if offset else None)
        u, v = self._source.join(module, "weight_u"), self._source.join(module, self._leaves.v)

        def normalized(table):
            sigma = rewrites.sigma_of_uv(*map(self._read, (kernel, u, v)), channels_last=False)
            return table / np.float32(sigma) + np.float32(offset)

        return Take(variable, kernel, layout, normalized, (u, v), moments=False)


# After so many updates the decay of the moving averages is constant, as the original's.
UPDATES = 100_000


def variable_of(target, sibling, name: str):
    """The variable of the same layer that has another name."""
    path = sibling.path.rpartition("/")[0] + f"/{name}"
    return next(variable for variable in target.variables if variable.path == path)
