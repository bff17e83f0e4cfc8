"""What both networks do alike."""

import keras

from sagan_tf.layers import MatchedResidualBlock, SelfAttention, SpectrallyNormalized
from sagan_tf.layers.recomputation import recompute

INITIALIZERS = {"glorot": "glorot_uniform", "orthogonal": "orthogonal"}  # and Keras's names of them
RESIDUAL = "residual"  # the form of attention that is none


class Network(keras.Model):
    """Blocks, and attention, or the residual block in its place, at some resolutions.

    `recompute_blocks` says whether blocks are computed again for the gradient: less memory, more work.
    """

    recompute_blocks = False

    @property
    def inner_layers(self) -> list:
        """The layers at any depth; Keras itself lists only the uppermost."""
        return list(self._flatten_layers(include_self=False))

    @property
    def kernel_layers(self) -> list:
        """Those of them with a kernel that may be normalized."""
        # One block of D has a spare shortcut, which is never built.
        return [
            layer for layer in self.inner_layers if isinstance(layer, SpectrallyNormalized) and layer.built
        ]

    def _run(self, block, *tensors, **keywords):
        if self.recompute_blocks:
            return recompute(block, *tensors, **keywords)
        return block(*tensors, **keywords)

    def _place(self, resolution: int) -> None:
        arguments = {
            "key_ratio": self.attention_key_ratio,
            "spectral_norm": self.spectral_norm,
            "kernel_initializer": INITIALIZERS[self.initializer],
            "dtype": self.dtype_policy,
        }
        if self.attention_form == RESIDUAL:
            layer = MatchedResidualBlock(**arguments, name=f"residual_{resolution}")
            self.residual_layers[str(resolution)] = layer
        else:
            layer = SelfAttention(self.attention_form, **arguments, name=f"attention_{resolution}")
            self.attention_layers[str(resolution)] = layer

    def _build_placed(self, shape) -> None:
        for layers in (self.attention_layers, self.residual_layers):
            if str(shape[1]) in layers:
                layers[str(shape[1])].build(shape)

    def _attend(self, x, update_u: bool, maps: dict | None, shares: dict | None):
        """x after the layer that stands at its resolution, if there is one; adds to maps and shares."""
        size = x.shape[1]
        if str(size) in self.attention_layers:
            asked = {"return_attention": maps is not None, "return_share": shares is not None}
            outputs = self.attention_layers[str(size)](x, update_u=update_u, **asked)
            x, *others = outputs if any(asked.values()) else (outputs,)
            if shares is not None:
                shares[size] = others.pop()
            if maps is not None:
                maps[size] = others.pop()
        if str(size) in self.residual_layers:
            x = self.residual_layers[str(size)](x, update_u=update_u)
        return x


def check_attention(attention, allowed, role: str) -> tuple[int, ...]:
    for resolution in attention:
        if resolution not in allowed:
            raise ValueError(f"{role} attention at {resolution}: allowed are {', '.join(map(str, allowed))}")
    return tuple(attention)


def check_initializer(initializer: str) -> str:
    if initializer not in INITIALIZERS:
        raise ValueError(f"initializer={initializer!r}: allowed are {', '.join(INITIALIZERS)}")
    return initializer


def with_others(output, *others):
    """The output alone, or in a tuple with those of the others that are not None."""
    outputs = (output, *(other for other in others if other is not None))
    return outputs if len(outputs) > 1 else output


def attributes(instance, names: str) -> dict:
    return {name: getattr(instance, name) for name in names.split()}
