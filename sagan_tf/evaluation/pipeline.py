"""From images to kept scores: sources of images -> features -> metrics -> scores with protocol -> written.

`real_reference` and `generator_samples` make the sources, `Scorer` has the features and the metrics,
`score_and_keep` puts the protocol beside the scores and writes them.
"""

import typing

from sagan_tf.data.subset import read_once
from sagan_tf.evaluation import reference, results, samples
from sagan_tf.evaluation.scoring import Scorer, ignore
from sagan_tf.metrics import features
from sagan_tf.metrics.catalog import METRICS
from sagan_tf.metrics.metric import Need, RealTest, Score
from sagan_tf.system.class_names import agree
from sagan_tf.system.errors import UserError
from sagan_tf.system.progress import Progress


def real_reference(
    dataset,
    split: str,
    network: features.FeatureNetwork,
    metrics: typing.Sequence[str],
    *,
    folders: typing.Sequence[str],
    batch_size: int = 64,
    progress=ignore,
) -> reference.Reference | None:
    """Statistics of all images of a dataset, as far as the metrics need them.

    Args:
      dataset: see `sagan_tf.data`.
      split: the split that it was opened with.
      network: what sees the images.
      metrics: their names.
      folders: where a file of these statistics may be; a new one is written to the last.
      batch_size: images that pass through the network together.
      progress: called with the number of images done.

    Returns:
      The reference; None if no metric needs one.
    """
    needs = {need for name in metrics for need in METRICS[name].needs}
    if Need.REFERENCE not in needs:
        return None
    about = reference.protocol(
        dataset, split, network, num_images=0, seed=0, preprocessing=dataset.preprocessing
    )
    return reference.cached(
        folders,
        dataset,
        network,
        about,
        keep_features=Need.REFERENCE_FEATURES in needs,
        batch_size=batch_size,
        progress=progress,
    )


def real_test(dataset, split: str, image_size: int, epochs: float) -> RealTest:
    """The images of a dataset as real test images; see `RealTest`."""
    description = f"{dataset.name} {split}"
    return RealTest(
        description,
        image_size,
        epochs,
        lambda: read_once(dataset, 256),
        tuple(dataset.class_names),
        dataset.digest.identity,
    )


def generator_samples(
    scorer: Scorer,
    generator: samples.SampledGenerator,
    *,
    num_samples: int,
    seed: int = 0,
    truncation: float = 0.0,
    distribution: str = "uniform",
) -> samples.GeneratorSamples:
    """Images of a generator for `Scorer.check` and `Scorer.score`, drawn when they are asked for.

    Args:
      scorer: has the classes, and the labels of the real images.
      generator: what is scored, with its weights at the time of drawing.
      num_samples: how many images.
      seed, truncation: of z, see `samples.draw_z`.
      distribution: of the classes, see `samples.draw_labels`.

    Raises:
      UserError: the distribution of a reference is asked for and there is none, or it has other classes.
    """
    if distribution == "reference":
        if scorer.reference is None:
            raise UserError("needs real images (a metric that compares with them)")
        if generator.conditional and not agree(scorer.class_names, scorer.reference.class_names):
            raise UserError("needs real images of the generator's classes")
        if not (scorer.reference.labels >= 0).any():
            raise UserError("needs real images with labels")
    real_labels = scorer.reference.labels if scorer.reference else None
    classes = max(len(scorer.class_names), 1)
    labels = samples.draw_labels(distribution, num_samples, classes, seed, real_labels)
    return samples.GeneratorSamples(generator, labels, seed, truncation)


def score_and_keep(
    scorer: Scorer, images, protocol: results.Protocol, output: str, classes_file: str
) -> list[Score]:
    """Scores images, adds each result to a file as soon as it is known, and prints the table.

    Args:
      scorer, images: see `Scorer.score`.
      protocol: what stands beside every score.
      output: file of JSON lines.
      classes_file: start of the name of the CSV file with the values within each class.
    """
    scores, added = [], 0
    try:
        with Progress("images", images.count) as progress:
            for score in scorer.score(images, progress, report=progress.line):
                scores.append(score)
                results.append(output, results.record(score, protocol))
                added += 1
                if score.classes:
                    title, names = protocol.title(score), scorer.class_names
                    path = results.write_classes(classes_file, score, title, names)
                    progress.line(f"classes in {path}")
    finally:  # show what there is, even if the next metric fails or the user interrupts
        if scores:
            where = f"added to {output}" if added == len(scores) else f"not all are added to {output}"
            print(f"{results.table(scores, protocol)}\n{where}\n", flush=True)
    return scores
