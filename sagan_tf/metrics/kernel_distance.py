"""Kernel Inception distance (Binkowski et al. 2018), by TF-GAN."""

import numpy as np
import tensorflow as tf

from sagan_tf.metrics import tfgan

_MAXIMAL_BLOCK = 1024  # TF-GAN's default
_BLOCKS = 10  # the least number, for a standard error


def kernel_distance(real: np.ndarray, generated: np.ndarray, seed: int) -> tuple[float, float]:
    """KID and its standard error, by TF-GAN's `kernel_classifier_distance_and_std_from_activations`.

    Both sets are put into random order and cut into equally many blocks, as that function does. It gets one
    pair of blocks at a time, in float64, and returns an unbiased squared MMD with the kernel
    (x.y / D + 1)^3. Given both sets of 50,000 x 2,048 at once it takes 4.3 GiB, and returns the same.

    Args:
      real, generated: features (n, D) and (m, D), at least 20 each.
      seed: of the order.

    Returns:
      Mean over the blocks, and its standard error.
    """
    function = tfgan.evaluation().kernel_classifier_distance_and_std_from_activations
    blocks = number_of_blocks(len(real), len(generated))
    rng = np.random.default_rng(seed)
    places = [_split(rng.permutation(len(features)), blocks) for features in (real, generated)]
    estimates = []
    with tfgan.computing():
        for x, y in zip(*places, strict=True):
            pair = tf.constant(real[x], tf.float64), tf.constant(generated[y], tf.float64)
            estimates.append(float(function(*pair, max_block_size=max(len(x), len(y)))[0]))
    return float(np.mean(estimates)), float(np.std(estimates, ddof=1) / np.sqrt(blocks))


def number_of_blocks(real: int, generated: int) -> int:
    """At least 10, more if a block would hold more than 1,024; each holds at least 2 of either set."""
    larger, smaller = max(real, generated), min(real, generated)
    return min(max(_BLOCKS, -(-larger // _MAXIMAL_BLOCK)), smaller // 2)


def _split(order: np.ndarray, blocks: int) -> list[np.ndarray]:
    """Nearly equal parts, the smaller ones first."""
    small, larger = divmod(len(order), blocks)
    sizes = [small] * (blocks - larger) + [small + 1] * larger
    return np.split(order, np.cumsum(sizes)[:-1])
