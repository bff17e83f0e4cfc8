"""Shows what each metric sees: it compares real images with images that are spoilt in known ways.

One half of the images are the real ones. The other half is spoilt and stands for generated ones. The command
prints a table. It fails if a metric does not rank the spoilt images as it must.
"""

import dataclasses
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # where nothing is installed

from sagan_tf.data import kinds  # noqa: E402
from sagan_tf.metrics import catalog  # noqa: E402
from sagan_tf.metrics.catalog import METRICS, metric_of  # noqa: E402
from sagan_tf.runs.config import INCEPTION  # noqa: E402
from sagan_tf.system import cli  # noqa: E402
from sagan_tf.system.options import MAX_SEED, option  # noqa: E402


@dataclasses.dataclass(frozen=True)
class Options:
    """Which images, network and metrics."""

    dataset: str = option("digits", f"Real images: {kinds.FORMS}, as in training.", is_path=True)
    split: str = option("all", "Their split.")
    data_dir: str = option("", "Where TFDS keeps its data; TFDS's own default if empty.", is_path=True)
    image_size: int = option(32, "Height and width of the images.", minimum=8)
    num_images: int = option(10_000, "The most images in each half.", minimum=100)
    inception: str = option(
        INCEPTION, "The network: a TF-Hub handle, or the directory of a SavedModel.", is_path=True
    )
    metrics: tuple[str, ...] = option(tuple(METRICS), "What to measure.", choices=tuple(METRICS))
    cas_epochs: float = option(15.0, "For cas: passes over the spoilt images.", minimum=0.01)
    seed: int = option(0, "Seed of the halves and of all that is random.", minimum=0, maximum=MAX_SEED)


class Images:
    """Images in memory, in the form that a scorer takes."""

    def __init__(self, pixels, labels):
        self.pixels, self.labels = pixels, labels
        self.count, self.image_size = len(pixels), pixels.shape[1]

    def batches(self, batch_size):
        """Yields uint8 (b, H, W, 3)."""
        for start in range(0, self.count, batch_size):
            yield self.pixels[start : start + batch_size]


def main(options: Options, given) -> int:
    """Prints the table. Returns the exit code."""
    del given
    import numpy as np

    real, other, names = _halves(options)
    columns = {}
    with tempfile.TemporaryDirectory() as folder:
        scorer = _make_scorer(options, real, names, folder)
        for title, images in _spoil(other, np.random.default_rng(options.seed)).items():
            print(f"scoring: {title}", file=sys.stderr, flush=True)
            columns[title] = {score.key: score for score in scorer.score(images)}
    titles = catalog.titles(options.metrics, scorer.network.is_inception)
    print(f"{scorer.reference.describe()} against as many others; network: {scorer.network.name}\n")
    print("| " + " | ".join(["", *columns]) + " |")
    print("| --- |" + " ---: |" * len(columns))
    for key, title in titles.items():
        print("| " + " | ".join([title, *(f"{column[key].value:.4g}" for column in columns.values())]) + " |")
    wrong = _wrong(
        {title: {key: score.value for key, score in column.items()} for title, column in columns.items()}
    )
    print("\n" + ("\n".join(wrong) or "every metric ranks them as it must"))
    return 1 if wrong else 0


def _halves(options: Options):
    """Two disjoint random samples of the images, and the names of the classes."""
    from sagan_tf import data
    from sagan_tf.data.subset import draw

    dataset = data.open_dataset(
        options.dataset, split=options.split, image_size=options.image_size, data_dir=options.data_dir
    )
    count = min(options.num_images, dataset.num_examples // 2)
    real, rest = draw(dataset, count, options.seed)
    return real, Images(*_read(draw(rest, count, options.seed)[0])), dataset.class_names


def _read(dataset):
    """All images, uint8 (n, H, W, 3), and their labels."""
    import numpy as np

    from sagan_tf.data.subset import read_once

    batches = list(read_once(dataset, 256))
    return (np.concatenate(arrays) for arrays in zip(*batches, strict=True))


def _make_scorer(options: Options, real, names, folder: str):
    from sagan_tf.data.images import METHOD
    from sagan_tf.evaluation import pipeline, reference
    from sagan_tf.evaluation.scoring import Scorer
    from sagan_tf.metrics import features

    network = features.load_network(options.inception)
    about = reference.protocol(
        real, f"{options.split}, half", network, num_images=0, seed=0, preprocessing=METHOD
    )
    path = os.path.join(folder, "reference.h5")
    made = reference.write(
        path, real, network, about, keep_features=True, batch_size=64, progress=lambda done: None
    )
    test = pipeline.real_test(real, "half", options.image_size, options.cas_epochs)
    return Scorer(network, made, options.metrics, names, seed=options.seed, real_test=test)


def _spoil(images: Images, rng) -> dict[str, Images]:
    """The images, untouched and spoilt; each version has as many."""
    import numpy as np

    pixels, labels = images.pixels, images.labels
    firsts = {label: np.flatnonzero(labels == label)[0] for label in np.unique(labels)}
    return {
        "untouched": images,
        "blur 1": Images(_blur(pixels, 1.0), labels),
        "blur 2": Images(_blur(pixels, 2.0), labels),
        "noise 30": Images(_noise(pixels, 30, rng), labels),
        "noise 60": Images(_noise(pixels, 60, rng), labels),
        "collapsed": Images(pixels[[firsts[label] for label in labels]], labels),
        "labels shuffled": Images(pixels, rng.permutation(labels)),
    }


def _blur(pixels, radius: float):
    import numpy as np
    from PIL import Image, ImageFilter

    return np.stack([np.asarray(Image.fromarray(p).filter(ImageFilter.GaussianBlur(radius))) for p in pixels])


def _noise(pixels, deviation: float, rng):
    import numpy as np

    return np.clip(pixels + rng.normal(0, deviation, pixels.shape), 0, 255).astype(np.uint8)


def _wrong(values: dict[str, dict[str, float]]) -> list[str]:
    """One line for each rank that is not as it must be (`Metric.must_see`).

    A metric must find a spoilt version worse than the untouched one, and of a pair the second worse.
    """
    lines = []
    for key in values["untouched"]:
        metric = metric_of(key)
        sign = 1 if metric.larger_is_better else -1
        for case in metric.must_see[key]:
            better, worse = case if isinstance(case, tuple) else ("untouched", case)
            if not sign * values[better][key] > sign * values[worse][key]:
                lines.append(f"WRONG: {key} does not find {worse!r} worse than {better!r}")
    return lines


if __name__ == "__main__":
    cli.run(main, Options, __doc__, program="tools/check_scores")
