"""What the generator and the discriminator share."""

import typing

import keras
import tensorflow as tf

from sagan_tf.layers import ATTENTION_FORMS, MatchedResidualBlock, SelfAttention, SpectrallyNormalized
from sagan_tf.layers.recomputation import recompute
from sagan_tf.networks.architectures import ARCHITECTURES

INITIALIZERS = {"glorot": "glorot_uniform", "orthogonal": "orthogonal"}  # and Keras's names of them
RESIDUAL = "residual"  # a form of attention in options: it stands for a `MatchedResidualBlock`


class Look(typing.NamedTuple):
    """What a network's `look` returns.

    Attributes:
      output: what the network returns: images or logits.
      maps: the attention map float32 (B, N, M) of every attention layer, by its resolution.
      shares: |gamma o| / |x| of every attention layer, float32 (B,), by its resolution.
    """

    output: tf.Tensor
    maps: dict[int, tf.Tensor]
    shares: dict[int, tf.Tensor]


class Network(keras.Model):
    """Blocks, and attention, or the residual block in its place, at some resolutions.

    `recompute_blocks` says whether blocks are computed again for the gradient: less memory, more work.
    """

    recompute_blocks = False

    @property
    def inner_layers(self) -> list:
        """The layers at every depth; Keras's `layers` are only the uppermost."""
        return list(self._flatten_layers(include_self=False))

    @property
    def kernel_layers(self) -> list:
        """The inner layers with a kernel that can be normalized."""
        # One block of D does not need its shortcut, which is never built.
        return [
            layer for layer in self.inner_layers if isinstance(layer, SpectrallyNormalized) and layer.built
        ]

    def copy(self, **changes):
        """A built network of this configuration with `changes`, e.g. `name="ema_generator"`.

        Weights with the same path below the network's name and the same shape are copied; the others are new.
        """
        copy = type(self).from_config(self.get_config() | changes)
        copy.build()
        own = {_below(self, variable): variable for variable in self.variables}
        for variable in copy.variables:
            source = own.get(_below(copy, variable))
            if source is not None and source.shape == variable.shape:
                variable.assign(source.numpy())
        return copy

    def _stay_frozen(self) -> None:
        """Freezes the layers of a network that was frozen before it had them, as one that is loaded is."""
        if not self.trainable:
            self.trainable = False

    def _run(self, block, *tensors, **keywords):
        if self.recompute_blocks:
            return recompute(block, *tensors, **keywords)
        return block(*tensors, **keywords)

    def _place(self, resolution: int, channels: int) -> None:
        """Makes the layer that stands after the block with this resolution and this many channels."""
        arguments = {
            # Narrow networks have one channel of queries and keys.
            "key_ratio": min(self.attention_key_ratio, channels),
            "spectral_norm": self.spectral_norm,
            "kernel_initializer": INITIALIZERS[self.initializer],
            "dtype": self.dtype_policy,
        }
        if self.attention_form == RESIDUAL:
            layer = MatchedResidualBlock(**arguments, name=f"residual_{resolution}")
            self.residual_layers[str(resolution)] = layer
        else:
            name = f"attention_{resolution}"
            layer = SelfAttention(self.attention_form, **arguments, fast=self.fast, name=name)
            self.attention_layers[str(resolution)] = layer

    def _build_placed(self, shape) -> None:
        for layers in (self.attention_layers, self.residual_layers):
            if str(shape[1]) in layers:
                layers[str(shape[1])].build(shape)

    def _attend(self, x, update_u: bool | None, inside: Look | None):
        """Runs the layer that stands at x's resolution, if there is one. Adds to `inside` if it is given."""
        size = x.shape[1]
        if str(size) in self.residual_layers:
            return self.residual_layers[str(size)](x, update_u=update_u)
        layer = self.attention_layers.get(str(size))
        if layer is None:
            return x
        if inside is None:
            return layer(x, update_u=update_u)
        x, inside.maps[size], inside.shares[size] = layer.look(x)
        return x


def check_inputs(what: str, inputs, shape: tuple[int, ...]):
    """A batch of tensors with its shape known but for the batch. Raises ValueError if it has another one.

    Args:
      what: what they are, for the message.
      inputs: the batch; a tensor.
      shape: of one.
    """
    known = inputs.shape
    if known.rank is None:
        return tf.ensure_shape(inputs, (None, *shape))
    if known.rank != len(shape) + 1 or any(a not in (None, b) for a, b in zip(known[1:], shape, strict=True)):
        wanted = ", ".join(map(str, ("batch", *shape)))
        raise ValueError(f"{what} of shape {tuple(known)}: must be ({wanted})")
    return tf.ensure_shape(inputs, (None, *shape)) if None in known[1:] else inputs


def check_image_size(image_size: int) -> int:
    """Returns it. Raises ValueError if there is no such network."""
    if image_size not in ARCHITECTURES:
        raise ValueError(f"image_size={image_size}: allowed are {', '.join(map(str, ARCHITECTURES))}")
    return image_size


def check_attention(attention, allowed, role: str) -> tuple[int, ...]:
    """The resolutions as a tuple. Raises ValueError for one that the network does not have."""
    for resolution in attention:
        if resolution not in allowed:
            raise ValueError(f"{role} attention at {resolution}: allowed are {', '.join(map(str, allowed))}")
    return tuple(attention)


def check_attention_form(form: str) -> str:
    """Returns it. Raises ValueError if there is no such form."""
    if form not in (*ATTENTION_FORMS, RESIDUAL):
        allowed = ", ".join((*ATTENTION_FORMS, RESIDUAL))
        raise ValueError(f"attention_form={form!r}: allowed are {allowed}")
    return form


def check_initializer(initializer: str) -> str:
    """Returns it. Raises ValueError if there is no such initializer."""
    if initializer not in INITIALIZERS:
        raise ValueError(f"initializer={initializer!r}: allowed are {', '.join(INITIALIZERS)}")
    return initializer


def _below(network: Network, variable) -> str:
    """A variable's path below its network's, which may itself be a part of a model."""
    return variable.path.removeprefix(f"{network.path}/")
