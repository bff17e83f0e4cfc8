"""Scores a set of generated images by any of the metrics, in one pass over them."""

import copy
import typing

from sagan_tf.evaluation.reference import Reference
from sagan_tf.metrics.catalog import METRICS
from sagan_tf.metrics.metric import Batch, Measurement, Need, RealTest, Score


def ignore(_) -> None:
    """Callback that does nothing."""


class Scorer:
    """Scores sets of images by the same metrics, with the same network and reference.

    Args:
      network: see `features.FeatureNetwork`.
      reference: statistics of real images; None if no metric compares with them.
      metrics: names in `metrics.catalog`.
      class_names: names of the generated images' classes; label i is `class_names[i]`.
      splits: parts of the Inception score.
      seed: of splits, of the order of KID's blocks, and of the draw of real features.
      batch_size: images that are drawn, and pass through the network, together.
      real_test: see `RealTest`; for metrics that need one.
    """

    def __init__(
        self,
        network,
        reference: Reference | None,
        metrics: typing.Sequence[str],
        class_names: typing.Sequence[str],
        *,
        splits: int = 10,
        seed: int = 0,
        batch_size: int = 64,
        real_test: RealTest | None = None,
    ):
        self.network, self.reference, self.metrics = network, reference, tuple(metrics)
        self.class_names, self.splits = tuple(class_names), splits
        self.real_test, self._seed, self._batch_size = real_test, seed, batch_size

    def only(self, metrics: typing.Sequence[str]) -> "Scorer":
        """A copy that computes only these metrics."""
        other = copy.copy(self)
        other.metrics = tuple(metrics)
        return other

    def check(self, samples) -> None:
        """Raises UserError if a metric cannot be computed from `samples` (see `score`); draws no image."""
        self._check(self._measurement(samples), samples.image_size)

    def _check(self, measurement: Measurement, image_size: int) -> None:
        metrics = [METRICS[name] for name in self.metrics]
        for metric in metrics:
            metric.check(measurement)
        if any(Need.REFERENCE in metric.needs for metric in metrics):
            self.reference.check(self.network, image_size)

    def _measurement(self, samples, report=ignore) -> Measurement:
        return Measurement(
            samples.count,
            samples.labels,
            self.class_names,
            self.network,
            reference=self.reference,
            real_test=self.real_test,
            splits=self.splits,
            seed=self._seed,
            report=report,
        )

    def score(self, samples, progress=ignore, report=ignore) -> typing.Iterator[Score]:
        """Yields the scores, each as soon as it is known.

        Args:
          samples: has `count`, `image_size`, `labels` (int32 (count,), or None if unknown), and
            `batches(batch_size)`, which yields uint8 images (b, H, W, 3) in the labels' order; see
            `sagan_tf.evaluation.samples`.
          progress: called with the number of images done.
          report: called with a line now and then in long work.

        Raises:
          UserError: see `check`; or an image cannot be read.
        """
        measurement = self._measurement(samples, report)
        self._check(measurement, samples.image_size)
        gathered = self._gather(measurement, samples, progress)
        for name in self.metrics:
            yield from METRICS[name].compute(measurement, gathered[METRICS[name].gatherer()])

    def _gather(self, measurement: Measurement, samples, progress) -> dict:
        """Takes all images through the network once; each class of gatherers sees every batch."""
        gatherers = {METRICS[name].gatherer() for name in self.metrics}
        gathered = {gatherer: gatherer(measurement) for gatherer in gatherers}
        for batch in self._batches(samples):
            for gatherer in gathered.values():
                gatherer.update(batch)
            progress(batch.start + len(batch.images))
        return gathered

    def _batches(self, samples) -> typing.Iterator[Batch]:
        start = 0
        batches = ((images,) for images in samples.batches(self._batch_size))
        for (images,), features, logits in self.network.over(batches):
            labels = None if samples.labels is None else samples.labels[start : start + len(images)]
            yield Batch(start, images, features, logits, labels)
            start += len(images)
