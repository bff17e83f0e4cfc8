"""From plain arguments to a reference and to a generator's scores: for commands and for training."""

import typing

from sagan_tf.data.subset import read_once
from sagan_tf.evaluation import reference, samples
from sagan_tf.evaluation.scores import METRICS, RealTest
from sagan_tf.evaluation.scoring import Scorer, ignore
from sagan_tf.metrics import features
from sagan_tf.system.errors import UserError


def real_reference(
    dataset,
    split: str,
    network: features.Network,
    metrics: typing.Sequence[str],
    *,
    folder: str,
    batch_size: int = 64,
    progress=ignore,
) -> reference.Reference | None:
    """Statistics of all images of a dataset, as far as the metrics need them.

    Args:
      dataset: see `sagan_tf.data`.
      split: the split that it was opened with.
      network: what sees the images.
      metrics: names in `METRICS`.
      folder: where the file of statistics is kept, to be used again; found by its protocol.
      batch_size: images that pass through the network together.
      progress: called with the number of images done.

    Returns:
      The reference; None if no metric needs one.
    """
    if not any(METRICS[name].reference for name in metrics):
        return None
    about = reference.protocol(
        dataset, split, network, num_images=0, seed=0, preprocessing=dataset.preprocessing
    )
    return reference.cached(
        folder,
        dataset,
        network,
        about,
        keep_features=any(METRICS[name].reference_features for name in metrics),
        batch_size=batch_size,
        progress=progress,
    )


def real_test(dataset, split: str, image_size: int, epochs: float) -> RealTest:
    """What the classification accuracy score tests on; see `RealTest`."""
    description = f"{dataset.name} {split}"
    return RealTest(
        description, image_size, epochs, lambda: read_once(dataset, 256), tuple(dataset.class_names)
    )


def generator_samples(
    scorer: Scorer,
    generator: samples.Generator,
    *,
    num_samples: int,
    seed: int = 0,
    truncation: float = 0.0,
    distribution: str = "uniform",
) -> samples.GeneratorSamples:
    """Images of a generator for `Scorer.check` and `Scorer.score`, drawn when they are asked for.

    Args:
      scorer: for its classes, and for the labels of its real images.
      generator: what is scored, as it will be then.
      num_samples: how many images.
      seed, truncation: of z, see `samples.draw_z`.
      distribution: of the classes, see `samples.draw_labels`.

    Raises:
      UserError: the distribution of a reference is asked for where there is none.
    """
    if distribution == "reference" and scorer.reference is None:
        raise UserError(
            "--class_distribution=reference: needs real images (a metric that compares with them)"
        )
    real_labels = scorer.reference.labels if scorer.reference else None
    classes = max(len(scorer.class_names), 1)
    labels = samples.draw_labels(distribution, num_samples, classes, seed, real_labels)
    return samples.GeneratorSamples(generator, labels, seed, truncation)
