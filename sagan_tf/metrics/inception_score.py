"""Inception score (Salimans et al. 2016, section 4), streaming."""

import numpy as np

from sagan_tf.metrics.metric import Batch, Measurement


class SoftmaxSums:
    """Sums over the classifier's probabilities that determine the score of each split.

    exp(mean_x KL(p(y|x) || p(y))) = exp(mean_x sum_y p log p - sum_y q log q) with q = mean_x p, so a
    split needs only the sum of p and the sum of p log p, not its logits.

    Args:
      splits: number of parts whose scores are averaged.
    """

    def __init__(self, splits: int):
        self._counts = np.zeros(splits, np.int64)
        self._negative_entropies = np.zeros(splits)
        self._probabilities = None

    def update(self, logits: np.ndarray, split: np.ndarray) -> None:
        """Adds logits (b, K); sample i belongs to part `split[i]`, int (b,)."""
        logits = np.asarray(logits, np.float64)
        logits = logits - logits.max(axis=1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        p = np.exp(log_p)
        if self._probabilities is None:
            self._probabilities = np.zeros((len(self._counts), logits.shape[1]))
        np.add.at(self._counts, split, 1)
        np.add.at(self._negative_entropies, split, np.sum(p * log_p, axis=1))
        np.add.at(self._probabilities, split, p)

    def scores(self) -> np.ndarray:
        """The score of each split, float64 (splits,). Every split must have a sample."""
        q = self._probabilities / self._counts[:, None]
        # A class that has probability 0 everywhere adds 0 log 0 = 0.
        q_log_q = np.sum(q * np.log(np.maximum(q, np.finfo(np.float64).tiny)), axis=1)
        return np.exp(self._negative_entropies / self._counts - q_log_q)


class SplitSums:
    """Gathers the `SoftmaxSums` of random splits of the images.

    Splits are random, so the score does not depend on any order by class in which the images come.
    """

    def __init__(self, measurement: Measurement):
        order = np.random.default_rng(measurement.seed).permutation(measurement.count)
        self._split = order * measurement.splits // measurement.count
        self._sums = SoftmaxSums(measurement.splits)

    def update(self, batch: Batch) -> None:
        """Adds a batch."""
        self._sums.update(batch.logits, self._split[batch.start : batch.start + len(batch.logits)])

    def scores(self) -> np.ndarray:
        """The score of each split, float64 (splits,)."""
        return self._sums.scores()
