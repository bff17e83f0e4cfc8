"""Times the metrics on features of Inception's size, and measures the memory that they take beyond them."""

import dataclasses
import functools
import os
import sys
import time
import types

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # where nothing is installed

from sagan_tf.metrics.catalog import METRICS, while_training  # noqa: E402
from sagan_tf.system import cli  # noqa: E402
from sagan_tf.system.options import option  # noqa: E402
from tools.ceilings import peak_memory  # noqa: E402

TASKS = tuple(while_training())
_LOGITS = 1008
_BATCH = 64
_LINUX = "/proc/self"  # what Linux knows of this process


@dataclasses.dataclass(frozen=True)
class Options:
    """What to time, and on how much."""

    tasks: tuple[str, ...] = option(TASKS, "What to time.", choices=TASKS)
    num_samples: int = option(50_000, "Generated images, and real ones.", minimum=20)
    dimension: int = option(2048, "Number of features.", minimum=2)
    classes: int = option(1000, "Number of classes.", minimum=1)
    real_per_class: int = option(
        1300, "Real images of a class, where a metric compares within classes.", minimum=2
    )


def main(options: Options, given) -> int:
    """Prints a line for each task. Returns the exit code."""
    del given
    for name in options.tasks:
        task = _task(name)(options)  # makes the features, untimed
        before = _start_counting()
        start, cpu = time.perf_counter(), time.process_time()
        note = task()
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        memory = f"{(peak_memory() - before) / 2**30:.2f} GiB more at the peak"
        load = f"load {os.getloadavg()[0]:.1f}"
        print(f"{name:<18}{seconds:8.2f} s ({cpu:.1f} s of CPU time, {load})  {memory}  {note}", flush=True)
    return 0


def _start_counting() -> int:
    """Resets Linux's count of the peak and returns the bytes that the process holds now.

    Other systems cannot reset it: there it returns the peak so far, and a task that stays below shows 0.
    """
    if not os.path.isdir(_LINUX):
        return peak_memory()
    with open(f"{_LINUX}/clear_refs", "w") as file:
        file.write("5")
    return peak_memory()


class _Stream:
    """Features, (n, D) float32, like those of a network: correlated, positive, all different.

    Only a pool of rows is in memory; each row returned is one of them with a random scale.
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


class _Reference:
    """Statistics of real images in memory, as `evaluation.reference.Reference` has them in a file."""

    has_features = True

    def __init__(self, options: Options):
        import numpy as np

        self._stream, self._count = _Stream(options, 1), options.num_samples
        self._per_class = options.real_per_class
        self.labels = np.arange(options.num_samples) % options.classes

    @functools.cached_property
    def _features(self):
        return self._stream.all(self._count)

    @functools.cached_property
    def _gaussian(self):
        from sagan_tf.metrics.moments import gaussian

        return gaussian(self._features)

    def gaussian(self):
        """Mean and covariance, computed once."""
        return self._gaussian

    def features(self, limit: int, seed: int):
        """All features; limit and seed would choose among more."""
        del limit, seed
        return self._features

    def class_features(self, label: int):
        """Features of a class, drawn when they are asked for."""
        del label
        return self._stream.rows(self._per_class)


def _task(name: str):
    """Makes a task: batches of features go through the metric's gatherer, then it computes its scores."""
    return functools.partial(_prepare, METRICS[name])


def _prepare(metric, options: Options):
    import numpy as np

    from sagan_tf.metrics.metric import Batch, Measurement, Need

    stream, count = _Stream(options, 0), options.num_samples
    features, labels = stream.all(count), np.arange(count) % options.classes
    logits = np.random.default_rng(2).normal(0, 4, (_BATCH, _LOGITS)).astype(np.float32)
    network = types.SimpleNamespace(is_inception=True)
    measurement = Measurement(count, labels, tuple(range(options.classes)), network, _Reference(options))
    if Need.REFERENCE in metric.needs and Need.LABELS not in metric.needs:
        measurement.reference.gaussian(), measurement.real_features  # noqa: B018

    def run():
        gathered = metric.gatherer()(measurement)
        for start in range(0, count, _BATCH):
            rows = features[start : start + _BATCH]
            part = slice(start, start + len(rows))
            gathered.update(Batch(start, None, rows, logits[: len(rows)], labels[part]))
        scores = metric.compute(measurement, gathered)
        return ", ".join(f"{score.key} {score.value:.4f}" for score in scores)

    return run


if __name__ == "__main__":
    cli.run(main, Options, __doc__, program="tools/benchmark_metrics")
