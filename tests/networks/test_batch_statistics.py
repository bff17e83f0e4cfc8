"""Batch statistics estimated from samples: plain means over batches, and nothing else moves."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.importing import release_2018
from sagan_tf.networks import Generator, batch_statistics
from sagan_tf.networks.batch_statistics import estimate_statistics, random_inputs
from sagan_tf.networks.sampling import draw_z

FORMS = {
    "conditional": {"classes": 3},
    "unconditional": {"classes": 0},
    "BigGAN's": {"classes": 3, "embedding_size": 4, "hierarchical_z": True},
}


def make_generator(classes=3, **options):
    keras.utils.set_random_seed(0)
    generator = Generator(32, 1, classes, z_dim=8, **{"attention": (16,)} | options)
    generator.build()
    return generator


def norms_of(generator):
    return [layer for layer in generator.inner_layers if hasattr(layer, "moving_mean")]


def statistics_of(generator):
    norms = norms_of(generator)
    return np.concatenate([v.numpy() for norm in norms for v in (norm.moving_mean, norm.moving_variance)])


def test_their_z_are_in_no_evaluation():
    generator = Generator(32, 1, 3, z_dim=8)
    drawn = np.concatenate([random_inputs(generator, seed=0)(number)[0] for number in range(3)])
    assert len(np.unique(drawn, axis=0)) == len(drawn)
    evaluated = draw_z(tf.range(8, dtype=tf.int64), 0, 8, 0.0).numpy()
    assert not (drawn[:, None] == evaluated[None]).all(axis=-1).any()


@pytest.mark.parametrize("form", FORMS)
def test_of_one_batch_they_are_those_of_training(form):
    generator = make_generator(**FORMS[form])
    before = {v.path: v.numpy() for v in generator.variables}
    draw = random_inputs(generator, seed=3, batch_size=6)
    estimate_statistics(generator, draw, 1)
    z, labels = draw(tf.constant(0, tf.int64))
    by_batch = generator(z, labels, training=True, update_state=False).numpy()
    np.testing.assert_allclose(generator(z, labels).numpy(), by_batch, atol=1e-5)
    for variable in generator.variables:
        if "moving" not in variable.path:
            np.testing.assert_array_equal(variable.numpy(), before[variable.path], err_msg=variable.path)
    assert {norm.momentum for norm in norms_of(generator)} == {0.999}


def test_of_several_they_are_plain_means():
    generator = make_generator()
    draw, singles, done = random_inputs(generator, seed=0, batch_size=4), [], []
    for number in range(3):
        estimate_statistics(generator, lambda _, number=number: draw(tf.constant(number, tf.int64)), 1)
        singles.append(statistics_of(generator))
    estimate_statistics(generator, draw, 3, done.append)
    np.testing.assert_allclose(statistics_of(generator), np.mean(singles, axis=0), rtol=1e-5, atol=1e-7)
    assert np.ptp(singles, axis=0).max() > 0.01 and done == [1, 2, 3]


def test_an_import_counts_all_of_its_batches_alike(monkeypatch):
    """Its error is that of a mean over 200 batches, not over the last few of them."""
    monkeypatch.setattr(batch_statistics, "BATCH_SIZE", 4)
    generator = make_generator(attention=())
    draw = random_inputs(generator, seed=77, batch_size=batch_statistics.BATCH_SIZE)
    for norm in norms_of(generator):
        norm.momentum = 0.0

    @tf.function
    def run(number):
        generator(*draw(number), training=True, update_state=True)
        return [v.value for norm in norms_of(generator) for v in (norm.moving_mean, norm.moving_variance)]

    u = [(v, v.numpy()) for v in generator.variables if v.path.endswith("/u")]
    found = []
    for number in range(400):
        found.append(np.concatenate([v.numpy() for v in run(tf.constant(number, tf.int64))]))
        for variable, value in u:
            variable.assign(value)
    for norm in norms_of(generator):
        norm.momentum = 0.999
    release_2018.estimate_moving_averages(generator, 0)
    error = statistics_of(generator) - np.mean(found, axis=0)
    moving = np.std(found, axis=0) > 1e-6
    expected = np.std(found, axis=0)[moving] * np.sqrt(1 / 200 + 1 / 400)
    assert np.sqrt(np.mean(np.square(error[moving] / expected))) < 2
