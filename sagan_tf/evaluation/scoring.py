"""Scores a set of generated images by any of the metrics, in one pass over them."""

import copy
import typing

import numpy as np

from sagan_tf.evaluation.reference import Reference
from sagan_tf.evaluation.scores import METRICS, Evidence, RealTest, Score, scores_of
from sagan_tf.metrics.statistics import Statistics
from sagan_tf.system.errors import UserError


def ignore(_) -> None:
    """Where a line or a number is not wanted."""


class Scorer:
    """Scores images of one kind, as often as one likes.

    Args:
      network: see `features.Network`.
      reference: statistics of real images; None if no metric compares with them.
      metrics: names in `METRICS`.
      class_names: names of the classes that labels stand for.
      splits: parts of the Inception score.
      seed: of splits, of the order of KID's blocks, and of the draw of real features.
      batch_size: images that are drawn, and pass through the network, together.
      real_test: for `cas`.
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
        """The same, for some of the metrics."""
        other = copy.copy(self)
        other.metrics = tuple(metrics)
        return other

    def take_classes(self, class_names: typing.Sequence[str], whose: str) -> None:
        """Takes the names of a generator's classes; `whose` says whose they are.

        Raises:
          UserError: the reference has other classes.
        """
        self.class_names = self.class_names or tuple(class_names)
        if self.class_names != tuple(class_names):
            raise UserError(
                f"--reference: has other classes ({len(self.class_names)}) than {whose}"
                f" ({len(class_names)}), or in another order, so labels mean something else"
            )

    def check(self, samples) -> None:
        """Raises UserError if some metric cannot be had from `samples` (see `score`), before any work."""
        for name in self.metrics:
            self._check_samples(name, samples)
            if METRICS[name].reference:
                self._check_reference(name)
                self.reference.check(self.network, samples.image_size)
        if "agreement" in self.metrics and self.network.class_names != self.class_names:
            raise UserError(
                "--metrics=agreement: needs a network whose classes are those of the images;"
                f" {self.network.name} has others: train one with sagan_tf.train_classifier"
            )
        if "cas" in self.metrics and self.real_test.class_names != self.class_names:
            raise UserError(
                f"--metrics=cas: the real images to test on ({self.real_test.description}) have other classes"
                f" ({len(self.real_test.class_names)}) than the generated ones ({len(self.class_names)}), or"
                " in another order, so labels mean something else"
            )

    def _check_samples(self, name: str, samples) -> None:
        metric = METRICS[name]
        if metric.labels and samples.labels is None:
            raise UserError(
                f"--metrics={name}: needs the class of each image, and these have none"
                " (a folder needs one folder a class, named as the reference's classes are)"
            )
        minimum = self.splits if name == "is" else metric.minimum
        if samples.count < minimum:
            raise UserError(f"--metrics={name}: needs at least {minimum} images; there are {samples.count}")
        if name == "intra_fid":
            _check_classes(
                samples.labels, self.class_names, metric.minimum, "generated images; raise --num_samples"
            )

    def _check_reference(self, name: str) -> None:
        metric = METRICS[name]
        if self.reference is None:
            raise UserError(f"--metrics={name}: needs real images to compare with (--reference)")
        if metric.reference_features and not self.reference.has_features:
            raise UserError(
                f"--metrics={name}: needs the features of the real images, and {self.reference.path}"
                " holds only their mean and covariance; make it anew with --keep_features"
            )
        real = len(self.reference.labels)
        if real < metric.minimum:
            raise UserError(
                f"--metrics={name}: needs at least {metric.minimum} real images; there are {real}"
            )
        if name == "intra_fid":
            _check_classes(self.reference.labels, self.class_names, metric.minimum, "real images")

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
        self.check(samples)
        keep = {METRICS[name].keep for name in self.metrics}
        statistics = Statistics(keep, samples.count, splits=self.splits, seed=self._seed)
        images = self._training_images(samples)
        for start, batch in _numbered(samples.batches(self._batch_size)):
            labels = None if samples.labels is None else samples.labels[start : start + len(batch)]
            statistics.update(*self.network(batch), labels)
            if images is not None:
                images.update(batch, labels)
            progress(statistics.count)
        evidence = Evidence(
            statistics, self.reference, self.class_names, self._seed, images, self.real_test, report
        )
        for name in self.metrics:
            yield from scores_of(name, evidence, self.network.is_inception)

    def _training_images(self, samples):
        if "cas" not in self.metrics:
            return None
        from sagan_tf.metrics.classification_accuracy import TrainingImages

        return TrainingImages(samples.count, self.real_test.image_size)


def _numbered(batches):
    """Each batch with the number of the images before it."""
    start = 0
    for batch in batches:
        yield start, batch
        start += len(batch)


def _check_classes(labels: np.ndarray, class_names, minimum: int, what: str) -> None:
    counts = np.bincount(labels, minlength=len(class_names))
    if counts.min() < minimum:
        few = class_names[int(counts.argmin())]
        raise UserError(
            f"--metrics=intra_fid: needs at least {minimum} images of every class;"
            f" of {few!r} there are {counts.min()} {what}"
        )
