"""The table of names of each source: what its files call this project's layers.

A key is made of a place (the prefix of a block, of an attention layer, or none), a layer's name and
a leaf's name, joined by the source's separator.
"""

import dataclasses
import re
import typing


class Place(typing.NamedTuple):
    """A block, or the attention that stands after the blocks before it, and the prefix of its keys."""

    kind: str  # "block" or "attention"
    prefix: str


@dataclasses.dataclass(frozen=True)
class Leaves:
    """Names below a layer; of several the first that a file has."""

    kernel: tuple[str, ...] = ("weight_orig", "weight")
    bias: tuple[str, ...] = ("bias",)
    u: tuple[str, ...] = ("u0", "weight_u")
    v: str = "weight_v"
    gamma: str = "gamma"
    gain: tuple[str, ...] = ("gain",)  # of conditional batch norm: layers
    shift: tuple[str, ...] = ("bias",)
    last_gain: tuple[str, ...] = ("weight", "gain")  # of the last batch norm: vectors
    last_shift: tuple[str, ...] = ("bias",)
    mean: tuple[str, ...] = ("bn.running_mean",)
    variance: tuple[str, ...] = ("bn.running_var",)


@dataclasses.dataclass(frozen=True)
class Layers:
    """One network of a source.

    Attributes:
      places: from the names in a file to its blocks and attention layers, in their order.
      top, block, attention: from this project's layers to the source's, outside of blocks, in a block,
        and in an attention layer.
    """

    places: typing.Callable[[typing.Container[str]], list[Place]]
    top: dict[str, str]
    block: dict[str, str]
    attention: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Source:
    """A project whose weights can be read.

    Attributes:
      title: its name in messages.
      mark: a pattern that a name in every file of a generator of this source fits, and of no other's.
      generator, discriminator: the networks; None where none is published in a form that fits.
      leaves: names below layers.
      separator: between the parts of a name.
      torch: whether kernels are laid out as PyTorch has them (Chainer too), otherwise as TensorFlow.
      positions_first: whether the first dense layer's outputs are (y, x, channel) already.
      embedding_first: whether the gains' inputs are [embedding, part of z].
      one_hot_tables: whether tables of gains are linear layers of one-hot classes.
      attention_is_placed: whether names tell after which block attention stands; otherwise its width does.
      v_channels_last: see `rewrites.sigma_of_uv`.
      epsilon: batch norm's.
      u_epsilon: added to the norms of the power iteration from u0; 0 where it does not matter.
      offset: what is added to gains that are tables.
      activated_shortcut: whether D's shortcuts start from the activated input, unless the file's name tells.
      ignored: a pattern of names that are not needed.
    """

    title: str
    mark: str
    generator: Layers
    discriminator: Layers | None = None
    leaves: Leaves = Leaves()
    separator: str = "."
    torch: bool = True
    positions_first: bool = False
    embedding_first: bool = True
    one_hot_tables: bool = False
    attention_is_placed: bool = True
    v_channels_last: bool = False
    epsilon: float = 1e-5
    u_epsilon: float = 0.0
    offset: float = 1.0
    activated_shortcut: bool = False
    ignored: str = r"(^|[./])(num_batches_tracked|sv\d+|u[1-9]\d*|N|accumulation_counter|steps)$"

    def join(self, *parts: str) -> str:
        return self.separator.join(part for part in parts if part)


def _has(names, prefix: str) -> bool:
    return any(name.startswith(prefix) for name in names)


def _counted(prefix: str, gamma: str, first: str = ""):
    """Blocks and attention layers counted together, `prefix` has {}; `first` is the first block's name."""

    def places(names):
        found = [Place("block", first)] if first else []
        while _has(names, (here := prefix.format(len(found) - bool(first))) + "."):
            found.append(Place("attention" if f"{here}.{gamma}" in names else "block", here))
        return found

    return places


def _nested(names):
    """BigGAN-PyTorch's: blocks.I.0 is a block, blocks.I.1 the attention after it."""
    found = []
    while _has(names, (here := f"blocks.{sum(place.kind == 'block' for place in found)}") + ".0."):
        found.append(Place("block", f"{here}.0"))
        if f"{here}.1.gamma" in names:
            found.append(Place("attention", f"{here}.1"))
    return found


def _suffixed(block: str, attention: str, separator: str):
    """DeepMind's GBlock, GBlock_1, ... Where attention stands is not in the names; it comes last here."""

    def places(names):
        found = []
        while _has(names, (here := f"{block}_{len(found)}" if found else block) + separator):
            found.append(Place("block", here))
        return found + [Place("attention", attention)] * _has(names, attention + separator)

    return places


def _chainer(names):
    found = []
    while _has(names, (here := f"block{len(found) + 2}") + "/"):
        found.append(Place("block", here))
    return found


_BIGGAN_BLOCK = {
    "conv_1": "conv1",
    "conv_2": "conv2",
    "shortcut": "conv_sc",
    "norm_1": "bn1",
    "norm_2": "bn2",
}
_BIGGAN_ATTENTION = {"query": "theta", "key": "phi", "value": "g", "projection": "o"}
_MM_ATTENTION = {ours: f"{theirs}.conv" for ours, theirs in _BIGGAN_ATTENTION.items()}
_MM_SAGAN_BLOCK = {
    "conv_1": "conv_1.conv",
    "conv_2": "conv_2.conv",
    "shortcut": "shortcut.conv",
    "norm_1": "norm_1",
    "norm_2": "norm_2",
}
_MM_BIGGAN_BLOCK = {
    "conv_1": "conv1.conv",
    "conv_2": "conv2.conv",
    "shortcut": "shortcut.conv",
    "norm_1": "bn1",
    "norm_2": "bn2",
}
_MM_HEAD = {"dense": "decision", "embedding": "proj_y"}
_STUDIO_BLOCK = {
    "conv_1": "conv2d1",
    "conv_2": "conv2d2",
    "shortcut": "conv2d0",
    "norm_1": "bn1",
    "norm_2": "bn2",
}
_STUDIO_ATTENTION = {
    "query": "conv1x1_theta",
    "key": "conv1x1_phi",
    "value": "conv1x1_g",
    "projection": "conv1x1_attn",
}
_DEEPMIND_ATTENTION = _BIGGAN_ATTENTION | {"projection": "o_conv"}

SOURCES = {
    "biggan_pytorch": Source(
        "BigGAN-PyTorch",
        r"^blocks\.0\.0\.conv1\.weight$",
        Layers(
            _nested,
            {
                "dense": "linear",
                "embedding": "shared",
                "last_norm": "output_layer.0",
                "last_conv": "output_layer.2",
            },
            _BIGGAN_BLOCK,
            _BIGGAN_ATTENTION,
        ),
        Layers(_nested, {"dense": "linear", "embedding": "embed"}, _BIGGAN_BLOCK, _BIGGAN_ATTENTION),
        Leaves(
            mean=("stored_mean", "bn.stored_mean", "bn.running_mean", "running_mean"),
            variance=("stored_var", "bn.stored_var", "bn.running_var", "running_var"),
        ),
    ),
    "mmgeneration_sagan": Source(
        "mmgeneration (SAGAN, SNGAN)",
        r"^(to_rgb\.conv|from_rgb\.conv_1\.conv)\.weight(_orig)?$",
        Layers(
            _counted("conv_blocks.{}", "gamma"),
            {"dense": "noise2feat", "last_norm": "to_rgb.bn", "last_conv": "to_rgb.conv"},
            _MM_SAGAN_BLOCK,
            _MM_ATTENTION,
        ),
        Layers(_counted("conv_blocks.{}", "gamma", "from_rgb"), _MM_HEAD, _MM_SAGAN_BLOCK, _MM_ATTENTION),
        Leaves(
            gain=("weight_embedding",),
            shift=("bias_embedding",),
            mean=("norm.running_mean", "running_mean"),
            variance=("norm.running_var", "running_var"),
        ),
        epsilon=1e-4,
    ),
    "mmgeneration_biggan": Source(
        "mmgeneration (BigGAN)",
        r"^conv_blocks\.0\.conv1\.conv\.weight(_orig)?$",
        Layers(
            _counted("conv_blocks.{}", "gamma"),
            {
                "dense": "noise2feat",
                "embedding": "shared_embedding",
                "last_norm": "output_layer.bn",
                "last_conv": "output_layer.conv",
            },
            _MM_BIGGAN_BLOCK,
            _MM_ATTENTION,
        ),
        Layers(_counted("conv_blocks.{}", "gamma"), _MM_HEAD, _MM_BIGGAN_BLOCK, _MM_ATTENTION),
        Leaves(mean=("bn.running_mean", "running_mean"), variance=("bn.running_var", "running_var")),
        activated_shortcut=True,
    ),
    "studiogan": Source(
        "PyTorch-StudioGAN",
        r"^blocks\.0\.0\.conv2d1\.weight(_orig)?$",
        Layers(
            _counted("blocks.{}.0", "sigma"),
            {"dense": "linear0", "embedding": "shared", "last_norm": "bn4", "last_conv": "conv2d5"},
            _STUDIO_BLOCK,
            _STUDIO_ATTENTION,
        ),
        Layers(
            _counted("blocks.{}.0", "sigma"),
            {"dense": "linear1", "embedding": "embedding"},
            _STUDIO_BLOCK,
            _STUDIO_ATTENTION,
        ),
        Leaves(
            gamma="sigma",
            gain=("gain", "embed0"),
            shift=("bias", "embed1"),
            mean=("bn.running_mean", "running_mean"),
            variance=("bn.running_var", "running_var"),
        ),
        one_hot_tables=True,
        epsilon=1e-4,
        activated_shortcut=True,
    ),
    "tfhub": Source(
        "DeepMind's BigGAN on TF-Hub",
        r"^Generator/GBlock/conv0/w",
        Layers(
            _suffixed("Generator/GBlock", "Generator/attention", "/"),
            {
                "dense": "Generator/G_Z/G_linear",
                "embedding": "linear",
                "last_norm": "Generator/ScaledCrossReplicaBN",
                "last_statistics": "Generator/ScaledCrossReplicaBNbn",
                "last_conv": "Generator/conv_2d",
            },
            {
                "conv_1": "conv0",
                "conv_2": "conv1",
                "shortcut": "conv_sc",
                "norm_1": "HyperBN",
                "norm_2": "HyperBN_1",
                "statistics_1": "CrossReplicaBN",
                "statistics_2": "CrossReplicaBN_1",
            },
            _DEEPMIND_ATTENTION,
        ),
        leaves=Leaves(
            kernel=("w/ema_b999900", "w"),
            bias=("b/ema_b999900", "b"),
            u=("u0",),
            gamma="gamma/ema_b999900",
            gain=("gamma",),
            shift=("beta",),
            last_gain=("gamma/ema_b999900", "gamma"),
            last_shift=("beta/ema_b999900", "beta"),
            mean=("accumulated_mean",),
            variance=("accumulated_var",),
        ),
        separator="/",
        torch=False,
        positions_first=True,
        embedding_first=False,
        attention_is_placed=False,
        epsilon=1e-4,
        u_epsilon=1e-4,
        ignored=r"(^|/)(accumulation_counter|global_step|u[1-9]\d*|[wb]|gamma|beta)$|^(?!Generator/|linear/)",
    ),
    "ivclab": Source(
        "ivclab's copy of DeepMind's BigGAN",
        r"^gblock\.conv0\.weight_orig$",
        Layers(
            _suffixed("gblock", "attention", "."),
            {
                "dense": "g_z.g_linear",
                "embedding": "linear",
                "last_norm": "scaledcrossreplicabn",
                "last_conv": "conv_2d",
            },
            {
                "conv_1": "conv0",
                "conv_2": "conv1",
                "shortcut": "conv_sc",
                "norm_1": "hyperbn",
                "norm_2": "hyperbn_1",
            },
            _DEEPMIND_ATTENTION,
        ),
        leaves=Leaves(
            gain=("gamma",),
            shift=("beta",),
            mean=("crossreplicabn.standing_means", "standing_means"),
            variance=("crossreplicabn.standing_vars", "standing_vars"),
        ),
        positions_first=True,
        embedding_first=False,
        attention_is_placed=False,
        v_channels_last=True,
        epsilon=1e-4,
        ignored=r"(^|\.)(num_batches_tracked|running_mean|running_var)$",
    ),
    "pfnet": Source(
        "pfnet's SNGAN projection (Chainer)",
        r"^block2/c1/W$",
        Layers(
            _chainer,
            {"dense": "l1", "last_norm": "b{last}", "last_conv": "l{last}"},
            {"conv_1": "c1", "conv_2": "c2", "shortcut": "c_sc", "norm_1": "b1", "norm_2": "b2"},
            {},
        ),
        leaves=Leaves(
            kernel=("W",),
            bias=("b",),
            gain=("gammas",),
            shift=("betas",),
            last_gain=("gamma",),
            last_shift=("beta",),
            mean=("avg_mean",),
            variance=("avg_var",),
        ),
        separator="/",
        epsilon=2e-5,
        offset=0.0,
    ),
}

# What is recognized and cannot be read: a pattern of one of its names, and what it is.
_OTHERS = (
    (
        r"^(generator\.)?layers\.\d+\.bn_0\b|\.conv_3\.|\.conv4\.|^blocks\.\d+\.\d+\.conv2d4\b",
        "BigGAN-deep, whose blocks are others",
    ),
    (
        r"^(mapping|synthesis)\.|^(style|convs|to_rgbs)\.|\.style_modulation\.|^G_mapping|^synthesis/",
        "StyleGAN, another network",
    ),
    (
        r"^(down_blocks|up_blocks|mid_block|time_embedding)\.|^model\.diffusion_model\.",
        "a diffusion model, as of diffusers",
    ),
    (r"^l2\.|^block2\.c1\.", "mimicry's SNGAN, whose upsampling is bilinear"),
    (r"^discriminator/|^generator/B\d/", "compare_gan's networks, whose blocks are others"),
)


def recognize(names: typing.Iterable[str]) -> str | None:
    """The key in `SOURCES` of the source whose names these are, or None."""
    for key, source in SOURCES.items():
        if any(re.search(source.mark, name) for name in names):
            return key
    return None


def describe_other(names: typing.Iterable[str]) -> str:
    """What files that are not read seem to be, by their names; "" if nothing is known."""
    for pattern, what in _OTHERS:
        if any(re.search(pattern, name) for name in names):
            return what
    return ""
