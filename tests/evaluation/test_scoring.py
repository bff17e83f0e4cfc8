"""All metrics in one pass: the same as each by itself, whatever the batch size; refusals before any work."""

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.evaluation import pipeline, reference, samples
from sagan_tf.evaluation.scoring import Scorer
from sagan_tf.metrics.catalog import METRICS
from sagan_tf.metrics.density_coverage import density_coverage
from sagan_tf.metrics.frechet import frechet_distance
from sagan_tf.metrics.inception_score import split_scores
from sagan_tf.metrics.kernel_distance import kernel_distance
from sagan_tf.metrics.metric import Batch, Measurement
from sagan_tf.metrics.moments import gaussian
from sagan_tf.metrics.precision_recall import precision_recall
from sagan_tf.metrics.statistics import AllLogits, AllMoments, ClassMoments
from sagan_tf.system.errors import UserError
from tests.metrics.shapes import CLASSES, make_dataset, make_images

ALL_BUT_CAS = tuple(name for name in METRICS if name != "cas")


class _Images:
    def __init__(self, count=64, labels=True, seed=5, size=16):
        self._pixels = make_images(count, seed, size)
        self.count, self.image_size = count, size
        self.labels = (np.arange(count) % 3).astype(np.int32) if labels else None

    def batches(self, batch_size):
        for start in range(0, self.count, batch_size):
            yield self._pixels[start : start + batch_size]


@pytest.fixture(scope="module")
def real(tmp_path_factory, network):
    folder = str(tmp_path_factory.mktemp("reference"))
    return pipeline.real_reference(make_dataset(90), "train", network, ["kid"], folders=[folder])


def _scorer(network, real, metrics=ALL_BUT_CAS, **arguments):
    return Scorer(network, real, metrics, CLASSES, **arguments)


def _values(scorer, images):
    return {score.key: score.value for score in scorer.score(images)}


def test_equals_each_metric_by_itself(network, real):
    images = _Images()
    features, logits = network(images._pixels)
    found = {score.key: score for score in _scorer(network, real, splits=1).score(images)}
    values = {key: score.value for key, score in found.items()}
    assert values["fid"] == pytest.approx(frechet_distance(real.gaussian(), gaussian(features)), rel=1e-6)
    classes = [frechet_distance(gaussian(real.class_features(c)), gaussian(features[c::3])) for c in range(3)]
    assert values["intra_fid"] == pytest.approx(np.mean(classes), rel=1e-6)
    assert found["intra_fid"].spread == pytest.approx(np.std(classes), rel=1e-6)
    real_features = real.features(64, 0)
    assert len(real_features) == 64  # as many as generated ones
    kid = found["kid"].value, found["kid"].spread
    assert kid == pytest.approx(kernel_distance(real_features, features, 0), rel=1e-4)
    pairs = (("precision", "recall"), precision_recall), (("density", "coverage"), density_coverage)
    for keys, function in pairs:
        assert [values[key] for key in keys] == pytest.approx(function(real_features, features), abs=0.02)
    assert values["agreement"] == np.mean(logits.argmax(axis=1) == images.labels)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    kl = np.sum(p * np.log(p / p.mean(axis=0)), axis=1)
    assert values["is"] == pytest.approx(np.exp(kl.mean()), rel=1e-5)


def test_inception_score_is_the_mean_and_the_spread_over_its_splits(network, real):
    images = _Images()
    (score,) = _scorer(network, real, ("is",), splits=4).score(images)
    of_splits = split_scores(network(images._pixels)[1], 4, seed=0)
    assert score.value == pytest.approx(np.mean(of_splits), rel=1e-5)
    assert score.spread == pytest.approx(np.std(of_splits), rel=1e-3) and score.spread > 0


def test_a_distance_from_no_more_images_than_features_is_marked(network, real):
    notes = {}
    for count in (network.num_features, network.num_features + 1):
        (score,) = _scorer(network, real, ("fid",)).score(_Images(count))
        notes[count - network.num_features] = score.note
    assert "biased" in notes[0] and not notes[1]


def test_images_are_those_that_are_asked_for(network):
    """Of this seed, truncation and distribution; a generator whose images show z and label."""

    def generate(z, labels):
        shades = tf.tanh(z[:, :3] + tf.cast(labels, tf.float32)[:, None])
        return tf.tile(shades[:, None, None, :], (1, 16, 16, 1))

    generator = samples.SampledGenerator(generate, 4, 16, True)
    how = {"seed": 3, "truncation": 0.5, "distribution": "balanced"}
    drawn = pipeline.generator_samples(
        Scorer(network, None, ["is"], CLASSES), generator, num_samples=9, **how
    )
    labels = np.array([0, 1, 2] * 3, np.int32)
    z = samples.draw_z(np.arange(9), 3, 4, 0.5)
    expected = (generate(z, labels).numpy() + 1) * 127.5
    np.testing.assert_array_equal(drawn.labels, labels)
    np.testing.assert_allclose(np.concatenate(list(drawn.batches(5))), expected, atol=1)


def test_batch_size_does_not_matter(network, real):
    small, large = (_values(_scorer(network, real, batch_size=size), _Images()) for size in (7, 64))
    assert small == pytest.approx(large, rel=1e-3, abs=1e-6)


def test_statistics_are_the_same_to_the_last_bit_in_batches_of_any_size():
    rng = np.random.default_rng(0)
    features, logits = rng.normal(size=(1500, 6)).astype(np.float32), rng.normal(size=(1500, 4))
    labels = rng.integers(3, size=1500)

    def stream(batch_size):
        measurement = Measurement(1500, labels, CLASSES, None, seed=1)
        gatherers = [cls(measurement) for cls in (AllMoments, ClassMoments, AllLogits)]
        for start in range(0, 1500, batch_size):
            part = slice(start, start + batch_size)
            for gatherer in gatherers:
                gatherer.update(Batch(start, None, features[part], logits[part], labels[part]))
        return gatherers

    one, many = stream(1500), stream(11)
    np.testing.assert_array_equal(one[0].gaussian().root, many[0].gaussian().root)
    for label in range(3):
        np.testing.assert_array_equal(one[1].gaussians()[label].root, many[1].gaussians()[label].root)
    np.testing.assert_array_equal(one[2].rows(), many[2].rows())


def test_each_metric_is_there_as_soon_as_it_is_known(network, real, monkeypatch):
    scores = _scorer(network, real, ("fid", "kid")).score(_Images())
    monkeypatch.setattr("sagan_tf.metrics.kernel_distance.kernel_distance", None)  # fails when its turn comes
    assert next(scores).key == "fid"
    with pytest.raises(TypeError):
        next(scores)


@pytest.mark.parametrize(
    ("metrics", "images", "message"),
    [
        (("kid",), _Images(19), "kid needs at least 20 images; there are 19"),
        (("is",), _Images(9), "is needs at least 10 images; there are 9"),
        (("fid",), _Images(1), "needs at least 2 images"),
        (("precision_recall",), _Images(3), "needs at least 4 images"),
        (("density_coverage",), _Images(5), "needs at least 6 images"),
        (
            ("intra_fid",),
            _Images(5),
            "needs at least 2 images of every class; of 'star' there are 1 generated",
        ),
        (("intra_fid",), _Images(labels=False), "intra_fid needs the class of each image"),
        (("agreement",), _Images(labels=False), "agreement needs the class of each image"),
        (("fid",), _Images(size=32), "image_size 16 there, 32 here"),
    ],
)
def test_what_cannot_be_had_is_said_before_any_work(metrics, images, message, network, real):
    scorer = _scorer(network, real, metrics)
    images.batches = None  # would fail
    with pytest.raises(UserError) as error:
        next(scorer.score(images))
    assert message in str(error.value)


def test_reference_must_be_good_enough(network, real, tmp_path):
    with pytest.raises(UserError, match="needs real images to compare with"):
        _scorer(network, None, ("fid",)).check(_Images())
    few = pipeline.real_reference(make_dataset(3), "train", network, ["kid"], folders=[str(tmp_path)])
    with pytest.raises(UserError, match="at least 20 real images; there are 3"):
        _scorer(network, few, ("kid",)).check(_Images())
    with pytest.raises(UserError, match="of 'circle' there are 1 real images"):
        _scorer(network, few, ("intra_fid",)).check(_Images())
    bare = pipeline.real_reference(make_dataset(90), "train", network, ["fid"], folders=[str(tmp_path)])
    with pytest.raises(UserError, match="holds only their mean and covariance"):
        _scorer(network, bare, ("kid",)).check(_Images())


def test_agreement_needs_a_network_that_knows_the_classes(network, real, inception_folder):
    with pytest.raises(UserError, match=r"agreement needs a network \(sagan_tf.train_classifier trains one"):
        Scorer(network, None, ["agreement"], ("cat", "dog")).check(_Images())


def test_reference_distribution_needs_a_reference(network):
    scorer = Scorer(network, None, ["is"], CLASSES)
    generator = samples.SampledGenerator(None, 4, 16, True)
    with pytest.raises(UserError, match="needs real images"):
        pipeline.generator_samples(scorer, generator, num_samples=10, distribution="reference")


def test_unused_reference_is_not_checked(network, real):
    bad = reference.Reference(real.path)
    bad.protocol["fingerprint"] = "another"
    assert next(_scorer(network, bad, ("is",)).score(_Images())).key == "is"
