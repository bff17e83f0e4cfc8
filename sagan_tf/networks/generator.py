"""SAGAN's generator and projection discriminator: one definition each, sizes and variants are arguments."""

import functools
import typing

import keras
import tensorflow as tf

from sagan_tf.layers import (
    ConditionalBatchNormalization,
    MatchedResidualBlock,
    SelfAttention,
    SNConv2D,
    SNDense,
    SNEmbedding,
)
from sagan_tf.layers.residual_blocks import DownBlock, UpBlock

RESIDUAL = "residual"  # the form of attention that is none
_FIRST_RESOLUTION = 4  # the generator's first feature map


class Architecture(typing.NamedTuple):
    """Output channels of the blocks, in multiples of the base channels, and how many D blocks downsample."""

    generator: tuple[int, ...]
    discriminator: tuple[int, ...]
    downsampling: int


# 128 is the original's generator_test and discriminator_test. 32 is SNGAN's CIFAR-10 network (Miyato et al.
# 2018, table 4: 256 channels in G, 128 in D); the other sizes follow BigGAN (Brock et al. 2019, appendix B).
ARCHITECTURES = {
    32: Architecture((4, 4, 4), (4, 4, 4, 4), 2),
    64: Architecture((16, 8, 4, 2), (1, 2, 4, 8, 16), 4),
    128: Architecture((16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), 5),
    256: Architecture((16, 8, 8, 4, 2, 1), (1, 2, 4, 8, 8, 16, 16), 6),
    512: Architecture((16, 8, 8, 4, 2, 1, 1), (1, 1, 2, 4, 8, 8, 16, 16), 7),
}


def generator_resolutions(image_size: int) -> tuple[int, ...]:
    """The resolution after each block of the generator: where attention can be placed."""
    blocks = len(ARCHITECTURES[image_size].generator)
    return tuple(_FIRST_RESOLUTION * 2 ** (index + 1) for index in range(blocks))


def discriminator_resolutions(image_size: int) -> tuple[int, ...]:
    """The resolution after each downsampling block of the discriminator: where attention can be placed."""
    return tuple(image_size // 2 ** (index + 1) for index in range(ARCHITECTURES[image_size].downsampling))


def _check_attention(attention, allowed, role: str) -> tuple[int, ...]:
    for resolution in attention:
        if resolution not in allowed:
            raise ValueError(f"{role} attention at {resolution}: allowed are {', '.join(map(str, allowed))}")
    return tuple(attention)


class _Network(keras.Model):
    """What both networks do alike: attention, or the residual block in its place, at some resolutions."""

    def _place(self, resolution: int) -> None:
        arguments = {
            "key_ratio": self.attention_key_ratio,
            "spectral_norm": self.spectral_norm,
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

    def _attend(self, x, update_u: bool, maps: dict, shares: dict):
        """x after the layer that stands at its resolution, if there is one; adds to maps and shares."""
        size = x.shape[1]
        if str(size) in self.attention_layers:
            x, maps[size], shares[size] = self.attention_layers[str(size)](
                x, update_u=update_u, return_attention=True, return_share=True
            )
        if str(size) in self.residual_layers:
            x = self.residual_layers[str(size)](x, update_u=update_u)
        return x


@keras.saving.register_keras_serializable("sagan_tf")
class Generator(_Network):
    """z and labels -> images. At 128x128 it is the original's `generator_test`.

    Args:
      image_size: a key of `ARCHITECTURES`.
      channels: base width; the feature map at 128x128 of the 128x128 network has this many.
      classes: number of classes; 0 for an unconditional generator.
      z_dim: length of z.
      attention: resolutions after whose block an attention layer stands.
      attention_form, attention_key_ratio: see `SelfAttention`; with the form "residual" there is a
        `MatchedResidualBlock` in its place, and there are no maps and no shares.
      spectral_norm: whether convolutions, the dense layer and attention are spectrally normalized.
      synchronized: whether batch statistics are those of all replicas together.

    Call arguments:
      z: float32 (B, z_dim), standard normal.
      labels: int32 (B,), in [0, classes); None where unconditional.
      training: whether batch norm uses the batch's statistics.
      update_state: whether this pass stores u and moves the moving averages.
      return_attention: whether to return the attention maps as well.
      return_shares: whether to return |gamma o| / |x| of every attention layer as well.

    Returns: float32 images (B, image_size, image_size, 3) in [-1, 1]; with `return_attention` also
      a dictionary from resolution to float32 (B, N, M), with `return_shares` one to float32 (B,).
    """

    def __init__(
        self,
        image_size: int = 128,
        channels: int = 64,
        classes: int = 1000,
        z_dim: int = 128,
        attention=(32,),
        attention_form: str = "original",
        attention_key_ratio: int = 8,
        spectral_norm: bool = True,
        synchronized: bool = False,
        name: str = "generator",
        **model_arguments,
    ):
        super().__init__(name=name, **model_arguments)
        self.image_size, self.channels, self.classes, self.z_dim = image_size, channels, classes, z_dim
        self.attention = _check_attention(attention, generator_resolutions(image_size), "generator")
        self.attention_form, self.attention_key_ratio = attention_form, attention_key_ratio
        self.spectral_norm, self.synchronized = spectral_norm, synchronized
        policy = self.dtype_policy
        conv = functools.partial(SNConv2D, spectral_norm=spectral_norm, dtype=policy)
        norm = functools.partial(ConditionalBatchNormalization, synchronized=synchronized, dtype=policy)
        widths = [channels * multiple for multiple in ARCHITECTURES[image_size].generator]
        self.first_width = widths[0]
        self.dense = SNDense(
            _FIRST_RESOLUTION**2 * widths[0], spectral_norm=spectral_norm, dtype=policy, name="dense"
        )
        self.blocks, self.attention_layers, self.residual_layers = [], {}, {}
        for resolution, width in zip(generator_resolutions(image_size), widths, strict=True):
            block = UpBlock(
                width, conv, functools.partial(norm, classes), dtype=policy, name=f"block_{resolution}"
            )
            self.blocks.append(block)
            if resolution in self.attention:
                self._place(resolution)
        self.last_norm = norm(0, momentum=0.9999, name="last_norm")
        self.last_conv = conv(3, name="last_conv")

    def build(self, input_shape=None):
        self.dense.build((None, self.z_dim))
        shape = (None, _FIRST_RESOLUTION, _FIRST_RESOLUTION, self.first_width)
        for block in self.blocks:
            block.build(shape)
            size = 2 * shape[1]
            shape = (None, size, size, block.conv_1.filters)
            self._build_placed(shape)
        self.last_norm.build(shape)
        self.last_conv.build(shape)
        self.built = True

    def call(
        self,
        z,
        labels=None,
        training=False,
        update_state=False,
        return_attention=False,
        return_shares=False,
    ):
        maps, shares = {}, {}
        x = self.dense(tf.cast(z, self.compute_dtype), update_u=update_state)
        x = tf.reshape(x, (-1, _FIRST_RESOLUTION, _FIRST_RESOLUTION, self.first_width))
        for block in self.blocks:
            x = block(x, labels, training=training, update_state=update_state)
            x = self._attend(x, update_state, maps, shares)
        x = tf.nn.relu(self.last_norm(x, training=training, update_statistics=update_state))
        images = tf.tanh(tf.cast(self.last_conv(x, update_u=update_state), tf.float32))
        return _with(images, maps if return_attention else None, shares if return_shares else None)

    def get_config(self):
        names = "image_size channels classes z_dim attention attention_form attention_key_ratio"
        return super().get_config() | _attributes(self, f"{names} spectral_norm synchronized")


@keras.saving.register_keras_serializable("sagan_tf")
class Discriminator(_Network):
    """Images and labels -> logits: the projection discriminator (Miyato and Koyama 2018, equation 4).

    logit = dense(h) + <h, embedding(label)>, h being the sum over positions of the last feature
    map. At 128x128 it is the original's `discriminator_test`.

    Args: as of `Generator`; the base width is that of the first block at 128x128.

    Call arguments:
      images: float32 (B, image_size, image_size, 3) in [-1, 1].
      labels: int32 (B,), in [0, classes); None where unconditional.
      update_u: whether this pass stores u.
      return_attention: whether to return the attention maps as well.
      return_shares: whether to return |gamma o| / |x| of every attention layer as well.

    Returns: float32 logits (B,); with `return_attention` also a dictionary from resolution to
      float32 (B, N, M), with `return_shares` one to float32 (B,).
    """

    def __init__(
        self,
        image_size: int = 128,
        channels: int = 64,
        classes: int = 1000,
        attention=(32,),
        attention_form: str = "original",
        attention_key_ratio: int = 8,
        spectral_norm: bool = True,
        name: str = "discriminator",
        **model_arguments,
    ):
        super().__init__(name=name, **model_arguments)
        self.image_size, self.channels, self.classes = image_size, channels, classes
        self.attention = _check_attention(attention, discriminator_resolutions(image_size), "discriminator")
        self.attention_form, self.attention_key_ratio = attention_form, attention_key_ratio
        self.spectral_norm = spectral_norm
        policy = self.dtype_policy
        conv = functools.partial(SNConv2D, spectral_norm=spectral_norm, dtype=policy)
        architecture = ARCHITECTURES[image_size]
        self.blocks, self.attention_layers, self.residual_layers = [], {}, {}
        resolution = image_size
        for index, multiple in enumerate(architecture.discriminator):
            down = index < architecture.downsampling
            resolution = resolution // 2 if down else resolution
            name = f"block_{resolution}" if down else f"block_{resolution}_{index}"
            self.blocks.append(
                DownBlock(channels * multiple, conv, index == 0, down, dtype=policy, name=name)
            )
            if down and resolution in self.attention:
                self._place(resolution)
        # The head is float32 whatever the policy: it costs nothing and decides everything.
        self.dense = SNDense(1, spectral_norm=spectral_norm, dtype="float32", name="dense")
        self.embedding = None
        if classes:
            self.embedding = SNEmbedding(
                classes,
                channels * architecture.discriminator[-1],
                spectral_norm=spectral_norm,
                dtype="float32",
                name="embedding",
            )

    def build(self, input_shape=None):
        shape = (None, self.image_size, self.image_size, 3)
        for block in self.blocks:
            block.build(shape)
            size = shape[1] // 2 if block.downsampling else shape[1]
            shape = (None, size, size, block.conv_1.filters)
            if block.downsampling:
                self._build_placed(shape)
        self.dense.build((None, shape[-1]))
        if self.embedding is not None:
            self.embedding.build((None,))
        self.built = True

    def call(self, images, labels=None, update_u=False, return_attention=False, return_shares=False):
        maps, shares = {}, {}
        x = tf.cast(images, self.compute_dtype)
        for block in self.blocks:
            x = block(x, update_u=update_u)
            if block.downsampling:
                x = self._attend(x, update_u, maps, shares)
        h = tf.reduce_sum(tf.cast(tf.nn.relu(x), tf.float32), axis=(1, 2))  # (B, C)
        logits = self.dense(h, update_u=update_u)[:, 0]
        if self.embedding is not None:
            logits += tf.reduce_sum(h * self.embedding(labels, update_u=update_u), axis=1)
        return _with(logits, maps if return_attention else None, shares if return_shares else None)

    def get_config(self):
        names = "image_size channels classes attention attention_form attention_key_ratio spectral_norm"
        return super().get_config() | _attributes(self, names)


def _with(output, *others):
    """The output alone, or in a tuple with those of the others that are not None."""
    outputs = (output, *(other for other in others if other is not None))
    return outputs if len(outputs) > 1 else output


def _attributes(instance, names: str) -> dict:
    return {name: getattr(instance, name) for name in names.split()}
