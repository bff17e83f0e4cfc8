"""The metrics, one a file: a file in this folder with a registered `Metric` is a metric of every command."""

import importlib
import pkgutil

from sagan_tf.metrics.metric import METRICS, Metric, Need

__all__ = ["METRICS", "metric_of", "names", "titles", "while_training"]

for _module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
    importlib.import_module(f"{__name__}.{_module}")


def names(need: Need | None = None) -> tuple[str, ...]:
    """Names of all metrics, or of those with this need."""
    return tuple(name for name, metric in METRICS.items() if need is None or need in metric.needs)


def while_training() -> dict[str, tuple[str, ...]]:
    """The metrics that can be had while a run trains, and the keys of their values."""
    return {
        name: tuple(metric.titles_of)
        for name, metric in METRICS.items()
        if Need.REAL_TEST not in metric.needs
    }


def metric_of(key: str) -> Metric:
    """The metric that yields a value, by the value's key."""
    return next(metric for metric in METRICS.values() if key in metric.titles_of)


def titles(metrics, inception: bool) -> dict[str, str]:
    """Key and title of each value of these metrics, by their names; see `Metric.titles`."""
    return {key: title for name in metrics for key, title in METRICS[name].titles(inception).items()}
