"""The fast form of mixing: attention over large feature maps, image by image.

`SelfAttention` with `fast=True` uses it. The result is that of the plain form but for rounding
(tests/layers/test_fast_attention.py).

The scores of all images need not pass through memory several times. The gradients are written out: they keep
only the weights, in the precision of the values, and pass over them less often. Measured on CPUs only.

In bfloat16 the scores are bfloat16 too: float32 would take 12% to 14% longer. What is mixed is off by 1% to
2%, the gradients of queries and keys by 1% to 4%. The plain form is off by 0.2%.
"""

import functools

import tensorflow as tf

from sagan_tf.layers.custom_gradient import custom_gradient
from sagan_tf.layers.mixing import mix

# Scores of an image from which this is faster (2-core CPU, batch 8): the layer and its gradients take 0.4 to
# 0.8 of the time at 2**22, 0.5 to 0.9 at 2**20, and as long at 2**18.
_LARGE = 2**20


def is_large(queries: int, keys: int) -> bool:
    """Whether `mix_large` mixes so many positions image by image."""
    return queries * keys >= _LARGE


def mix_large(query, key, value):
    """`mixing.mix`, image by image if the map is large.

    If the batch size is unknown, as in exports, it is the plain form, which every converter knows.
    """
    batch, rows, _ = query.shape
    if None in (batch, rows, key.shape[1]) or not is_large(rows, key.shape[1]):
        return mix(query, key, value)
    return tf.map_fn(
        lambda image: _mix_image(*image),
        (query, key, value),
        fn_output_signature=tf.TensorSpec((rows, value.shape[2]), value.dtype),
        # One image's products fill the cores while another's last rows are computed.
        parallel_iterations=1 if tf.executing_eagerly() else 2,
    )


@custom_gradient
def _mix_image(query, key, value):
    """`mix` of one image: (N, K), (M, K) and (M, C) -> (N, C)."""
    beta = _softmax(tf.matmul(query, key, transpose_b=True))  # (N, M)
    # The values' mean cancels in the gradient of the scores, but its rounding error would not: subtract it.
    mean = tf.reduce_mean(value, axis=0)
    centred = value - mean
    mixed = _product(beta, centred)

    def gradient(upstream):
        # That of the scores is beta * (d - sum over M of beta * d), d = upstream value^T. The sum equals one
        # over C, of mixed * upstream (Dao et al. 2022, appendix B.2), and is taken off within the product.
        total = tf.reduce_sum(tf.cast(mixed, tf.float32) * tf.cast(upstream, tf.float32), axis=1)
        left = tf.concat([upstream, -tf.cast(total, value.dtype)[:, None]], axis=1)  # (N, C + 1)
        right = tf.concat([centred, tf.ones_like(value[:, :1])], axis=1)  # (M, C + 1)
        of_scores = beta * tf.matmul(left, right, transpose_b=True)  # (N, M)
        # Products with few rows are faster than those with few columns.
        of_key = tf.matmul(query, of_scores, transpose_a=True)  # (K, M)
        of_value = tf.matmul(upstream, beta, transpose_a=True)  # (C, M)
        return _product(of_scores, key), tf.transpose(of_key), tf.transpose(of_value)

    # All values may be rounded the same way, so what was subtracted is not exactly the mean.
    taken = tf.reduce_mean(tf.cast(value, tf.float32) - tf.cast(centred, tf.float32), axis=0)
    return tf.cast(tf.cast(mixed, tf.float32) + taken, value.dtype), gradient


def _product(large, small):
    """(N, M) and (M, C) -> (N, C), as a 1x1 convolution: faster in bfloat16 if C is small."""
    return tf.nn.conv2d(large[None, :, None], small[None, None], 1, "VALID")[0, :, 0]


def _softmax(scores):
    """Of each row, computed in float32, in the dtype of `scores`."""
    if scores.dtype == tf.bfloat16 and _rounds_once():
        return tf.nn.softmax(scores)
    return tf.cast(tf.nn.softmax(tf.cast(scores, tf.float32)), scores.dtype)


@functools.cache
def _rounds_once() -> bool:
    """Whether softmax of bfloat16 computes in float32: oneDNN's does, TensorFlow's own rounds every step."""
    with tf.init_scope(), tf.device("CPU:0"):
        scores = tf.cast(tf.linspace(-20.0, 0.0, 1024), tf.bfloat16)[None]
        expected = tf.nn.softmax(tf.cast(scores, tf.float32))
        errors = tf.abs(tf.cast(tf.nn.softmax(scores), tf.float32) / expected - 1)
        return bool(tf.reduce_max(errors) < 1.1 * 2**-8)
