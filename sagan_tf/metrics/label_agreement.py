"""Share of the generated images that a classifier gives the class that was asked for."""

import numpy as np

from sagan_tf.metrics.metric import Batch, Measurement


class Agreement:
    """Counts how often the largest logit is that of the class that was asked for."""

    def __init__(self, measurement: Measurement | None = None):
        del measurement
        self.count = self.agreed = 0

    def update(self, batch: Batch) -> None:
        """Adds a batch, which has labels."""
        self.count += len(batch.labels)
        self.agreed += int(np.sum(np.argmax(batch.logits, axis=1) == batch.labels))

    def result(self) -> tuple[float, float]:
        """The share and its binomial standard error."""
        share = self.agreed / self.count
        return share, float(np.sqrt(share * (1 - share) / self.count))
