"""The Keras layers that SAGAN is made of, for any Keras model. README.md beside this file has recipes."""

from sagan_tf.layers.conditional_batch_norm import (
    ConditionalBatchNormalization,
    LinearConditionalBatchNormalization,
)
from sagan_tf.layers.matched_residual_block import MatchedResidualBlock
from sagan_tf.layers.self_attention import ATTENTION_FORMS, SelfAttention
from sagan_tf.layers.spectral_norm_wrapper import SpectralNorm
from sagan_tf.layers.spectral_normalization import SNConv2D, SNDense, SNEmbedding, SpectrallyNormalized

__all__ = [
    "ATTENTION_FORMS",
    "ConditionalBatchNormalization",
    "LinearConditionalBatchNormalization",
    "MatchedResidualBlock",
    "SNConv2D",
    "SNDense",
    "SNEmbedding",
    "SelfAttention",
    "SpectralNorm",
    "SpectrallyNormalized",
]
