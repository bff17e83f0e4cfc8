"""Draws z, by seed and number of the sample."""

import numpy as np
import tensorflow as tf


@tf.function(
    input_signature=[
        tf.TensorSpec((None,), tf.int64),
        *[tf.TensorSpec((), tf.int64)] * 2,
        tf.TensorSpec((), tf.float32),
    ]
)
def draw_z(indices: tf.Tensor, seed: tf.Tensor, z_dim: tf.Tensor, truncation: tf.Tensor) -> tf.Tensor:
    """z of the samples with these numbers, float32 (b, z_dim).

    Sample i of a seed is the same in every batch. Standard normal; with
    `truncation` t > 0 restricted to [-t, t], as if values beyond were drawn again (BigGAN, section 3.1).
    """
    return tf.map_fn(
        lambda index: draw_one_z(index, seed, z_dim, truncation),
        indices,
        fn_output_signature=tf.TensorSpec((None,), tf.float32),
    )


def draw_one_z(index, seed, z_dim, truncation):
    """z of one sample, float32 (z_dim,), see `draw_z`; index and seed are int64, truncation is float32."""
    pair = tf.stack([seed, index])

    def truncated():
        low = 0.5 * (1.0 + tf.math.erf(-truncation / np.sqrt(2.0)))
        z = tf.math.ndtri(tf.random.stateless_uniform((z_dim,), pair, low, 1.0 - low))
        return tf.clip_by_value(z, -truncation, truncation)  # the quantile of 0 is infinite

    return tf.cond(truncation > 0, truncated, lambda: tf.random.stateless_normal((z_dim,), pair))
