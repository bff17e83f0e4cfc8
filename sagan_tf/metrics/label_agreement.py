"""Share of the generated images that a classifier gives the class that was asked for."""

import numpy as np


class Agreement:
    """Counts, over a stream, how often the largest logit is the asked class's."""

    def __init__(self):
        self.count = self.agreed = 0

    def update(self, logits: np.ndarray, labels: np.ndarray) -> None:
        """Adds logits (b, K) and the labels asked for, int (b,)."""
        self.count += len(labels)
        self.agreed += int(np.sum(np.argmax(logits, axis=1) == labels))

    def result(self) -> tuple[float, float]:
        """The share and its binomial standard error."""
        share = self.agreed / self.count
        return share, float(np.sqrt(share * (1 - share) / self.count))
