"""Inception score (Salimans et al. 2016, section 4), by TF-GAN."""

import numpy as np

from sagan_tf.metrics import tfgan


def split_scores(logits: np.ndarray, splits: int, seed: int) -> np.ndarray:
    """TF-GAN's `classifier_score_from_logits` of each part of the images: exp(mean_x KL(p(y|x) || p(y))).

    The parts are random, so the score does not depend on any order by class in which the images come.

    Args:
      logits: (n, K), of the images.
      splits: number of parts, at most n.
      seed: of the order in which the images are shared out.

    Returns:
      float64 (splits,).
    """
    part = np.random.default_rng(seed).permutation(len(logits)) * splits // len(logits)
    score = tfgan.evaluation().classifier_score_from_logits
    with tfgan.computing():
        return np.array([float(score(logits[part == number].astype(np.float64))) for number in range(splits)])
