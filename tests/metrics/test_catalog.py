"""The catalog of metrics: a file that registers a metric is all that a metric needs."""

import dataclasses
import subprocess
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf import evaluate, make_reference
from sagan_tf.metrics import catalog, tfgan
from sagan_tf.metrics.catalog import METRICS
from sagan_tf.metrics.frechet import frechet_distance
from sagan_tf.metrics.metric import METRICS as REGISTERED
from sagan_tf.metrics.metric import Metric, Need, register
from sagan_tf.metrics.moments import gaussian
from sagan_tf.runs.config import Config
from tests.conftest import ROOT
from tools import benchmark_metrics, check_scores

HEAVY = {"numpy", "scipy", "sklearn", "tensorflow"}


def _choices(cls, name: str) -> set:
    return set(next(field for field in dataclasses.fields(cls) if field.name == name).metadata["choices"])


def test_every_metric_is_a_choice_everywhere():
    training = {name for name, metric in METRICS.items() if Need.REAL_TEST not in metric.needs}
    assert _choices(evaluate.Options, "metrics") == _choices(check_scores.Options, "metrics") == set(METRICS)
    assert _choices(Config, "evaluate_metrics") == training == set(METRICS) - {"cas"}
    keys = {key for name in training for key in METRICS[name].titles_of}
    assert _choices(Config, "best_metric") == keys and {"is", "precision", "recall"} <= keys
    assert _choices(benchmark_metrics.Options, "tasks") == training


def test_help_names_the_metrics_that_need_features():
    field = next(f for f in dataclasses.fields(make_reference.Options) if f.name == "keep_features")
    assert all(name in field.metadata["help"] for name in catalog.names(Need.REFERENCE_FEATURES))


def test_the_page_has_the_table_of_metrics():
    """metrics/README.md says what each metric is, who defined it, and what it needs."""
    readme = (ROOT / "sagan_tf" / "metrics" / "README.md").read_text()
    for name, metric in METRICS.items():
        row = f"| `{name}` | {metric.about} | {metric.source} | {metric.describe_needs()} |"
        assert row in readme, row


def test_names_and_keys_are_unique():
    keys = [key for metric in METRICS.values() for key in metric.titles_of]
    assert len(keys) == len(set(keys)) and METRICS is REGISTERED
    for metric in METRICS.values():
        assert all(catalog.metric_of(key) is metric for key in metric.titles_of)
        assert set(metric.must_see) == set(metric.titles_of)
    with pytest.raises(ValueError, match="recall exists already"):
        register(type("Other", (Metric,), {"name": "other", "titles_of": {"recall": ("a", "b")}}))
    assert "other" not in METRICS


@pytest.mark.parametrize("module", ["sagan_tf.evaluate", "sagan_tf.runs.config", "sagan_tf.make_reference"])
def test_options_need_no_heavy_library(module):
    command = [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"]
    loaded = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert module in loaded and not HEAVY & set(loaded)


@pytest.mark.parametrize("is_inception", [True, False])
def test_small_features_of_a_classifier_have_their_distance_and_inception_has_tfgan_s(is_inception):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, 200, 20)) * np.geomspace(1, 1e-2, 20) * 1e-4
    real, generated = map(gaussian, features)
    measurement = types.SimpleNamespace(
        network=types.SimpleNamespace(is_inception=is_inception),
        reference=types.SimpleNamespace(gaussian=lambda: real),
    )
    gathered = types.SimpleNamespace(gaussian=lambda: generated)
    (score,) = METRICS["fid"].compute(measurement, gathered)
    distance = tfgan.evaluation().frechet_classifier_distance_from_activations
    by_tfgan, expected = float(distance(*map(tf.constant, features))), frechet_distance(real, generated)
    assert by_tfgan > 1.1 * expected
    assert score.value == pytest.approx(by_tfgan if is_inception else expected, rel=1e-4)


def test_a_collapsed_generator_is_precise_and_recalls_nothing():
    """Each value under its own name: all images are one real image."""
    real = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    copies = real[:1] + np.float32(1e-3) * np.random.default_rng(1).normal(size=real.shape).astype(np.float32)
    measurement = types.SimpleNamespace(real_features=real, real_note=lambda: "")
    gathered = types.SimpleNamespace(rows=lambda: copies)
    found = {}
    for name in ("precision_recall", "density_coverage"):
        found |= {score.key: score.value for score in METRICS[name].compute(measurement, gathered)}
    assert found["precision"] == 1 and found["recall"] < 0.1
    assert found["density"] > 1 and found["coverage"] < 0.6
