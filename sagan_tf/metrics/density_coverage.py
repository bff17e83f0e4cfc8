"""Density and coverage (Naeem et al. 2020, equations 4 and 5)."""

import numpy as np

from sagan_tf.metrics.neighbours import centred, squared_distances, squared_radii

NEIGHBOURS = 5  # k, as in the paper


def density_coverage(real: np.ndarray, generated: np.ndarray) -> tuple[float, float]:
    """How many real balls an image lies in, over k, on average; and the share of balls that hold one.

    Balls are around real images and reach to their fifth neighbour, which lies outside: the authors' code
    has <, the paper's equations <=. A ball's own centre lies inside even where the radius is 0, around an
    image with six or more copies; the authors' < leaves such balls empty, and a set would not cover its own
    copy. Density may exceed 1.

    Args:
      real, generated: features (n, D) and (m, D), at least 6 real ones.
    """
    real, generated = centred(real, generated)
    radii = squared_radii(real, NEIGHBOURS)
    hits = 0
    covered = np.zeros(len(real), bool)
    for _, distances in squared_distances(generated, real):
        inside = (distances < radii) | (distances == 0)
        hits += int(np.count_nonzero(inside))
        covered |= inside.any(axis=0)
    return hits / (NEIGHBOURS * len(generated)), float(covered.mean())
