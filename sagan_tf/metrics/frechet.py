"""Frechet distance between Gaussians (Dowson and Landau 1982): FID, and intra-FID over classes."""

import typing

import numpy as np

from sagan_tf.metrics.moments import Gaussian, gaussian

_SVD_UP_TO = 512  # rows; above it the singular values' squares, by eigvalsh, are several times faster


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """|m_a - m_b|^2 + Tr(C_a + C_b - 2 (C_a C_b)^(1/2)): FID (Heusel et al. 2017, equation 6).

    With roots C = R^T R the eigenvalues of C_a C_b are the squared singular values of R_a R_b^T, so
    the last trace is the sum of these singular values. The matrix is r_a x r_b: 50 samples against
    1,300 of 2,048 features need no 2048 x 2048 matrix (TF-GAN's `trace_sqrt_product` takes two
    singular value decompositions of that size; the result is the same to rounding).
    """
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"features differ in number: {len(a.mean)} and {len(b.mean)}")
    product = a.root @ b.root.T
    if min(product.shape) <= _SVD_UP_TO:
        trace = np.linalg.svd(product, compute_uv=False).sum()
    else:
        small = product if len(product) <= product.shape[1] else product.T
        trace = np.sqrt(np.maximum(np.linalg.eigvalsh(small @ small.T), 0.0)).sum()
    variances = np.vdot(a.root, a.root) + np.vdot(b.root, b.root)
    return float(np.sum((a.mean - b.mean) ** 2) + variances - 2.0 * trace)


class ClassDistance(typing.NamedTuple):
    """The Frechet distance within one class."""

    label: int
    value: float
    real_samples: int
    generated_samples: int


def class_distances(
    real_features: typing.Callable[[int], np.ndarray], generated: typing.Mapping[int, Gaussian]
) -> list[ClassDistance]:
    """The distance within each class, whose mean is intra-FID (Miyato and Koyama 2018, section 4.1).

    Args:
      real_features: gives the features (n, D) of a label's real images; one class is in memory at a time.
      generated: moments of the generated images of each label.

    Returns:
      One entry a label, in rising order.
    """
    distances = []
    for label in sorted(generated):
        real = gaussian(real_features(label))
        value = frechet_distance(real, generated[label])
        distances.append(ClassDistance(label, value, real.count, generated[label].count))
    return distances
