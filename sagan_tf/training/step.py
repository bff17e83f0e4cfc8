"""One iteration of the alternating game: some discriminator steps, then one generator step."""

import tensorflow as tf

from sagan_tf.augment import augment
from sagan_tf.losses import Loss
from sagan_tf.training.state import State

SCALARS = ("loss/discriminator", "loss/generator", "logits/real", "logits/fake")


class Alternation:
    """`discriminator_steps` updates of D, then one of G (SAGAN, section 4; TTUR by the optimizers' rates).

    u and the moving averages move once an iteration and network update: D's in the pass over real
    and fake images together, G's in the pass that is differentiated for G. Every other pass leaves
    them alone.

    Randomness depends on (seed, step) alone, and each replica uses its part of the global batch's z
    and labels: a run can be taken up at any step and split over any number of replicas.

    Args:
      state: networks and optimizers.
      loss: the players' losses.
      batch_size: global batch size, a multiple of the number of replicas.
      discriminator_steps: D updates for each G update.
      reuse_fakes: whether the G step takes the fakes of the last D step (G has not moved since, so
        they are as good as fresh ones, and cost one pass through G less).
      seed: seed of z, of the fakes' labels and of augmentations.
      augmentations: policies of `sagan_tf.augment` that real and fake images pass before D. What they
        draw depends on the replica as well.
    """

    def __init__(
        self,
        state: State,
        loss: Loss,
        *,
        batch_size: int,
        discriminator_steps: int,
        reuse_fakes: bool,
        seed: int,
        augmentations: tuple[str, ...] = (),
    ):
        self.state, self.loss = state, loss
        self.batch_size, self.discriminator_steps = batch_size, discriminator_steps
        self.reuse_fakes, self.seed = reuse_fakes, seed
        self.augmentations = augmentations

    def __call__(self, images, labels):
        """Runs one iteration in replica context.

        Args:
          images: float32 (discriminator_steps * b, H, W, 3) in [-1, 1], b images a replica and step.
          labels: int32 (discriminator_steps * b,).

        Returns:
          float32 scalars by name, whose sums over the replicas are means over the global batch.
        """
        steps = self.discriminator_steps
        for index in range(steps - 1):
            fakes, fake_labels = self._fakes(index, update_state=False)
            # Rows index, index + steps, ...: the same images whatever the number of replicas.
            self._discriminator_step(index, images[index::steps], labels[index::steps], fakes, fake_labels)
        images, labels = images[steps - 1 :: steps], labels[steps - 1 :: steps]

        generator, discriminator = self.state.generator, self.state.discriminator
        variables = [variable.value for variable in generator.trainable_variables]
        if not self.reuse_fakes:
            fakes, fake_labels = self._fakes(steps - 1, update_state=False)
            scalars = self._discriminator_step(steps - 1, images, labels, fakes, fake_labels)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            fakes, fake_labels = self._fakes(steps - 1 if self.reuse_fakes else steps, update_state=True)
            if self.reuse_fakes:
                with tape.stop_recording():
                    scalars = self._discriminator_step(steps - 1, images, labels, fakes, fake_labels)
            logits = discriminator(self._augment(fakes, steps), fake_labels)
            loss = tf.reduce_sum(self.loss.generator(logits)) / self.batch_size
        gradients = tape.gradient(loss, variables)
        self.state.generator_optimizer.apply(gradients, generator.trainable_variables)
        return scalars | {"loss/generator": loss}

    def _discriminator_step(self, draw: int, images, labels, fakes, fake_labels):
        discriminator = self.state.discriminator
        variables = [variable.value for variable in discriminator.trainable_variables]
        # One pass over both: D has no statistics over the batch.
        both = self._augment(tf.concat([images, fakes], axis=0), draw)
        both_labels = tf.concat([labels, fake_labels], axis=0)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            logits = discriminator(both, both_labels, update_u=True)
            real_logits, fake_logits = tf.split(logits, 2)
            loss = tf.reduce_sum(self.loss.discriminator(real_logits, fake_logits)) / self.batch_size
        gradients = tape.gradient(loss, variables)
        self.state.discriminator_optimizer.apply(gradients, discriminator.trainable_variables)
        return {
            "loss/discriminator": loss,
            "logits/real": tf.reduce_sum(real_logits) / self.batch_size,
            "logits/fake": tf.reduce_sum(fake_logits) / self.batch_size,
        }

    def _fakes(self, draw: int, update_state: bool):
        """Images of the generator for the draw-th z of this step, and their labels."""
        z, labels = self._noise(draw)
        return self.state.generator(z, labels, training=True, update_state=update_state), labels

    def _noise(self, draw: int):
        """This replica's rows of the global batch's z (b, z_dim) and labels (b,)."""
        generator, replica = self.state.generator, tf.distribute.get_replica_context()
        rows = self.batch_size // replica.num_replicas_in_sync
        first = rows * replica.replica_id_in_sync_group
        seed = self._draw_seed(draw)
        z = tf.random.stateless_normal((self.batch_size, generator.z_dim), seed)
        labels = tf.random.stateless_uniform((self.batch_size,), seed, 0, max(generator.classes, 1), tf.int32)
        return z[first : first + rows], labels[first : first + rows]

    def _augment(self, images, draw: int):
        """Images as D is to see them."""
        if not self.augmentations:
            return images
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        seed = tf.random.experimental.stateless_fold_in(self._draw_seed(draw), replica)
        return augment(images, seed, self.augmentations)

    def _draw_seed(self, draw: int):
        """The seed (2,) of the draw-th random draw of this step."""
        draws = self.discriminator_steps + 1
        return tf.stack([tf.cast(self.seed, tf.int64), self.state.step * draws + draw])


def make_train_function(strategy, state: State, alternation: Alternation, ema_decay: float):
    """Compiles several iterations into one call.

    Returns:
      A function of an iterator of (images, labels), distributed, and the number of steps (int32
      tensor), which returns the means of the scalars over those steps.
    """

    def iteration(iterator):
        images, labels = next(iterator)
        scalars = strategy.run(alternation, args=(images, labels))
        scalars = {name: strategy.reduce("SUM", value, axis=None) for name, value in scalars.items()}
        with strategy.scope():
            state.update_ema(ema_decay)
        state.step.assign_add(1)
        return scalars

    @tf.function(reduce_retracing=True)
    def train(iterator, steps):
        totals = {name: 0.0 for name in SCALARS}
        for _ in tf.range(steps):  # one copy of the iteration in the graph, whatever the number of steps
            scalars = iteration(iterator)
            totals = {name: totals[name] + scalars[name] for name in SCALARS}
        return {name: total / tf.cast(steps, tf.float32) for name, total in totals.items()}

    return train
