"""Every random number that training draws: z, labels of fakes, mixing shares, seeds of augmentations."""

import tensorflow as tf

from sagan_tf.training.state import State

# Added to the seed of training: larger than any seed that an option takes, so that training never sees the z
# that samples and evaluations draw.
TRAINING_SEED = 2**40
# Added to the seed each time a run goes back to a checkpoint, so that the run does not diverge the same way.
RESTORE_SEED = 1_000_003
_MIXING = -1  # keeps mixing shares apart from augmentations, whose numbers start at 0


class Draws:
    """Random numbers of the step in progress.

    They depend on the seed, `state.step` and `state.restores` only. Each replica takes its rows of what is
    drawn for the global batch. So a run can go on from any step, and on any number of replicas.

    A draw is a number from 0 to `updates` - 1: one for each update of a network within a step.
    Call the methods in replica context.

    Args:
      state: gives the step, the number of restores, and the generator's z_dim and classes.
      seed: seed of the run.
      batch_size: global batch size, a multiple of replicas * parts.
      updates: updates of both networks in one step.
      parts: number of parts that each replica divides its rows into; part p takes rows p, p + parts, ...
    """

    def __init__(self, state: State, *, seed: int, batch_size: int, updates: int, parts: int = 1):
        self._state, self._seed = state, seed
        self._batch_size, self._updates, self._parts = batch_size, updates, parts

    def noise(self, draw: int, part: int = 0):
        """Normal z, float32 (b, z_dim), and uniform labels, int32 (b,), for one part of this replica."""
        generator, seed = self._state.generator, self._seed_of(draw)
        z = tf.random.stateless_normal((self._batch_size, generator.z_dim), seed)
        classes = max(generator.classes, 1)
        labels = tf.random.stateless_uniform((self._batch_size,), seed, 0, classes, tf.int32)
        return self._rows(z, part), self._rows(labels, part)

    def mixing(self, draw: int, part: int = 0):
        """Share of the real image in each mixture of WGAN-GP: uniform in [0, 1), float32 (b, 1, 1, 1)."""
        seed = tf.random.experimental.stateless_fold_in(self._seed_of(draw), _MIXING)
        return self._rows(tf.random.stateless_uniform((self._batch_size, 1, 1, 1), seed), part)

    def augmentation_seed(self, draw: int, part: int = 0):
        """Seed for `augment`, int64 (2,): another one for each replica and part."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return tf.random.experimental.stateless_fold_in(self._seed_of(draw), replica * self._parts + part)

    def _rows(self, values, part: int):
        """One part of this replica's rows of the global batch."""
        context = tf.distribute.get_replica_context()
        count = self._batch_size // context.num_replicas_in_sync
        first = count * context.replica_id_in_sync_group
        return values[first : first + count][part :: self._parts]

    def _seed_of(self, draw: int):
        seed = TRAINING_SEED + self._seed + RESTORE_SEED * self._state.restores
        return tf.stack([seed, self._state.step * self._updates + draw])  # int64 (2,)
