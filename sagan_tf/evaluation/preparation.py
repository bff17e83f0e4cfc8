"""Makes a scorer, after a look at what can be wrong, and the protocol of its scores."""

import typing

from sagan_tf.evaluation import results
from sagan_tf.evaluation.pipeline import real_reference
from sagan_tf.evaluation.real_images import RealImages
from sagan_tf.evaluation.scoring import Scorer
from sagan_tf.metrics import features, tfgan
from sagan_tf.metrics.catalog import METRICS
from sagan_tf.metrics.metric import Need
from sagan_tf.system import class_names
from sagan_tf.system.errors import naming
from sagan_tf.system.progress import Progress


def make_scorer(
    inception: str,
    metrics: typing.Sequence[str],
    real: RealImages,
    names: typing.Sequence[str] | None,
    *,
    num_samples: int,
    folders: typing.Sequence[str],
    splits: int = 10,
    seed: int = 0,
    batch_size: int = 64,
    devices: typing.Sequence[str | None] = (None,),
) -> Scorer:
    """Loads the network and gets the real images' statistics.

    Args:
      inception: place of the network, see `features.load_network`.
      metrics: their names.
      real: the real images.
      names: of the generated images' classes; None if they have no labels.
      num_samples: how many images will be scored.
      folders: where statistics of real images are kept, see `real_reference`.
      splits, seed, batch_size: see `Scorer`.
      devices: those that get a copy of the network, see `features.load_network`.

    Raises:
      MetricError: a metric cannot be computed.
      UserError: the network cannot be loaded, or real images cannot be read.
    """
    _check(metrics, real, names, num_samples, splits)
    with naming("inception", inception):
        network = features.load_network(inception, devices)
    for name in metrics if names is not None else ():
        METRICS[name].check_classes(names, network=network.class_names)
    if names is not None and real.class_names and any(Need.REFERENCE in METRICS[m].needs for m in metrics):
        _say_what_classes(names, real.class_names)
    reference = real.file
    if real.dataset:
        with Progress("real images", real.dataset.num_examples) as progress:
            reference = real_reference(
                real.dataset,
                real.split,
                network,
                metrics,
                folders=folders,
                batch_size=batch_size,
                progress=progress,
            )
    return Scorer(
        network,
        reference,
        metrics,
        names if names is not None else real.class_names or network.class_names,
        splits=splits,
        seed=seed,
        batch_size=batch_size,
        real_test=real.test,
    )


def _check(metrics, real: RealImages, names, num_samples: int, splits: int) -> None:
    known = {"real": real.class_names, "test": real.test and real.test.class_names}
    for metric in (METRICS[name] for name in metrics):
        metric.check_images(num_samples, splits)
        if names is not None or real.class_names:  # else only the network knows the classes of a folder
            metric.check_classes(names, **known)
        if real.dataset and Need.REFERENCE in metric.needs:
            metric.check_count(real.dataset.num_examples, "real images")


def _say_what_classes(names, real_names) -> None:
    """Prints a note where labels mean something else to the real images, or may do so."""
    note = ""
    if not class_names.agree(names, real_names):
        counts = f"{len(real_names)} instead of {len(names)}"
        note = f"the real images have other classes ({counts}); these metrics compare without classes"
    elif not class_names.same(names, real_names):
        note = "one side has only numbers for names of classes: taken to be in the order of the other's names"
    if note:
        print(f"note: {note}", flush=True)


def make_protocol(
    scorer: Scorer,
    source: str,
    image_size: int,
    *,
    samples: int,
    seed: int = 0,
    truncation: float | None = 0.0,
    class_distribution: str | None = "uniform",
) -> results.Protocol:
    """The protocol of a scorer's scores; what depends on the checkpoint is not filled in yet.

    Args:
      scorer: what measures.
      source: what is scored, by name.
      image_size: of the images that are scored.
      samples: how many; `seed`, `truncation` and `class_distribution` say how they are drawn.
    """
    network, reference, test = scorer.network, scorer.reference, scorer.real_test
    uses_tfgan = any("library" in METRICS[name].settings for name in scorer.metrics)
    return results.Protocol(
        source=source,
        step=None,
        weights=None,
        samples=samples,
        seed=seed,
        truncation=truncation,
        class_distribution=class_distribution,
        splits=scorer.splits,
        reference=reference.describe() if reference else None,
        reference_digest=reference.digest if reference else None,
        network=network.name,
        network_fingerprint=network.fingerprint,
        resize=network.resize(image_size),
        real_test=test.describe() if test else None,
        real_test_digest=test.digest if test else None,
        library=tfgan.version() if uses_tfgan else None,
    )
