"""SAGAN's generator, and BigGAN's ways of conditioning it."""

import functools

import keras
import tensorflow as tf

from sagan_tf.layers import ConditionalBatchNormalization, SNConv2D, SNDense
from sagan_tf.networks.architectures import ARCHITECTURES, FIRST_RESOLUTION, generator_resolutions
from sagan_tf.networks.blocks import UpBlock
from sagan_tf.networks.conditioning import ClassTable, EmbeddingAndZParts, SharedEmbedding
from sagan_tf.networks.network import (
    INITIALIZERS,
    Look,
    Network,
    check_attention,
    check_attention_form,
    check_image_size,
    check_initializer,
    check_inputs,
)

_CONFIG = (
    "image_size",
    "channels",
    "classes",
    "z_dim",
    "attention",
    "attention_form",
    "attention_key_ratio",
    "spectral_norm",
    "synchronized",
    "embedding_size",
    "hierarchical_z",
    "initializer",
    "fast",
    "statistics_momentum",
)


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
      attention_form, attention_key_ratio: see `SelfAttention`; where there are fewer channels than the
        ratio, queries and keys have one. With the form "residual" a `MatchedResidualBlock` stands in
        attention's place, and there are no maps and no shares.
      spectral_norm: whether convolutions, the dense layer and attention are spectrally normalized.
      synchronized: whether batch statistics are those of all replicas together.
      embedding_size: length of a class embedding that all blocks share; 0 for a table of gains and
        biases in each norm, as in SAGAN.
      hierarchical_z: whether z is divided into blocks + 1 equal parts, the first for the dense layer, the
        others for the norms of the blocks. With classes it needs `embedding_size`.
      initializer: of all kernels and of the embedding: "glorot" (uniform), or "orthogonal" (of
        the matrix (fan-in, outputs) the rows or the columns, whichever are fewer, are orthonormal).
      fast: whether convolutions and attention have their fast forms, see `SNConv2D` and `SelfAttention`.
      statistics_momentum: decay of the norms' moving averages of batch statistics. They should remember
        about as many steps as the average of the weights that they are used with.

    Call arguments:
      z: float32 (B, z_dim), standard normal.
      labels: int32 (B,), in [0, classes); None where unconditional.
      training: whether batch norm uses the batch's statistics.
      update_state: whether this pass stores u and moves the moving averages; None: in training, as the
        layers of `sagan_tf.layers` do.

    Returns: float32 images (B, image_size, image_size, 3) in [-1, 1]. For attention maps see `look`.

    Raises:
      ValueError: an argument that does not fit; it names the value.

    >>> generator = Generator(image_size=32, channels=4, classes=10, z_dim=16, attention=(16,))
    >>> generator(np.zeros((2, 16), "float32"), np.array([3, 7])).shape
    TensorShape([2, 32, 32, 3])
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
        fast: bool = False,
        statistics_momentum: float = 0.999,
        name: str = "generator",
        **model_arguments,
    ):
        super().__init__(name=name, **model_arguments)
        self.image_size, self.channels = check_image_size(image_size), channels
        self.classes, self.z_dim = classes, z_dim
        self.attention = check_attention(attention, generator_resolutions(image_size), "generator")
        self.attention_form = check_attention_form(attention_form)
        self.attention_key_ratio = attention_key_ratio
        self.spectral_norm, self.synchronized = spectral_norm, synchronized
        self.embedding_size, self.hierarchical_z = embedding_size, hierarchical_z
        self.initializer, self.fast = check_initializer(initializer), fast
        self.statistics_momentum = statistics_momentum
        policy = self.dtype_policy
        norms = {"momentum": statistics_momentum, "synchronized": synchronized, "dtype": policy}
        kernels = {"spectral_norm": spectral_norm, "kernel_initializer": INITIALIZERS[initializer]}
        conv = functools.partial(SNConv2D, dtype=policy, fast=fast, **kernels)
        self.conditioning = self._make_conditioning(norms, kernels)
        widths = [channels * multiple for multiple in ARCHITECTURES[image_size].generator]
        self.first_width = widths[0]
        self.dense = SNDense(FIRST_RESOLUTION**2 * widths[0], dtype=policy, name="dense", **kernels)
        self.blocks, self.attention_layers, self.residual_layers = [], {}, {}
        for resolution, width in zip(generator_resolutions(image_size), widths, strict=True):
            block = UpBlock(
                width, conv, self.conditioning.make_norm, dtype=policy, name=f"block_{resolution}"
            )
            self.blocks.append(block)
            if resolution in self.attention:
                self._place(resolution, width)
        self.last_norm = ConditionalBatchNormalization(0, **norms, name="last_norm")
        self.last_conv = conv(3, name="last_conv")
        self.embedding = self.conditioning.make_embedding()

    def _make_conditioning(self, norms: dict, kernels: dict):
        blocks = len(ARCHITECTURES[self.image_size].generator)
        if self.hierarchical_z:
            return EmbeddingAndZParts(self.classes, self.embedding_size, self.z_dim, blocks, norms, kernels)
        if self.embedding_size:
            return SharedEmbedding(self.classes, self.embedding_size, blocks, norms, kernels)
        return ClassTable(self.classes, blocks, norms)

    def build(self, input_shape=None):
        self.dense.build((None, self.z_dim // self.conditioning.z_parts))
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
        self._stay_frozen()

    def call(self, z, labels=None, training: bool = False, update_state: bool | None = None) -> tf.Tensor:
        return self._images(z, labels, training, update_state)

    def look(self, z, labels=None) -> Look:
        """Images at inference, with the maps and shares of every attention layer; nothing is stored."""
        inside = Look(None, {}, {})
        return inside._replace(output=self._images(z, labels, False, False, inside))

    def _images(self, z, labels, training: bool, update_state: bool | None, inside: Look | None = None):
        z = check_inputs("z", tf.cast(z, self.compute_dtype), (self.z_dim,))
        z, conditions = self.conditioning.inputs(z, labels, self.embedding)
        x = self.dense(z, update_u=update_state)
        x = tf.reshape(x, (-1, FIRST_RESOLUTION, FIRST_RESOLUTION, self.first_width))
        for block, condition in zip(self.blocks, conditions, strict=True):
            x = self._run(block, x, condition, training=training, update_state=update_state)
            x = self._attend(x, update_state, inside)
        x = tf.nn.relu(self.last_norm(x, training=training, update_statistics=update_state))
        return tf.tanh(tf.cast(self.last_conv(x, update_u=update_state), tf.float32))

    def get_config(self):
        return super().get_config() | {name: getattr(self, name) for name in _CONFIG}
