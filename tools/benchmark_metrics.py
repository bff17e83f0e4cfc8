"""Times the metrics on features of Inception's size, and measures the memory that they take beyond them."""

import dataclasses
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # where nothing is installed

from sagan_tf.system import cli  # noqa: E402
from sagan_tf.system.options import option  # noqa: E402
from tools.ceilings import peak_memory  # noqa: E402

TASKS = ("fid", "intra_fid", "kid", "precision_recall", "density_coverage", "tfgan_fid")
_BATCH = 64
_LINUX = "/proc/self"  # what Linux knows of this process


@dataclasses.dataclass(frozen=True)
class Options:
    """What to time, and on how much."""

    tasks: tuple[str, ...] = option(
        TASKS[:-1], "What to time; tfgan_fid is TF-GAN's own FID of the same features.", choices=TASKS
    )
    num_samples: int = option(50_000, "Generated images, and real ones but for intra_fid.", minimum=20)
    dimension: int = option(2048, "Number of features.", minimum=2)
    classes: int = option(1000, "For intra_fid: number of classes.", minimum=1)
    real_per_class: int = option(1300, "For intra_fid: real images of each class.", minimum=2)


def main(options: Options, given) -> int:
    """Prints a line for each task. Returns the exit code."""
    del given
    for name in options.tasks:
        task = _TASKS[name](options)  # makes what the time is not for
        before = _start_counting()
        start, cpu = time.perf_counter(), time.process_time()
        note = task()
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        memory = f"{(peak_memory() - before) / 2**30:.2f} GiB more at the peak"
        load = f"load {os.getloadavg()[0]:.1f}"
        print(f"{name:<18}{seconds:8.2f} s ({cpu:.1f} s of CPU time, {load})  {memory}  {note}", flush=True)
    return 0


def _start_counting() -> int:
    """Has Linux count the peak anew and returns the bytes that the process holds now.

    Other systems have no such count: there the result is the peak so far, and what a task takes below it
    is not seen.
    """
    if not os.path.isdir(_LINUX):
        return peak_memory()
    with open(f"{_LINUX}/clear_refs", "w") as file:
        file.write("5")
    return peak_memory()


class _Stream:
    """Batches of features, (b, D) float32, as a network would give them: correlated, positive, all different.

    Only one pool of rows is in memory; each batch is rows of it, scaled anew.
    """

    def __init__(self, options: Options, seed: int):
        import numpy as np

        self._rng = np.random.default_rng(seed)
        dimension = options.dimension
        mixing = self._rng.normal(size=(dimension, dimension)) * np.geomspace(1, 0.01, dimension)[:, None]
        rows = self._rng.normal(size=(4 * dimension, dimension)) @ mixing / np.sqrt(dimension)
        self._pool = np.maximum(rows + 0.3, 0).astype(np.float32)

    def rows(self, count: int):
        """(count, D) float32."""
        import numpy as np

        chosen = self._rng.integers(len(self._pool), size=count)
        return self._pool[chosen] * self._rng.uniform(0.5, 1.5, (count, 1)).astype(np.float32)

    def all(self, count: int):
        """(count, D) float32, filled batch by batch."""
        import numpy as np

        out = np.empty((count, self._pool.shape[1]), np.float32)
        for start in range(0, count, 1024):
            out[start : start + 1024] = self.rows(len(out[start : start + 1024]))
        return out


def _fid(options: Options):
    from sagan_tf.metrics.frechet import frechet_distance
    from sagan_tf.metrics.moments import Moments, gaussian

    features = _Stream(options, 0).all(options.num_samples)
    reference = gaussian(_Stream(options, 1).all(options.num_samples))

    def run():
        moments = Moments(options.dimension)
        for start in range(0, len(features), _BATCH):
            moments.update(features[start : start + _BATCH])
        return f"{frechet_distance(reference, moments.result()):.4f}, against a reference file's statistics"

    return run


def _tfgan_fid(options: Options):
    import tensorflow as tf

    from sagan_tf.metrics import tfgan

    features = _Stream(options, 0).all(options.num_samples)
    real = _Stream(options, 1).all(options.num_samples)
    function = tfgan.evaluation().frechet_classifier_distance_from_activations
    return lambda: f"{float(function(tf.constant(real), tf.constant(features))):.4f}"


def _intra_fid(options: Options):
    from sagan_tf.metrics.frechet import class_distances
    from sagan_tf.metrics.moments import Moments

    real, generated = _Stream(options, 1), _Stream(options, 0)
    per_class = options.num_samples // options.classes

    def run():
        moments = {}
        for label in range(options.classes):
            moments[label] = Moments(options.dimension)
            moments[label].update(generated.rows(per_class))
        gaussians = {label: entry.result() for label, entry in moments.items()}
        distances = class_distances(lambda label: real.rows(options.real_per_class), gaussians)
        mean = sum(entry.value for entry in distances) / len(distances)
        return f"{mean:.4f}, {per_class} images of each class against {options.real_per_class}"

    return run


def _of_features(function):
    def prepare(options: Options):
        features = _Stream(options, 0).all(options.num_samples)
        real = _Stream(options, 1).all(options.num_samples)
        return lambda: ", ".join(f"{value:.4f}" for value in function(real, features))

    return prepare


def _kid(options: Options):
    from sagan_tf.metrics.kernel_distance import kernel_distance

    return _of_features(lambda real, features: kernel_distance(real, features, 0))(options)


def _precision_recall(options: Options):
    from sagan_tf.metrics.precision_recall import precision_recall

    return _of_features(precision_recall)(options)


def _density_coverage(options: Options):
    from sagan_tf.metrics.density_coverage import density_coverage

    return _of_features(density_coverage)(options)


_TASKS = dict(
    zip(TASKS, (_fid, _intra_fid, _kid, _precision_recall, _density_coverage, _tfgan_fid), strict=True)
)


if __name__ == "__main__":
    cli.run(main, Options, __doc__, program="tools/benchmark_metrics", tensorflow=False)
