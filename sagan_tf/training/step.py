"""One iteration of the alternating game: some discriminator steps, then one generator step."""

import tensorflow as tf

from sagan_tf.training import histogram
from sagan_tf.training.augment import augment
from sagan_tf.training.objective import HISTOGRAMS, Objective
from sagan_tf.training.state import RESTORE_SEED, TRAINING_SEED, State

_MIXING = -1  # sets WGAN-GP's draws apart from those of augmentation, which have the numbers from 0 on


class Alternation:
    """`discriminator_steps` updates of D, then one of G (SAGAN, section 4; TTUR by the optimizers' rates).

    u and the moving averages move once an iteration and network update: D's in the pass over real
    and fake images together, G's in the pass that is differentiated for G. Every other pass leaves
    them alone; of a batch in parts, the last part's pass moves them, so that all parts see one W / sigma.

    Randomness depends on the seed, the step and `state.restores`, and each replica uses its part of
    the global batch's z and labels: a run can be taken up at any step and split over any number of
    replicas.

    Args:
      state: networks and optimizers.
      objective: what the players minimize.
      batch_size: global batch size, a multiple of the number of replicas.
      discriminator_steps: D updates for each G update.
      reuse_fakes: whether the G step takes the fakes of the last D step (G has not moved since, so
        they are as good as fresh ones, and cost one pass through G less, unless in parts).
      accumulation_steps: into how many parts each batch is divided; an update takes the sum of their
        gradients. Batch statistics of G are those of a part; nothing else differs from one part.
      seed: seed of z, of the fakes' labels and of augmentations.
      augmentations: policies of `sagan_tf.training.augment` that real and fake images pass before D. What
        they draw depends on the replica as well.
    """

    def __init__(
        self,
        state: State,
        objective: Objective,
        *,
        batch_size: int,
        discriminator_steps: int,
        reuse_fakes: bool,
        seed: int,
        accumulation_steps: int = 1,
        augmentations: tuple[str, ...] = (),
    ):
        self.state, self.objective = state, objective
        self.batch_size, self.discriminator_steps = batch_size, discriminator_steps
        self.reuse_fakes, self.seed = reuse_fakes, seed
        self.parts, self.augmentations = accumulation_steps, augmentations

    def __call__(self, images, labels):
        """Runs one iteration in replica context.

        Args:
          images: float32 (discriminator_steps * b, H, W, 3) in [-1, 1], b images a replica and step.
          labels: int32 (discriminator_steps * b,).

        Returns:
          float32 scalars and histograms by name, whose sums over the replicas are means over the
          global batch. Losses and penalties are as the players minimize them, weights included.
        """
        steps = self.discriminator_steps
        for index in range(steps):
            # Rows index, index + steps, ...: the same images whatever the number of replicas.
            reals = images[index::steps], labels[index::steps]
            if index == steps - 1 and self.reuse_fakes and self.parts == 1:
                return self._last_steps(reals)
            scalars = self._discriminator_step(index, reals)
        return scalars | self._generator_step(steps - 1 if self.reuse_fakes else steps)

    def _last_steps(self, reals):
        """The last D step and the G step, of which both use one pass through G."""
        generator, last = self.state.generator, self.discriminator_steps - 1
        variables = [variable.value for variable in generator.trainable_variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            fakes = self._fakes(last, update_state=True)
            with tape.stop_recording():
                gradients, scalars = self._discriminator_gradients(last, 0, reals, fakes)
                self._update("discriminator", gradients)
            terms = self._generator_terms(0, fakes)
        self._update("generator", tape.gradient(list(terms.values()), variables))
        return scalars | terms

    def _discriminator_step(self, draw: int, reals):
        def part(index):
            rows = [value[index :: self.parts] for value in reals]
            fakes = self._fakes(draw, update_state=False, part=index)
            return self._discriminator_gradients(draw, index, rows, fakes)

        gradients, scalars = self._sum_of_parts(part)
        self._update("discriminator", gradients)
        return scalars

    def _generator_step(self, draw: int):
        variables = [variable.value for variable in self.state.generator.trainable_variables]

        def part(index):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(variables)
                fakes = self._fakes(draw, update_state=index == self.parts - 1, part=index)
                terms = self._generator_terms(index, fakes)
            return tape.gradient(list(terms.values()), variables), terms

        gradients, scalars = self._sum_of_parts(part)
        self._update("generator", gradients)
        return scalars

    def _sum_of_parts(self, part):
        """The sums of what `part(0)`, `part(1)`, ... return, which are computed one after the other."""
        total = part(0)
        for index in range(1, self.parts):
            # Without this they might run at the same time, and need the memory of all of them.
            with tf.control_dependencies(tf.nest.flatten(total)):
                total = tf.nest.map_structure(tf.add, total, part(index))
        return total

    def _update(self, role: str, gradients) -> None:
        variables = getattr(self.state, role).trainable_variables
        getattr(self.state, f"{role}_optimizer").apply(gradients, variables)

    def _generator_terms(self, part: int, fakes):
        """This part's share of what G minimizes, by name."""
        images, labels = fakes
        images = self._augment(images, self.discriminator_steps, part)
        terms = self._means(self.objective.generator_terms(self.state.discriminator, images, labels))
        if self.objective.orthogonal_weight:  # once an update
            replicas = tf.distribute.get_replica_context().num_replicas_in_sync
            penalty = self.objective.orthogonal_penalty(self.state.generator) if part == 0 else tf.zeros(())
            terms["penalty/orthogonal"] = penalty / replicas
        return terms

    def _discriminator_gradients(self, draw: int, part: int, reals, fakes):
        """D's gradients and the scalars."""
        discriminator = self.state.discriminator
        variables = [variable.value for variable in discriminator.trainable_variables]
        images, labels = (tf.concat(values, axis=0) for values in zip(reals, fakes, strict=True))
        images, last = self._augment(images, draw, part), part == self.parts - 1
        share = self._mixing(draw, part) if self.objective.gradient_penalty else None
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            terms, measured = self.objective.discriminator_terms(discriminator, images, labels, share, last)
            terms = self._means(terms)
        # Dense, also those of a table without spectral normalization, so that they can be added.
        gradients = tape.gradient(list(terms.values()), variables)
        return [tf.convert_to_tensor(gradient) for gradient in gradients], terms | self._means(measured)

    def _means(self, sums):
        """This replica's and part's share of means over the global batch."""
        return {name: value / self.batch_size for name, value in sums.items()}

    def _mixing(self, draw: int, part: int):
        """How much of each mixture is the real image, for a part of this replica's rows."""
        seed = tf.random.experimental.stateless_fold_in(self._draw_seed(draw), _MIXING)
        share = tf.random.stateless_uniform((self.batch_size, 1, 1, 1), seed)
        return share[self._rows()][part :: self.parts]

    def _fakes(self, draw: int, update_state: bool, part: int = 0):
        """Images of the generator for a part of the draw-th z of this step, and their labels."""
        z, labels = (value[part :: self.parts] for value in self._noise(draw))
        return self.state.generator(z, labels, training=True, update_state=update_state), labels

    def _noise(self, draw: int):
        """This replica's rows of the global batch's z (b, z_dim) and labels (b,)."""
        generator, seed, rows = self.state.generator, self._draw_seed(draw), self._rows()
        z = tf.random.stateless_normal((self.batch_size, generator.z_dim), seed)
        labels = tf.random.stateless_uniform((self.batch_size,), seed, 0, max(generator.classes, 1), tf.int32)
        return z[rows], labels[rows]

    def _rows(self) -> slice:
        """This replica's rows of what is drawn for the global batch."""
        replica = tf.distribute.get_replica_context()
        count = self.batch_size // replica.num_replicas_in_sync
        first = count * replica.replica_id_in_sync_group
        return slice(first, first + count)

    def _augment(self, images, draw: int, part: int):
        """Images as D is to see them."""
        if not self.augmentations:
            return images
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        seed = tf.random.experimental.stateless_fold_in(self._draw_seed(draw), replica * self.parts + part)
        return augment(images, seed, self.augmentations)

    def _draw_seed(self, draw: int):
        """The seed (2,) of the draw-th random draw of this step."""
        draws = self.discriminator_steps + 1
        seed = TRAINING_SEED + self.seed + RESTORE_SEED * self.state.restores
        return tf.stack([seed, self.state.step * draws + draw])


def make_train_function(
    strategy, state: State, alternation: Alternation, ema_decay: float, xla: bool = False
):
    """Compiles several iterations into one call.

    Args:
      strategy, state: where, and of what.
      alternation: an iteration.
      ema_decay: of the average of G's weights.
      xla: whether XLA compiles the iteration; not with several replicas, which it cannot compile as one:
        there TensorFlow's "auto-clustering" does what it can (on GPUs only), see `objects.make_state`.

    Returns:
      A function of an iterator of (images, labels), distributed, and the number of steps (int32
      tensor), which returns the means of the scalars and histograms over those steps.
    """
    of_replica = alternation
    if xla and strategy.num_replicas_in_sync == 1:
        of_replica = tf.function(alternation, jit_compile=True)

    def iteration(iterator):
        images, labels = next(iterator)
        scalars = strategy.run(of_replica, args=(images, labels))
        scalars = {name: strategy.reduce("SUM", value, axis=None) for name, value in scalars.items()}
        with strategy.scope():
            state.update_ema(ema_decay)
        state.step.assign_add(1)
        return scalars

    @tf.function(reduce_retracing=True)
    def train(iterator, steps):
        totals = {name: tf.zeros(()) for name in alternation.objective.scalars}
        totals |= {name: tf.zeros((histogram.BINS,)) for name in HISTOGRAMS}
        for _ in tf.range(steps):  # one copy of the iteration in the graph, whatever the number of steps
            scalars = iteration(iterator)
            totals = {name: total + scalars[name] for name, total in totals.items()}
        return {name: total / tf.cast(steps, tf.float32) for name, total in totals.items()}

    return train
