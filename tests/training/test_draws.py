"""The random numbers of training: never those of an evaluation, and others after a restore."""

import dataclasses

import numpy as np
import tensorflow as tf

from sagan_tf.networks.sampling import draw_z
from sagan_tf.runs import objects
from sagan_tf.training.draws import Draws
from tests.training.game import TINY, Trainer


def test_training_never_sees_the_z_of_an_evaluation(digits):
    """With the same seed, sample i of an evaluation must not be a row of step i's batch."""
    state = Trainer(digits, TINY).state
    draws = Draws(state, seed=TINY.seed, batch_size=8, updates=2)
    batches = []
    for step in range(4):
        state.step.assign(step)
        batches += [draws.noise(draw)[0].numpy() for draw in range(2)]
    trained = np.concatenate(batches)
    assert len(np.unique(trained, axis=0)) == len(trained)  # each draw is another
    evaluated = draw_z(tf.range(8, dtype=tf.int64), TINY.seed, TINY.z_dim, 0.0).numpy()
    assert not (trained[:, None] == evaluated[None]).all(axis=-1).any()


def test_a_run_that_went_back_goes_another_way(digits, eagerly):
    """Other z and other images, which depend on how often it has gone back."""
    config = dataclasses.replace(TINY, devices="cpu:1")
    trainer = Trainer(digits, config)
    draws = Draws(trainer.state, seed=0, batch_size=8, updates=2)
    z, images = [], []
    for restores in (0, 1, 2, 1):
        trainer.state.restores.assign(restores)
        z.append(draws.noise(0)[0].numpy())
        iterator = objects.make_iterator(config, digits, trainer.strategy, 2, restores)
        images.append(next(iterator)[0].numpy())
    for drawn in (z, images):
        assert np.array_equal(drawn[1], drawn[3])
        assert not np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[1], drawn[2])


def test_parts_divide_what_is_drawn_for_the_whole(digits, eagerly):
    """Rows p, p + parts, ...; augmentations get another seed for each part and draw."""
    state = Trainer(digits, TINY).state
    whole = Draws(state, seed=5, batch_size=8, updates=2)
    halves = Draws(state, seed=5, batch_size=8, updates=2, parts=2)
    for part in range(2):
        for all_rows, rows in zip(whole.noise(1), halves.noise(1, part), strict=True):
            np.testing.assert_array_equal(rows, all_rows[part::2])
        np.testing.assert_array_equal(halves.mixing(1, part), whole.mixing(1)[part::2])
    seeds = {tuple(halves.augmentation_seed(draw, part).numpy()) for draw in range(2) for part in range(2)}
    assert len(seeds) == 4


def test_shares_of_mixtures_are_uniform_and_others_in_each_update(digits):
    state = Trainer(digits, TINY).state
    draws = Draws(state, seed=5, batch_size=4000, updates=2)
    shares = np.stack([draws.mixing(draw).numpy().ravel() for draw in range(2)])
    quantiles = np.linspace(0, 1, 11)
    for each in shares:
        np.testing.assert_allclose(np.quantile(each, quantiles), quantiles, atol=0.04)
    assert abs(np.corrcoef(shares)[0, 1]) < 0.08


def test_every_replica_has_its_own_augmentations(digits):
    trainer = Trainer(digits, dataclasses.replace(TINY, devices="cpu:2"))
    draws = Draws(trainer.state, seed=5, batch_size=8, updates=2)
    seeds = trainer.strategy.run(lambda: draws.augmentation_seed(0))
    first, second = trainer.strategy.experimental_local_results(seeds)
    assert (first.numpy() != second.numpy()).any()
