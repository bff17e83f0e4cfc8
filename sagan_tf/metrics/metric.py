"""What a metric is: its names, its needs, its check and its computation.

This file and those of `catalog` import neither NumPy nor TensorFlow at their top: commands list the metrics
in their options, and `--help` must be quick.
"""

import contextlib
import dataclasses
import enum
import functools
import typing

from sagan_tf.system.class_names import agree
from sagan_tf.system.errors import UserError

INCEPTION_NAME = "Inception"
"""`FeatureNetwork.name` of the network with which scores may be called IS, FID and KID."""


class MetricError(UserError):
    """A metric cannot be computed from what is given; the message begins with the metric's name."""


@contextlib.contextmanager
def blaming(option: str, metrics: typing.Sequence[str]):
    """Blames an option that names metrics for any of them that cannot be computed."""
    try:
        yield
    except MetricError as error:
        error.option, error.value = option, ",".join(metrics)
        raise


class Need(enum.Enum):
    """What a metric needs beside the generated images; the value is the text for tables."""

    LABELS = "the class of each image"
    REFERENCE = "real images"
    REFERENCE_FEATURES = "their features"
    CLASSIFIER = "a classifier of these classes"
    REAL_TEST = "real test images"


@dataclasses.dataclass(frozen=True)
class Score:
    """One value of a metric.

    Attributes:
      key: the value's name in options, e.g. `precision` of the metric `precision_recall`.
      value: the value.
      spread: a standard deviation or error; None where the metric has none.
      spread_of: what `spread` is.
      note: what a reader must know to judge the value.
      classes: the value within each class (`frechet.ClassDistance`), if the metric has them.
    """

    key: str
    value: float
    spread: float | None = None
    spread_of: str = ""
    note: str = ""
    classes: tuple = ()


@dataclasses.dataclass(frozen=True)
class RealTest:
    """Real images that the classification accuracy score tests on.

    Attributes:
      description: which images.
      image_size: height and width of the classifier's images.
      epochs: how often the classifier sees the generated images.
      batches: gives an iterable of (uint8 images, labels).
      class_names: names of their classes.
      identity: digest of the images; names do not count.
    """

    description: str
    image_size: int
    epochs: float
    batches: typing.Callable[[], typing.Iterable]
    class_names: tuple[str, ...]
    identity: str = ""

    @property
    def digest(self) -> str:
        """Digest of the test; names of images do not count."""
        return f"{self.identity}, {self.image_size}x{self.image_size}, {self.epochs:g} epochs"

    def describe(self) -> str:
        """For the protocol beside a score."""
        return f"{self.description}, after {self.epochs:g} epochs"


@dataclasses.dataclass(frozen=True, eq=False)
class Measurement:
    """Everything that is known before the first image is drawn.

    Attributes:
      count: number of generated images.
      labels: their classes, int32 (count,); None if unknown.
      class_names: names of the classes; label i is `class_names[i]`.
      network: turns images into features and logits, see `features.FeatureNetwork`.
      reference: statistics of real images, see `evaluation.reference.Reference`; None if there are none.
      real_test: for the classification accuracy score.
      splits: parts of the Inception score.
      seed: of random orders and draws.
      report: called with a line now and then in long work.
    """

    count: int
    labels: typing.Any
    class_names: tuple[str, ...]
    network: typing.Any
    reference: typing.Any = None
    real_test: RealTest | None = None
    splits: int = 10
    seed: int = 0
    report: typing.Callable[[str], None] = print

    @functools.cached_property
    def real_features(self):
        """Features of real images, float32 (n, D): as many as there are generated images, or all."""
        return self.reference.features(self.count, self.seed)

    def real_note(self) -> str:
        """Says so if the numbers of real and generated images differ."""
        real = len(self.real_features)
        return f"against {real:,} real images" if real != self.count else ""


@dataclasses.dataclass(frozen=True)
class Batch:
    """Generated images that went through the network together.

    Attributes:
      start: number of the images before these.
      images: uint8 (b, H, W, 3).
      features: float32 (b, D).
      logits: float32 (b, K).
      labels: the classes that were asked for, int32 (b,); None if unknown.
    """

    start: int
    images: typing.Any
    features: typing.Any
    logits: typing.Any
    labels: typing.Any = None


class Gatherer(typing.Protocol):
    """Gathers from all batches what a metric is computed from. Metrics with the same class share one."""

    def __init__(self, measurement: Measurement): ...

    def update(self, batch: Batch) -> None:
        """Adds a batch."""


class Metric:
    """A metric; every file of `catalog` has one.

    Attributes:
      name: in options.
      titles_of: key of each value: the title with Inception, and the title with another network. A score may
        be called by an Inception metric's name with Inception only.
      larger_is_better: of the values.
      about, source: what it is, and who defined it; for README's table.
      needs: see `Need`.
      minimum: number of generated images (and of real ones, if it needs them) that it needs.
      settings: fields of the protocol that concern this metric and not every other.
      must_see: of each value, the spoilt images that it must find worse, see `tools/check_scores.py`.
    """

    name: str
    titles_of: dict[str, tuple[str, str]]
    larger_is_better: bool
    about: str
    source: str
    needs: tuple[Need, ...] = ()
    minimum: int = 2
    settings: tuple[str, ...] = ()
    must_see: typing.Mapping[str, tuple] = {}

    def titles(self, inception: bool) -> dict[str, str]:
        """Key and title of each value; `inception` says whether the network is Inception."""
        return {key: titles[0 if inception else 1] for key, titles in self.titles_of.items()}

    def describe_minimum(self) -> str:
        """For README's table."""
        return f"{self.minimum} images"

    def describe_needs(self) -> str:
        """For README's table."""
        return ", ".join([self.describe_minimum(), *(need.value for need in self.needs)])

    def gatherer(self) -> type[Gatherer]:
        """What gathers the features, logits or images that `compute` gets."""
        raise NotImplementedError

    def compute(self, measurement: Measurement, gathered) -> list[Score]:
        """The scores; `gathered` is the gatherer after the last batch."""
        raise NotImplementedError

    def check(self, measurement: Measurement) -> None:
        """Raises MetricError if the metric cannot be computed; called before the first image is drawn."""
        reference, test = measurement.reference, measurement.real_test
        self.check_classes(
            None if measurement.labels is None else measurement.class_names,
            real=reference and reference.class_names,
            network=measurement.network.class_names,
            test=test and test.class_names,
        )
        self.check_images(measurement.count, measurement.splits)
        if Need.REFERENCE in self.needs:
            self._check_reference(reference)

    def check_images(self, count: int, splits: int) -> None:
        """Raises MetricError if there are too few generated images; `splits` is of the Inception score."""
        del splits
        self.check_count(count, "images")

    def check_count(self, count: int, what: str, minimum: int | None = None) -> None:
        """Raises MetricError if there are fewer than `minimum` images."""
        minimum = self.minimum if minimum is None else minimum
        if count < minimum:
            raise self.error(f"needs at least {minimum} {what}; there are {count}")

    def _check_reference(self, reference) -> None:
        if reference is None:
            raise self.error("needs real images to compare with")
        if Need.REFERENCE_FEATURES in self.needs and not reference.has_features:
            raise self.error(
                f"needs the features of the real images, and {reference.path} holds only their mean and"
                " covariance; make it anew with features kept (sagan_tf.make_reference)"
            )
        self.check_count(len(reference.labels), "real images")

    def check_classes(self, names, *, real=None, network=None, test=None) -> None:
        """Raises MetricError if labels mean something else to what the metric compares with.

        Args:
          names: of the generated images' classes; None if the images have no labels.
          real, network, test: of the classes of the reference, the network, the real test images; None where
            they are not known.
        """
        if Need.LABELS not in self.needs:
            return
        if names is None:
            raise self.error(
                "needs the class of each image, and these have none"
                " (a folder needs one folder a class, named as the reference's classes are)"
            )
        compared = (
            (Need.REFERENCE, real, "a reference with"),
            (Need.CLASSIFIER, network, "a network (sagan_tf.train_classifier trains one) with"),
            (Need.REAL_TEST, test, "real test images with"),
        )
        for need, others, what in compared:
            if need in self.needs and others is not None and not agree(names, others):
                raise self.error(
                    f"needs {what} the classes of the generated images: it has others ({len(others)} instead"
                    f" of {len(names)}), or in another order, so labels mean something else"
                )

    def error(self, problem: str) -> MetricError:
        """The error that says what is wrong for this metric."""
        return MetricError(f"{self.name} {problem}")


METRICS: dict[str, Metric] = {}
"""Every metric by its name. `sagan_tf.metrics.catalog` fills it: import it from there."""


def register(cls: type[Metric]) -> type[Metric]:
    """Class decorator: adds a metric to `METRICS`. Two metrics must not share a name or a value's key."""
    keys = {key for metric in METRICS.values() for key in metric.titles_of}
    if cls.name in METRICS or keys & set(cls.titles_of):
        raise ValueError(f"{cls.__name__}: {cls.name} or one of {', '.join(cls.titles_of)} exists already")
    METRICS[cls.name] = cls()
    return cls
