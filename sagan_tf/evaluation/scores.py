"""The metrics by name: what each needs, what its values are called, and how they are computed."""

import functools
import typing

import numpy as np

from sagan_tf.evaluation.reference import Reference
from sagan_tf.metrics import statistics as stats
from sagan_tf.metrics.density_coverage import density_coverage
from sagan_tf.metrics.frechet import ClassDistance, class_distances, frechet_distance
from sagan_tf.metrics.kernel_distance import kernel_distance
from sagan_tf.metrics.precision_recall import precision_recall
from sagan_tf.metrics.statistics import Statistics


class Score(typing.NamedTuple):
    """One value.

    `key` is the name in flags; `metric` the name to print, which is never that of an Inception
    score if the network is another. `spread` is None where a metric has none.
    """

    key: str
    metric: str
    value: float
    spread: float | None = None
    spread_of: str = ""
    note: str = ""
    classes: tuple[ClassDistance, ...] = ()


class RealTest(typing.NamedTuple):
    """Real images that the classification accuracy score tests on."""

    description: str
    image_size: int  # of the classifier
    epochs: float
    batches: typing.Callable[[], typing.Iterable]  # of (uint8 images, labels)
    class_names: tuple[str, ...]

    def describe(self) -> str:
        """For the protocol beside a score."""
        return f"{self.description}, after {self.epochs:g} epochs"


class Evidence:
    """What has been gathered about generated and real images, for the functions below.

    Args:
      statistics: of the generated images.
      reference: of real images, or None.
      class_names: of the labels.
      seed: of random orders and draws.
      images: the generated images themselves, for `cas`; otherwise None.
      real_test: for `cas`.
      report: called with a line now and then in long work.
    """

    def __init__(
        self,
        statistics: Statistics,
        reference: Reference | None,
        class_names,
        seed,
        images,
        real_test,
        report,
    ):
        self.statistics, self.reference, self.class_names = statistics, reference, class_names
        self.seed, self.images, self.real_test, self.report = seed, images, real_test, report

    @functools.cached_property
    def real_features(self) -> np.ndarray:
        """As many as there are generated images, or all."""
        return self.reference.features(self.statistics.count, self.seed)

    def real_note(self) -> str:
        """Says so if there are fewer real images than generated ones."""
        real, generated = len(self.real_features), self.statistics.count
        return f"against {real:,} real images" if real != generated else ""


def _inception_score(evidence: Evidence):
    scores = evidence.statistics.softmax_sums.scores()
    note = (
        ""
        if evidence.statistics.count >= 5000 * len(scores)
        else "splits of under 5,000 images: biased downwards"
    )
    yield "is", scores.mean(), scores.std(), f"standard deviation over {len(scores)} splits", note


def _frechet_distance(evidence: Evidence):
    generated = evidence.statistics.moments()
    few = min(generated.count, len(evidence.reference.labels)) <= len(generated.mean)
    note = "no more images than features: biased upwards" if few else ""
    yield "fid", frechet_distance(evidence.reference.gaussian(), generated), None, "", note


def _intra_frechet_distance(evidence: Evidence):
    classes = tuple(class_distances(evidence.reference.class_features, evidence.statistics.class_moments()))
    values = np.array([entry.value for entry in classes])
    fewest = min(entry.generated_samples for entry in classes)
    note = f"mean over {len(classes)} classes of at least {fewest} generated images"
    yield "intra_fid", values.mean(), values.std(), "standard deviation over classes", note, classes


def _kernel_distance(evidence: Evidence):
    value, error = kernel_distance(evidence.real_features, evidence.statistics.features(), evidence.seed)
    yield "kid", value, error, "standard error", evidence.real_note()


def _precision_recall(evidence: Evidence):
    precision, recall = precision_recall(evidence.real_features, evidence.statistics.features())
    for key, value in {"precision": precision, "recall": recall}.items():
        yield key, value, None, "", evidence.real_note()


def _density_coverage(evidence: Evidence):
    density, coverage = density_coverage(evidence.real_features, evidence.statistics.features())
    for key, value in {"density": density, "coverage": coverage}.items():
        yield key, value, None, "", evidence.real_note()


def _agreement(evidence: Evidence):
    share, error = evidence.statistics.agreement.result()
    yield "agreement", share, error, "standard error", ""


def _classification_accuracy(evidence: Evidence):
    from sagan_tf.metrics.classification_accuracy import classification_accuracy

    test = evidence.real_test
    share, count = classification_accuracy(
        evidence.images,
        test.batches(),
        len(evidence.class_names),
        epochs=test.epochs,
        seed=evidence.seed,
        report=evidence.report,
    )
    error = np.sqrt(share * (1 - share) / count)
    yield "cas", share, error, "standard error", f"of {count:,} real images ({test.description})"


class Metric(typing.NamedTuple):
    """What a metric needs, and what it yields."""

    compute: typing.Callable[
        [Evidence], typing.Iterator[tuple]
    ]  # yields the fields of a Score, but for `metric`
    names: dict[str, tuple[str, str]]  # key: name with Inception, name with another network
    keep: str  # of the statistics of the generated images
    larger_is_better: bool
    reference: bool = True  # whether it compares with real images
    reference_features: bool = False
    labels: bool = False
    minimum: int = 2  # generated, and real, images (of each class, for intra-FID)

    def titles(self, inception: bool) -> dict[str, str]:
        """Key and printed name of each value; `inception` says whether the network is Inception."""
        return {key: names[0 if inception else 1] for key, names in self.names.items()}


def _same(*keys: str) -> dict[str, tuple[str, str]]:
    return {key: (key, key) for key in keys}


_KEEPS_FEATURES = {"keep": stats.FEATURES, "reference_features": True}
METRICS = {
    "is": Metric(
        _inception_score,
        {"is": ("inception_score", "classifier_score")},
        stats.SOFTMAX,
        True,
        reference=False,
    ),
    "fid": Metric(_frechet_distance, {"fid": ("fid", "frechet_distance")}, stats.MOMENTS, False),
    "intra_fid": Metric(
        _intra_frechet_distance,
        {"intra_fid": ("intra_fid", "intra_frechet_distance")},
        stats.CLASS_MOMENTS,
        False,
        reference_features=True,
        labels=True,
    ),
    "kid": Metric(
        _kernel_distance,
        {"kid": ("kid", "kernel_distance")},
        larger_is_better=False,
        minimum=20,
        **_KEEPS_FEATURES,
    ),
    "precision_recall": Metric(
        _precision_recall, _same("precision", "recall"), larger_is_better=True, minimum=4, **_KEEPS_FEATURES
    ),
    "density_coverage": Metric(
        _density_coverage, _same("density", "coverage"), larger_is_better=True, minimum=6, **_KEEPS_FEATURES
    ),
    "agreement": Metric(_agreement, _same("agreement"), stats.AGREEMENT, True, reference=False, labels=True),
    "cas": Metric(_classification_accuracy, _same("cas"), stats.IMAGES, True, reference=False, labels=True),
}
"""Every metric, by its name in flags."""


def value_keys() -> tuple[str, ...]:
    """The keys of all values, e.g. to choose the best checkpoint by."""
    return tuple(key for metric in METRICS.values() for key in metric.names)


def metric_of(key: str) -> str:
    """The metric, by its name in `METRICS`, that yields a value."""
    return next(name for name, metric in METRICS.items() if key in metric.names)


def scores_of(name: str, evidence: Evidence, inception: bool) -> typing.Iterator[Score]:
    """Computes a metric, by its name in `METRICS`; for `inception` see `Metric.titles`."""
    titles = METRICS[name].titles(inception)
    for key, value, spread, *others in METRICS[name].compute(evidence):
        yield Score(key, titles[key], float(value), None if spread is None else float(spread), *others)
