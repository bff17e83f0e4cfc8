"""SAGAN's generator."""

import functools

import keras
import tensorflow as tf

from sagan_tf.layers import ConditionalBatchNormalization, SNConv2D, SNDense
from sagan_tf.layers.residual_blocks import UpBlock
from sagan_tf.networks.architectures import ARCHITECTURES, FIRST_RESOLUTION, generator_resolutions
from sagan_tf.networks.network import Network, attributes, check_attention, with_others


@keras.saving.register_keras_serializable("sagan_tf")
class Generator(Network):
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
        self.attention = check_attention(attention, generator_resolutions(image_size), "generator")
        self.attention_form, self.attention_key_ratio = attention_form, attention_key_ratio
        self.spectral_norm, self.synchronized = spectral_norm, synchronized
        policy = self.dtype_policy
        conv = functools.partial(SNConv2D, spectral_norm=spectral_norm, dtype=policy)
        norm = functools.partial(ConditionalBatchNormalization, synchronized=synchronized, dtype=policy)
        widths = [channels * multiple for multiple in ARCHITECTURES[image_size].generator]
        self.first_width = widths[0]
        self.dense = SNDense(
            FIRST_RESOLUTION**2 * widths[0], spectral_norm=spectral_norm, dtype=policy, name="dense"
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
        shape = (None, FIRST_RESOLUTION, FIRST_RESOLUTION, self.first_width)
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
        x = tf.reshape(x, (-1, FIRST_RESOLUTION, FIRST_RESOLUTION, self.first_width))
        for block in self.blocks:
            x = block(x, labels, training=training, update_state=update_state)
            x = self._attend(x, update_state, maps, shares)
        x = tf.nn.relu(self.last_norm(x, training=training, update_statistics=update_state))
        images = tf.tanh(tf.cast(self.last_conv(x, update_u=update_state), tf.float32))
        return with_others(images, maps if return_attention else None, shares if return_shares else None)

    def get_config(self):
        names = "image_size channels classes z_dim attention attention_form attention_key_ratio"
        return super().get_config() | attributes(self, f"{names} spectral_norm synchronized")
