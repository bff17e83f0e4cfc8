"""Ways from one point to another."""

import numpy as np


def spherical(start: np.ndarray, end: np.ndarray, steps: int) -> np.ndarray:
    """Points on the arc from one z to another, float32 (steps, z_dim), both ends included.

    A straight line between normal vectors passes closer to 0 than samples of z lie. The arc keeps their
    length (White 2016, arXiv:1609.04468, section 2.1).

    Args:
      start, end: (z_dim,).
      steps: at least 2.
    """
    cosine = np.dot(start, end) / (np.linalg.norm(start) * np.linalg.norm(end))
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    t = np.linspace(0.0, 1.0, steps)[:, None]
    if np.sin(angle) < 1e-6:  # both on one line through 0: there is no unique arc
        return (start + t * (end - start)).astype(np.float32)
    points = (np.sin((1.0 - t) * angle) * start + np.sin(t * angle) * end) / np.sin(angle)
    return points.astype(np.float32)


def between_classes(labels, classes: int, steps: int) -> np.ndarray:
    """Weights of the classes from each label to the next, float32 ((n - 1) * steps, classes)."""
    one_hot = np.eye(classes, dtype=np.float32)[labels]
    t = np.linspace(0.0, 1.0, steps, dtype=np.float32)[:, None]
    pairs = zip(one_hot[:-1], one_hot[1:], strict=True)
    return np.concatenate([start + t * (end - start) for start, end in pairs])
