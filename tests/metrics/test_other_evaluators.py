"""The same features under other evaluators: prdc, torch-fidelity and pytorch-fid, where they are installed.

`python -m pytest -m slow -s tests/metrics/test_other_evaluators.py` prints the table of metrics/README.md.
"""

import contextlib
import importlib
import io

import numpy as np
import pytest

from sagan_tf.metrics.density_coverage import density_coverage
from sagan_tf.metrics.frechet import tfgan_distance
from sagan_tf.metrics.inception_score import split_scores
from sagan_tf.metrics.kernel_distance import kernel_distance
from sagan_tf.metrics.moments import gaussian
from sagan_tf.metrics.precision_recall import precision_recall

pytestmark = pytest.mark.slow
COUNT, DIMENSION = 5000, 256


def _other(name: str):
    """A module of another evaluator; its package and PyTorch are not among the requirements."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return importlib.import_module(name)
    except (ImportError, RuntimeError, AttributeError) as error:
        pytest.skip(f"{name}, another evaluator, which cannot be imported ({error})")


def _features(seed: int, shift: float) -> np.ndarray:
    """Correlated and positive, as Inception's are; float32 (n, D)."""
    mixing = np.random.default_rng(0).normal(size=(DIMENSION, DIMENSION))
    mixing *= np.geomspace(1, 0.01, DIMENSION)[:, None] / np.sqrt(DIMENSION)
    rows = np.random.default_rng(seed).normal(size=(COUNT, DIMENSION)) @ mixing
    return np.maximum(3 * rows + 0.3 + shift, 0).astype(np.float32)


@pytest.fixture(scope="module")
def sets():
    return _features(1, 0.0), _features(2, 0.1)


def _show(metric: str, evaluator: str, ours: float, theirs: float) -> None:
    print(f"\n| {metric} | {ours:.6g} | {evaluator} | {theirs:.6g} |")


def test_fid_is_that_of_pytorch_fid(sets):
    other = _other("pytorch_fid.fid_score")
    real, generated = sets
    moments = [(np.mean(each, axis=0), np.cov(each, rowvar=False)) for each in sets]
    theirs = float(other.calculate_frechet_distance(*moments[0], *moments[1]))
    ours = tfgan_distance(gaussian(real), gaussian(generated))
    _show("FID", "pytorch-fid", ours, theirs)
    assert ours == pytest.approx(theirs, rel=1e-5)


def test_fid_is_that_of_torch_fidelity(sets):
    other, torch = _other("torch_fidelity.metric_fid"), _other("torch")
    statistics = [other.fid_features_to_statistics(torch.from_numpy(each)) for each in sets]
    theirs = other.fid_statistics_to_metric(*statistics, verbose=False)[other.KEY_METRIC_FID]
    ours = tfgan_distance(*map(gaussian, sets))
    _show("FID", "torch-fidelity", ours, theirs)
    assert ours == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize(("splits", "tolerance"), [(1, 1e-9), (10, 0.02)])
def test_inception_score_is_that_of_torch_fidelity(splits, tolerance):
    """With several splits others fall into each, so the scores differ by sampling."""
    other, torch = _other("torch_fidelity.metric_isc"), _other("torch")
    logits = np.random.default_rng(3).normal(0, 4, (COUNT, 100)).astype(np.float32)
    theirs = other.isc_features_to_metric(torch.from_numpy(logits), splits)[other.KEY_METRIC_ISC_MEAN]
    ours = float(split_scores(logits, splits, seed=0).mean())
    _show(f"IS, {splits} splits", "torch-fidelity", ours, theirs)
    assert ours == pytest.approx(theirs, rel=tolerance)


def test_kid_is_that_of_torch_fidelity(sets):
    """It draws 100 subsets of 1,000 anew each; TF-GAN cuts all images into blocks."""
    other, torch = _other("torch_fidelity.metric_kid"), _other("torch")
    tensors = [torch.from_numpy(each.astype(np.float64)) for each in sets]
    theirs = other.kid_features_to_metric(*tensors, verbose=False)
    theirs = theirs[other.KEY_METRIC_KID_MEAN]
    ours, error = kernel_distance(*sets, seed=0)
    _show("KID", "torch-fidelity", ours, theirs)
    assert ours == pytest.approx(theirs, abs=3 * error) and 0 < error < 0.1 * ours


def test_precision_and_recall_are_those_of_torch_fidelity(sets):
    other, torch = _other("torch_fidelity.metric_prc"), _other("torch")
    real, generated = sets
    found = other.prc_features_to_metric(*map(torch.from_numpy, (generated, real)), verbose=False)
    ours = precision_recall(real, generated)
    for name, value in zip(("precision", "recall"), ours, strict=True):
        _show(name, "torch-fidelity", value, found[name])
        assert value == pytest.approx(found[name], abs=2 / COUNT)  # rounding may move an image over an edge


def test_precision_recall_density_and_coverage_are_those_of_prdc(sets):
    other = _other("prdc")
    real, generated = sets
    with contextlib.redirect_stdout(io.StringIO()):
        three, five = (other.compute_prdc(real, generated, nearest_k=k) for k in (3, 5))
    theirs = [three["precision"], three["recall"], five["density"], five["coverage"]]
    ours = [*precision_recall(real, generated), *density_coverage(real, generated)]
    for name, value, other_value in zip(three, ours, theirs, strict=True):
        _show(name, "prdc", value, other_value)
    assert ours == pytest.approx(theirs, abs=2 / COUNT)
