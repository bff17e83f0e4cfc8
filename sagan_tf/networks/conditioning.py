"""Three ways by which classes and z reach the generator beyond its first layer, one Python class each.

Each has
  z_parts: into how many equal parts z is divided.
  make_norm(name=...): a new batch norm of a block.
  make_embedding(): the class embedding that all blocks share, or None.
  inputs(z, labels, embedding): what the dense layer gets, then what the norms of each block get.
"""

import functools

import tensorflow as tf

from sagan_tf.layers import (
    ConditionalBatchNormalization,
    LinearConditionalBatchNormalization,
    SNEmbedding,
)


class ClassTable:
    """Every norm has a table of gains and biases, a row a class (SAGAN). The dense layer gets all of z.

    Args:
      classes: 0 for one gain and bias a norm.
      blocks: of the generator.
      norms: arguments of every norm.
    """

    z_parts = 1

    def __init__(self, classes: int, blocks: int, norms: dict):
        self._blocks = blocks
        self.make_norm = functools.partial(ConditionalBatchNormalization, classes, **norms)

    def make_embedding(self):
        return None

    def inputs(self, z, labels, embedding):
        return z, [labels] * self._blocks


class SharedEmbedding:
    """All norms project one class embedding to gains and biases. The dense layer gets all of z.

    As in BigGAN-PyTorch the embedding has no spectral normalization.

    Args:
      classes, size: rows of the embedding and their length.
      blocks, norms: as of `ClassTable`.
      kernels: `spectral_norm` and `kernel_initializer` of the projections.
    """

    z_parts = 1

    def __init__(self, classes: int, size: int, blocks: int, norms: dict, kernels: dict):
        if not classes:
            raise ValueError(f"embedding_size={size}: there are no classes")
        self._classes, self._size, self._blocks = classes, size, blocks
        self._initializer = kernels["kernel_initializer"]
        self.make_norm = functools.partial(LinearConditionalBatchNormalization, size, **kernels, **norms)

    def make_embedding(self):
        return _embedding(self._classes, self._size, self._initializer)

    def inputs(self, z, labels, embedding):
        return z, [embedding(labels)] * self._blocks


class EmbeddingAndZParts:
    """All norms of a block project the block's part of z and the class embedding (BigGAN, appendix B).

    The dense layer gets the first part of z. Without classes there is no embedding.

    Args:
      classes, size: rows of the embedding and their length; both 0 without classes.
      z_dim: length of z, a multiple of blocks + 1.
      blocks, norms, kernels: as of `SharedEmbedding`.
    """

    def __init__(self, classes: int, size: int, z_dim: int, blocks: int, norms: dict, kernels: dict):
        if classes and not size:
            raise ValueError("hierarchical_z: needs embedding_size where there are classes")
        if size and not classes:
            raise ValueError(f"embedding_size={size}: there are no classes")
        self.z_parts = blocks + 1
        if z_dim % self.z_parts:
            raise ValueError(f"z_dim={z_dim}: with hierarchical_z a multiple of {self.z_parts} is needed")
        self._classes, self._size, self._initializer = classes, size, kernels["kernel_initializer"]
        condition_size = z_dim // self.z_parts + size
        self.make_norm = functools.partial(
            LinearConditionalBatchNormalization, condition_size, **kernels, **norms
        )

    def make_embedding(self):
        return _embedding(self._classes, self._size, self._initializer) if self._size else None

    def inputs(self, z, labels, embedding):
        first, *parts = tf.split(z, self.z_parts, axis=1)
        if embedding is not None:
            embedded = embedding(labels)
            parts = [tf.concat([tf.cast(part, tf.float32), embedded], axis=1) for part in parts]
        return first, parts


def _embedding(classes: int, size: int, initializer: str) -> SNEmbedding:
    return SNEmbedding(
        classes,
        size,
        spectral_norm=False,
        kernel_initializer=initializer,
        dtype="float32",
        name="embedding",
    )
