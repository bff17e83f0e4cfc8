"""SAGAN's generator, and BigGAN's ways of conditioning it."""

import functools

import keras
import tensorflow as tf

from sagan_tf.layers import (
    ConditionalBatchNormalization,
    LinearConditionalBatchNormalization,
    SNConv2D,
    SNDense,
    SNEmbedding,
)
from sagan_tf.networks.architectures import ARCHITECTURES, FIRST_RESOLUTION, generator_resolutions
from sagan_tf.networks.blocks import UpBlock
from sagan_tf.networks.network import (
    INITIALIZERS,
    Network,
    attributes,
    check_attention,
    check_initializer,
    with_others,
)

_CONDITIONING = "embedding_size hierarchical_z initializer"


@keras.saving.register_keras_serializable("sagan_tf")
class Generator(Network):
    """z and labels -> images. At 128x128 it is the original's `generator_test`.

    With `embedding_size` and `hierarchical_z` it is conditioned as BigGAN's (Brock et al. 2019, section 3
    and appendix B): one class embedding for all blocks and a part of z for each block, from which
    `LinearConditionalBatchNormalization` makes gains and biases. As in its author's code (BigGAN-PyTorch),
    the dense layer gets the first part of z alone, and the embedding has no spectral normalization.
    A block's vector is its part of z, then the embedding.

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
      embedding_size: length of a class embedding that all blocks share; 0 for a table of gains and
        biases in each norm, as in SAGAN.
      hierarchical_z: whether z is divided into blocks + 1 equal parts, the first for the dense layer, the
        others for the norms of the blocks. With classes it needs `embedding_size`.
      initializer: of all kernels and of the embedding: "glorot" (uniform), or "orthogonal" (of
        the matrix (fan-in, outputs) the rows or the columns, whichever are fewer, are orthonormal).

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
        embedding_size: int = 0,
        hierarchical_z: bool = False,
        initializer: str = "glorot",
        name: str = "generator",
        **model_arguments,
    ):
        super().__init__(name=name, **model_arguments)
        self.image_size, self.channels, self.classes, self.z_dim = image_size, channels, classes, z_dim
        self.attention = check_attention(attention, generator_resolutions(image_size), "generator")
        self.attention_form, self.attention_key_ratio = attention_form, attention_key_ratio
        self.spectral_norm, self.synchronized = spectral_norm, synchronized
        self.embedding_size, self.hierarchical_z = embedding_size, hierarchical_z
        self.initializer = check_initializer(initializer)
        self._check_conditions()
        policy = self.dtype_policy
        kernels = {"spectral_norm": spectral_norm, "kernel_initializer": INITIALIZERS[initializer]}
        conv = functools.partial(SNConv2D, dtype=policy, **kernels)
        norm = self._norm(kernels)
        widths = [channels * multiple for multiple in ARCHITECTURES[image_size].generator]
        self.first_width = widths[0]
        self.dense = SNDense(FIRST_RESOLUTION**2 * widths[0], dtype=policy, name="dense", **kernels)
        self.blocks, self.attention_layers, self.residual_layers = [], {}, {}
        for resolution, width in zip(generator_resolutions(image_size), widths, strict=True):
            block = UpBlock(width, conv, norm, dtype=policy, name=f"block_{resolution}")
            self.blocks.append(block)
            if resolution in self.attention:
                self._place(resolution)
        self.last_norm = ConditionalBatchNormalization(
            0, momentum=0.9999, synchronized=synchronized, dtype=policy, name="last_norm"
        )
        self.last_conv = conv(3, name="last_conv")
        self.embedding = None
        if embedding_size:
            kernels |= {"spectral_norm": False}
            self.embedding = SNEmbedding(
                classes, embedding_size, dtype="float32", name="embedding", **kernels
            )

    def _check_conditions(self) -> None:
        if self.embedding_size and not self.classes:
            raise ValueError(f"embedding_size={self.embedding_size}: there are no classes")
        if self.hierarchical_z and self.classes and not self.embedding_size:
            raise ValueError("hierarchical_z: needs embedding_size where there are classes")
        if self.z_dim % self._z_parts:
            raise ValueError(
                f"z_dim={self.z_dim}: with hierarchical_z a multiple of {self._z_parts} is needed"
            )

    @property
    def _z_parts(self) -> int:
        return len(ARCHITECTURES[self.image_size].generator) + 1 if self.hierarchical_z else 1

    def _norm(self, kernels: dict):
        """The norm of the blocks: a function of its name."""
        shared = {"synchronized": self.synchronized, "dtype": self.dtype_policy}
        size = self.embedding_size + (self.z_dim // self._z_parts if self.hierarchical_z else 0)
        if size:
            return functools.partial(LinearConditionalBatchNormalization, size, **kernels, **shared)
        return functools.partial(ConditionalBatchNormalization, self.classes, **shared)

    def build(self, input_shape=None):
        self.dense.build((None, self.z_dim // self._z_parts))
        if self.embedding is not None:
            self.embedding.build((None,))
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
        maps, shares = {} if return_attention else None, {} if return_shares else None
        z, *conditions = self._conditions(z, labels)
        x = self.dense(tf.cast(z, self.compute_dtype), update_u=update_state)
        x = tf.reshape(x, (-1, FIRST_RESOLUTION, FIRST_RESOLUTION, self.first_width))
        for block, condition in zip(self.blocks, conditions, strict=True):
            x = self._run(block, x, condition, training=training, update_state=update_state)
            x = self._attend(x, update_state, maps, shares)
        x = tf.nn.relu(self.last_norm(x, training=training, update_statistics=update_state))
        images = tf.tanh(tf.cast(self.last_conv(x, update_u=update_state), tf.float32))
        return with_others(images, maps, shares)

    def _conditions(self, z, labels) -> list:
        """What the dense layer gets, then what the norms of each block get: labels, or float (B, size)."""
        first, *parts = tf.split(z, self._z_parts, axis=1)
        embedded = [] if self.embedding is None else [self.embedding(labels)]
        if not parts:
            parts = [*embedded, labels][:1] * len(self.blocks)
        elif embedded:
            parts = [tf.concat([tf.cast(part, tf.float32), *embedded], axis=1) for part in parts]
        return [first, *parts]

    def get_config(self):
        names = "image_size channels classes z_dim attention attention_form attention_key_ratio"
        return super().get_config() | attributes(self, f"{names} spectral_norm synchronized {_CONDITIONING}")
