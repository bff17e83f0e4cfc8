"""Frechet distance between Gaussians (Dowson and Landau 1982): FID, and intra-FID over classes."""

import typing

import numpy as np

from sagan_tf.metrics import tfgan
from sagan_tf.metrics.moments import Gaussian, gaussian

_ROUNDING = 1e-12  # relative; moments of the same images in another order differ by less
_SVD_UP_TO = 512  # rows; beyond this, eigvalsh finds the squared singular values several times faster


def tfgan_distance(a: Gaussian, b: Gaussian, unit: float = 1.0) -> float:
    """|m_a - m_b|^2 + Tr(C_a + C_b - 2 (C_a C_b)^(1/2)), FID (Heusel et al. 2017, equation 6), by TF-GAN.

    This is TF-GAN's `frechet_classifier_distance_from_activations` on stored moments: the trace of the root
    is its `trace_sqrt_product`. The activations themselves would take 4 GB more for 50,000 images.

    Args:
      a, b: moments of features.
      unit: the unit of the features. TF-GAN takes eigenvalues under 1e-10 of the product for 0. That suits
        Inception, for which it is 1; see `typical_size` for other networks.

    Returns:
      The distance; exactly 0 where the moments are equal but for rounding.
    """
    _check(a, b)
    c_a, c_b = a.covariance() / unit**2, b.covariance() / unit**2
    if _equal(a.mean, b.mean) and _equal(c_a, c_b):
        return 0.0
    with tfgan.computing():
        trace = float(tfgan.evaluation().classifier_metrics.trace_sqrt_product(c_a, c_b))
    value = np.sum(((a.mean - b.mean) / unit) ** 2) + np.trace(c_a) + np.trace(c_b) - 2.0 * trace
    return max(float(value) * unit**2, 0.0)


def typical_size(features: Gaussian) -> float:
    """The root of the mean variance of features: a unit in which they are of order 1."""
    return float(np.sqrt(np.vdot(features.root, features.root) / len(features.mean))) or 1.0


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """The same distance, fast where there are few samples: intra-FID of 1,000 classes needs it.

    With roots C = R^T R the eigenvalues of C_a C_b are the squared singular values of R_a R_b^T, so
    the trace of its root is the sum of these singular values. The matrix is r_a x r_b: 50 samples against
    1,300 of 2,048 features need no 2048 x 2048 matrix. TF-GAN would take 4 hours for 1,000 classes.
    """
    _check(a, b)
    product = a.root @ b.root.T
    if min(product.shape) <= _SVD_UP_TO:
        trace = np.linalg.svd(product, compute_uv=False).sum()
    else:
        small = product if len(product) <= product.shape[1] else product.T
        trace = np.sqrt(np.maximum(np.linalg.eigvalsh(small @ small.T), 0.0)).sum()
    variances = np.vdot(a.root, a.root) + np.vdot(b.root, b.root)
    value = float(np.sum((a.mean - b.mean) ** 2) + variances - 2.0 * trace)
    return value if value > _ROUNDING * variances else 0.0


def _check(a: Gaussian, b: Gaussian) -> None:
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"features differ in number: {len(a.mean)} and {len(b.mean)}")


def _equal(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether two arrays are the same but for rounding."""
    return bool(np.abs(x - y).max() <= _ROUNDING * np.abs(x).max())


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
