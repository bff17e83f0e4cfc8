"""What the metrics need to know about a set of images, gathered in one pass over them."""

import numpy as np

from sagan_tf.metrics.inception_score import SoftmaxSums
from sagan_tf.metrics.label_agreement import Agreement
from sagan_tf.metrics.moments import Gaussian, Moments

MOMENTS = "moments"
CLASS_MOMENTS = "class moments"
FEATURES = "features"
SOFTMAX = "softmax sums"
AGREEMENT = "agreement"
IMAGES = "images"  # not gathered here: see classification_accuracy


class Statistics:
    """Streaming statistics; only those that are named in `keep` take time and memory.

    Moments: D x D numbers. Class moments: of each class no more than D rows of features, or D x D numbers.
    Features: all of them in float32. Softmax sums: one row of K a split. Agreement: a count.

    Args:
      keep: set of the names above.
      num_samples: how many images there will be.
      splits: parts of the Inception score.
      seed: of the random assignment of images to those parts, which makes the score independent of
        any order by class in which the images come.
    """

    def __init__(self, keep, num_samples: int, *, splits: int = 10, seed: int = 0):
        self.keep, self.num_samples = frozenset(keep), num_samples
        self.count = 0
        self.softmax_sums = SoftmaxSums(splits)
        self.agreement = Agreement()
        self._moments, self._class_moments = None, {}
        self._features = None
        self._split = np.random.default_rng(seed).permutation(num_samples) * splits // num_samples

    def update(self, features: np.ndarray, logits: np.ndarray, labels: np.ndarray | None = None) -> None:
        """Adds images.

        Args:
          features: float32 (b, D).
          logits: float32 (b, K).
          labels: int (b,); the classes that the images are, or were asked to be; None if unknown.
        """
        dimension = features.shape[1]
        if MOMENTS in self.keep:
            self._moments = self._moments or Moments(dimension)
            self._moments.update(features)
        if CLASS_MOMENTS in self.keep:
            for label in np.unique(labels):
                moments = self._class_moments.setdefault(int(label), Moments(dimension))
                moments.update(features[labels == label])
        if FEATURES in self.keep:
            if self._features is None:
                self._features = np.empty((self.num_samples, dimension), np.float32)
            self._features[self.count : self.count + len(features)] = features
        if SOFTMAX in self.keep:
            self.softmax_sums.update(logits, self._split[self.count : self.count + len(features)])
        if AGREEMENT in self.keep:
            self.agreement.update(logits, labels)
        self.count += len(features)

    def moments(self) -> Gaussian:
        """Mean and covariance of all features."""
        return self._moments.result()

    def class_moments(self) -> dict[int, Gaussian]:
        """Mean and covariance within each class."""
        return {label: moments.result() for label, moments in self._class_moments.items()}

    def features(self) -> np.ndarray:
        """All features, float32 (count, D)."""
        return self._features[: self.count]
