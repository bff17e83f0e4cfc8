"""Improved precision and recall (Kynkaanniemi et al. 2019, equations 1 to 3)."""

import numpy as np

from sagan_tf.metrics.neighbours import centred, squared_distances, squared_radii

NEIGHBOURS = 3  # k, as in the paper


def precision_recall(real: np.ndarray, generated: np.ndarray) -> tuple[float, float]:
    """Share of generated images within the real manifold, and of real ones within the generated.

    A manifold is the union of the balls around its points that reach to their third neighbour.

    Args:
      real, generated: features (n, D) and (m, D), at least 4 each.
    """
    real, generated = centred(real, generated)
    real_radii, generated_radii = (squared_radii(points, NEIGHBOURS) for points in (real, generated))
    precise = 0
    recalled = np.zeros(len(real), bool)
    for part, distances in squared_distances(generated, real):
        precise += int(np.sum(np.any(distances <= real_radii, axis=1)))
        recalled |= np.any(distances <= generated_radii[part, None], axis=0)
    return precise / len(generated), float(recalled.mean())
