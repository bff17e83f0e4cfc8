"""IS, KID, precision/recall, density/coverage, agreement, CAS: against formulas, and TF-GAN."""

import warnings

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.metrics import neighbours, tfgan
from sagan_tf.metrics.classification_accuracy import TrainingImages, classification_accuracy
from sagan_tf.metrics.density_coverage import density_coverage
from sagan_tf.metrics.inception_score import split_scores
from sagan_tf.metrics.kernel_distance import kernel_distance, number_of_blocks
from sagan_tf.metrics.label_agreement import Agreement
from sagan_tf.metrics.metric import Batch, Measurement, RealTest
from sagan_tf.metrics.precision_recall import precision_recall


def test_inception_score_is_the_formula_on_each_split():
    logits = np.random.default_rng(0).normal(0, 4, (301, 12)).astype(np.float32)
    scores = split_scores(logits, 5, seed=3)
    part = np.random.default_rng(3).permutation(301) * 5 // 301
    for number in range(5):
        p = np.exp(logits[part == number].astype(float))
        p /= p.sum(axis=1, keepdims=True)
        expected = np.exp(np.mean(np.sum(p * np.log(p / p.mean(axis=0)), axis=1)))
        assert scores[number] == pytest.approx(expected, rel=1e-12)


def test_inception_score_extremes():
    sure = np.eye(10)[np.arange(100) % 10] * 700.0  # most p are nearly 0
    assert split_scores(sure, 1, seed=0)[0] == pytest.approx(10.0)
    assert split_scores(np.zeros((100, 10)), 1, seed=0)[0] == pytest.approx(1.0)


def test_order_by_class_does_not_spoil_the_inception_score():
    """Consecutive splits of images in order of class would each hold one class, and score 1."""
    logits = np.eye(10)[np.arange(1000) // 100] * 50.0
    assert split_scores(logits, 10, seed=0).min() > 8.5


def _kid_sets():
    rng = np.random.default_rng(0)
    return rng.normal(size=(230, 16)).astype(np.float32), rng.normal(0.3, 1, (185, 16)).astype(np.float32)


def test_kernel_distance_is_the_formula(monkeypatch):
    x, y = (features[:5].astype(np.float64) for features in _kid_sets())
    monkeypatch.setattr("sagan_tf.metrics.kernel_distance.number_of_blocks", lambda *_: 1)
    total = sum((x[i] @ x[j] / 16 + 1) ** 3 for i in range(5) for j in range(5) if i != j) / 20
    total += sum((y[i] @ y[j] / 16 + 1) ** 3 for i in range(5) for j in range(5) if i != j) / 20
    total -= 2 * np.mean([(a @ b / 16 + 1) ** 3 for a in x for b in y])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one block has no standard error
        assert kernel_distance(x, y, seed=0)[0] == pytest.approx(total, rel=1e-12)


def test_kernel_distance_equals_tfgan_on_all_blocks():
    x, y = _kid_sets()
    rng = np.random.default_rng(7)
    shuffled = [tf.constant(each[rng.permutation(len(each))]) for each in (x, y)]
    mean, error = tfgan.evaluation().kernel_classifier_distance_and_std_from_activations(
        *shuffled, max_block_size=23, dtype=tf.float64
    )
    assert kernel_distance(x, y, seed=7) == pytest.approx((float(mean), float(error)), rel=1e-9)


@pytest.mark.parametrize(
    ("real", "generated", "blocks"), [(230, 185, 10), (50_000, 50_000, 49), (20, 50_000, 10), (20, 20, 10)]
)
def test_every_block_of_the_kernel_distance_has_pairs(real, generated, blocks):
    assert number_of_blocks(real, generated) == blocks and min(real, generated) // blocks >= 2


def test_kernel_distance_of_few_real_images_is_a_number():
    x, y = _kid_sets()
    many = np.concatenate([y + 0.001 * number for number in range(70)])  # 1,024 at most in a block: 13 blocks
    assert np.isfinite(kernel_distance(x[:20], many, seed=0)).all()


def test_kernel_distance_heeds_the_distance_and_not_the_order():
    x, y = _kid_sets()
    value, error = kernel_distance(x, y, seed=0)
    assert value > 5 * error > 0
    same, error = kernel_distance(x[:115], x[115:], seed=0)
    assert abs(same) < 4 * error
    ordered = x[np.argsort(x[:, 0])]
    assert kernel_distance(ordered, y[np.argsort(y[:, 0])], seed=1)[0] == pytest.approx(value, abs=8 * error)


def _manifold_sets():
    rng = np.random.default_rng(0)
    return rng.normal(size=(90, 3)), np.concatenate(
        [rng.normal(0.5, 0.7, (50, 3)), rng.normal(6, 0.5, (20, 3))]
    )


def _distances(a, b):
    return np.array([[np.sqrt(np.sum((x - y) ** 2)) for y in b] for x in a])


def _radii(points, k):
    return np.array([sorted(np.delete(row, i))[k - 1] for i, row in enumerate(_distances(points, points))])


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_precision_and_recall_are_the_formula(offset, monkeypatch):
    monkeypatch.setattr(neighbours, "_BLOCK_BYTES", 4 * 90 * 7)  # several blocks
    real, generated = _manifold_sets()
    between = _distances(real, generated)
    precision = np.mean(np.any(between <= _radii(real, 3)[:, None], axis=0))
    recall = np.mean(np.any(between <= _radii(generated, 3)[None], axis=1))
    assert 0 < precision < 1 and 0 < recall < 1
    assert precision_recall(real + offset, generated + offset) == pytest.approx(
        (precision, recall), abs=1e-12
    )


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_density_and_coverage_are_the_formula(offset, monkeypatch):
    monkeypatch.setattr(neighbours, "_BLOCK_BYTES", 4 * 90 * 7)
    real, generated = _manifold_sets()
    inside = _distances(real, generated) < _radii(real, 5)[:, None]
    density, coverage = inside.sum() / (5 * len(generated)), np.mean(np.any(inside, axis=1))
    assert 0 < coverage < 1
    assert density_coverage(real + offset, generated + offset) == pytest.approx(
        (density, coverage), abs=1e-12
    )


def test_identical_and_collapsed_sets():
    real, _ = _manifold_sets()
    assert precision_recall(real, real) == (1.0, 1.0)
    density, coverage = density_coverage(real, real)
    assert coverage == 1.0 and density == pytest.approx(1.0, abs=0.3)
    collapsed = np.repeat(real[:1], 50, axis=0)
    precision, recall = precision_recall(real, collapsed)
    assert precision == 1.0 and recall <= 2 / 90
    assert density_coverage(real, collapsed)[1] < 0.2


def test_a_classifier_that_learnt_from_generated_images_knows_real_ones_like_them():
    """Images of plain colours: who learns them under the wrong labels, or not at all, gets few right."""
    rng = np.random.default_rng(0)

    def make(count):
        labels = rng.integers(3, size=count).astype(np.int32)
        colours = 255 * np.eye(3, dtype=np.uint8)[labels]
        return colours[:, None, None, :].repeat(8, axis=1).repeat(8, axis=2), labels

    (images, labels), real = make(192), make(90)
    test = RealTest("colours", 8, 10.0, lambda: [real], ("red", "green", "blue"))
    generated = TrainingImages(Measurement(192, labels, test.class_names, None, real_test=test))
    for start in range(0, 192, 50):
        part = slice(start, start + 50)
        generated.update(Batch(start, images[part], None, None, labels[part]))
    share, count = classification_accuracy(generated, [real], 3, epochs=10.0, seed=0, report=str)
    assert count == 90 and share > 0.8


def test_agreement():
    agreement = Agreement()
    logits = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    agreement.update(Batch(0, None, None, logits[:3], np.array([1, 1, 1])))
    agreement.update(Batch(3, None, None, logits[3:], np.array([0])))
    share, error = agreement.result()
    assert share == 0.75 and error == pytest.approx(np.sqrt(0.75 * 0.25 / 4))
