"""What training draws."""

import numpy as np
import tensorflow as tf

from sagan_tf.networks.sampling import draw_z
from sagan_tf.training.step import Alternation
from tests.training.game import TINY, Trainer


def test_training_never_sees_the_z_of_an_evaluation(digits):
    """With the same seed, sample i of an evaluation must not be a row of step i's batch."""
    state = Trainer(digits, TINY).state
    alternation = Alternation(
        state, None, batch_size=8, discriminator_steps=1, reuse_fakes=True, seed=TINY.seed
    )
    batches = []
    for step in range(4):
        state.step.assign(step)
        batches += [alternation._noise(draw)[0].numpy() for draw in range(2)]
    trained = np.concatenate(batches)
    assert len(np.unique(trained, axis=0)) == len(trained)  # each draw is another
    evaluated = draw_z(tf.range(8, dtype=tf.int64), TINY.seed, TINY.z_dim, 0.0).numpy()
    assert not (trained[:, None] == evaluated[None]).all(axis=-1).any()
