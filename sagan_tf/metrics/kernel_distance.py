"""Kernel Inception distance (Binkowski et al. 2018)."""

import numpy as np

MAXIMAL_BLOCK = 1024  # TF-GAN's default
_BLOCKS = 10  # at least so many, for a standard error


def kernel_distance(real: np.ndarray, generated: np.ndarray, seed: int) -> tuple[float, float]:
    """KID and its standard error.

    Both sets are put into random order and cut into equally many blocks of at most 1,024; each block
    gives an unbiased estimate (see `block_estimates`).

    Args:
      real, generated: features (n, D) and (m, D), at least 20 each.
      seed: of the order.

    Returns:
      Mean over the blocks, and its standard error.
    """
    larger = max(len(real), len(generated))
    blocks = max(_BLOCKS, -(-larger // MAXIMAL_BLOCK))
    rng = np.random.default_rng(seed)
    estimates = block_estimates(
        real, generated, rng.permutation(len(real)), rng.permutation(len(generated)), blocks
    )
    return float(estimates.mean()), float(estimates.std(ddof=1) / np.sqrt(blocks))


def block_estimates(real, generated, real_order, generated_order, blocks: int) -> np.ndarray:
    """Unbiased squared MMD of each pair of blocks, in float64, with the kernel (x.y / D + 1)^3.

    The estimator, and the way that samples are shared out, are those of TF-GAN's
    `kernel_classifier_distance_and_std_from_activations`; only one pair of blocks is in float64 at
    a time. The order must be random, or each block sees another part of the distribution.
    """
    estimates = []
    for x, y in zip(_split(real_order, blocks), _split(generated_order, blocks), strict=True):
        x, y = real[x].astype(np.float64), generated[y].astype(np.float64)
        estimates.append(
            _mean_of_pairs(_kernel(x, x)) + _mean_of_pairs(_kernel(y, y)) - 2 * _kernel(x, y).mean()
        )
    return np.array(estimates)


def _split(order: np.ndarray, blocks: int) -> list[np.ndarray]:
    """Nearly equal parts, the smaller ones first."""
    small, larger = divmod(len(order), blocks)
    sizes = [small] * (blocks - larger) + [small + 1] * larger
    return np.split(order, np.cumsum(sizes)[:-1])


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1.0) ** 3


def _mean_of_pairs(kernel: np.ndarray) -> float:
    """Mean over all pairs of different points."""
    n = len(kernel)
    return (kernel.sum() - np.trace(kernel)) / (n * (n - 1))
