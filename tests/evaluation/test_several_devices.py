"""Images, features and scores are the same, to the last bit, on any number of devices."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.evaluation import pipeline, samples
from sagan_tf.evaluation.compiled import callable_of, on_devices
from sagan_tf.evaluation.scoring import Scorer
from sagan_tf.metrics.features import load_network
from sagan_tf.networks import Generator
from tests.metrics.shapes import CLASSES, make_dataset

DEVICES = ("CPU:0", "CPU:1", "CPU:2")
COUNTS = (1, 2, 3)
METRICS = ("is", "fid", "intra_fid", "kid")
LABELS = samples.draw_labels("uniform", 50, 3, 0, None)  # in batches of 8: seven, the last with two


@pytest.fixture(scope="module")
def generator():
    keras.utils.set_random_seed(0)
    network = Generator(image_size=32, channels=1, classes=3, z_dim=8, attention=())
    network.build()
    return network


@pytest.fixture(scope="module")
def networks(classifier_folder):
    """The network that sees the images, by the number of devices with a copy."""
    return {count: load_network(classifier_folder, DEVICES[:count]) for count in COUNTS}


def _images(generator):
    drawn = samples.GeneratorSamples(generator, LABELS, seed=0, truncation=0.0)
    batches = list(drawn.batches(8))
    assert list(map(len, batches)) == [8] * 6 + [2]
    return np.concatenate(batches)


def _scores(network, generator, folder):
    real = pipeline.real_reference(
        make_dataset(90, size=32), "train", network, METRICS, folders=[str(folder)], batch_size=8
    )
    drawn = samples.GeneratorSamples(generator, LABELS, seed=0, truncation=0.0)
    scorer = Scorer(network, real, METRICS, CLASSES, batch_size=8)
    return real, {score.key: (score.value, score.spread) for score in scorer.score(drawn)}


def test_a_run_scores_the_same_on_any_number_of_devices(generator, networks, tmp_path):
    one, two, three = (callable_of(*on_devices(generator, DEVICES[:count])) for count in COUNTS)
    expected = _images(one)
    for other in (two, three):
        np.testing.assert_array_equal(_images(other), expected)
    real, scores = _scores(networks[1], one, tmp_path / "1")
    for count, other in ((2, two), (3, three)):
        again, values = _scores(networks[count], other, tmp_path / str(count))
        assert values == scores
        np.testing.assert_array_equal(again.features(100, 0), real.features(100, 0))
        np.testing.assert_array_equal(again.gaussian().root, real.gaussian().root)
        np.testing.assert_array_equal(again.labels, real.labels)
        assert again.protocol == real.protocol and again.digest == real.digest


def test_every_device_computes_with_a_copy_of_its_own(generator, networks):
    copies = on_devices(generator, DEVICES)
    assert copies[0] is generator
    for device, copy in zip(DEVICES, copies, strict=True):
        assert {variable.value.device[-5:] for variable in copy.variables} == {device}
    compiled = callable_of(*copies)
    assert compiled.devices == DEVICES
    generates, runs = (compiled.generate, *compiled.others), networks[3]._runs
    for device, generate, run in zip(DEVICES, generates, runs, strict=True):
        with tf.device(device):
            inputs = tf.zeros((2, 8)), tf.constant([0, 2])
            images, outputs = generate(*inputs), run(tf.zeros((2, 16, 16, 3), tf.uint8))
            graphs = generate.get_concrete_function(*inputs).graph, run.get_concrete_function().graph
        assert all(graph.variables for graph in graphs)
        held = [variable for graph in graphs for variable in graph.variables]
        assert {tensor.device[-5:] for tensor in (images, *outputs.values(), *held)} == {device}


def test_weights_that_are_set_afterwards_count_on_every_device(generator):
    copies = on_devices(generator, DEVICES)
    compiled = callable_of(*copies)
    before, weights = _images(compiled), generator.get_weights()
    for copy in copies:
        copy.set_weights([weight + 0.1 for weight in weights])
    after, alone = _images(compiled), _images(callable_of(generator))
    generator.set_weights(weights)
    assert (after[::8] != before[::8]).any(axis=(1, 2, 3)).all()  # the first of each batch
    np.testing.assert_array_equal(after, alone)


def test_a_saved_model_draws_the_same_on_any_number_of_devices(generator, tmp_path):
    module = tf.Module()
    module.weights = [variable.value for variable in generator.variables]
    signature = (tf.TensorSpec((None, 8), name="z"), tf.TensorSpec((None,), tf.int32, name="labels"))
    call = tf.function(lambda z, labels: {"images": generator(z, labels)}, input_signature=signature)
    tf.saved_model.save(module, str(tmp_path / "model"), {"serving_default": call.get_concrete_function()})
    expected = _images(samples.from_saved_model(str(tmp_path / "model")))
    three = samples.from_saved_model(str(tmp_path / "model"), DEVICES)
    assert len(three.others) == 2 and three.digest
    np.testing.assert_array_equal(_images(three), expected)
