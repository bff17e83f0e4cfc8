"""One step of SAGAN's training (Zhang et al. 2019, arXiv:1805.08318): D's updates, then G's.

b is the number of images of one replica, or of one part of them if the batch is accumulated in parts.
"""

import typing

import tensorflow as tf

from sagan_tf.training.augment import augment
from sagan_tf.training.draws import Draws
from sagan_tf.training.objective import Objective
from sagan_tf.training.state import State


class Fakes(typing.NamedTuple):
    """Generated images (b, H, W, 3), their labels (b,), and the tape that leads back to G's weights."""

    images: tf.Tensor
    labels: tf.Tensor
    tape: tf.GradientTape


class Alternation:
    """Updates the discriminator `discriminator_steps` times, then the generator once.

    Spectral normalization of both networks (section 4.1) is inside their layers; u is its power iteration's
    vector. The learning rates (TTUR, section 4.2) are those of the optimizers.

    u and the moving averages move once in each update of their network: D's in the pass over real and fake
    images together, G's in the pass that G's update differentiates. All other passes leave them alone. With
    several parts, only the last part's pass moves them: all parts see the same W / sigma.

    Args:
      state: networks and optimizers.
      objective: the losses of both networks.
      batch_size: global batch size, a multiple of the number of replicas times `accumulation_steps`.
      discriminator_steps: D updates for each G update.
      reuse_fakes: whether G's update takes the z and labels of D's last update. G has not changed since, so
        they are as good as new ones. With one part the images are kept too, which saves one pass through G.
      accumulation_steps: number of parts that each batch is divided into. An update sums their gradients.
        G's batch statistics are those of one part; nothing else differs from one part.
      seed: seed of everything in `Draws`.
      augmentations: policies of `sagan_tf.training.augment`, applied to all images that D sees.
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
        self.state, self.objective, self.batch_size = state, objective, batch_size
        self.discriminator_steps, self.reuse_fakes = discriminator_steps, reuse_fakes
        self.parts, self.augmentations = accumulation_steps, augmentations
        updates = discriminator_steps + 1
        self.draws = Draws(state, seed=seed, batch_size=batch_size, updates=updates, parts=self.parts)

    def __call__(self, images, labels):
        """Runs one step in replica context.

        Args:
          images: float32 (discriminator_steps * b, H, W, 3) in [-1, 1], b images for each D update.
          labels: int32 (discriminator_steps * b,).

        Returns:
          float32 scalars and histograms by name. Their sums over the replicas are means over the global
          batch. Losses and penalties include their weights.
        """
        state, k, fakes = self.state, self.discriminator_steps, None
        generator_draw = k - 1 if self.reuse_fakes else k  # D's updates take draws 0 to k - 1
        for draw in range(k):  # the paper: k = 1, and a larger learning rate for D (TTUR, section 4.2)
            # Rows draw, draw + k, ...: the same images for any number of replicas.
            reals = images[draw::k], labels[draw::k]  # (b, H, W, 3), (b,)
            if draw == generator_draw and self.parts == 1:  # one pass through G for its own update too
                fakes = self._generate(draw, part=0, update_state=True)
            gradients, scalars = sum_of_parts(self.parts, self._discriminator_part, draw, reals, fakes)
            state.discriminator_optimizer.apply(gradients, state.discriminator.trainable_variables)
        gradients, terms = sum_of_parts(self.parts, self._generator_part, generator_draw, reals, fakes)
        state.generator_optimizer.apply(gradients, state.generator.trainable_variables)
        return scalars | terms

    def _discriminator_part(self, part: int, draw: int, reals, fakes: Fakes | None):
        """D's gradients and scalars of one part. `fakes` of None are generated."""
        discriminator = self.state.discriminator
        if fakes is None:
            fakes = self._generate(draw, part, update_state=False)
        images, labels = self._beside(reals, fakes, part)  # (2b, H, W, 3), (2b,)
        images = self._augment(images, draw, part)
        mixing = self.draws.mixing(draw, part) if self.objective.gradient_penalty else None  # (b, 1, 1, 1)
        weights = values_of(discriminator.trainable_variables)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            sums = self.objective.discriminator_terms(
                discriminator, images, labels, mixing, update_u=part == self.parts - 1
            )
            terms, measured = map(self._means, sums)  # equation 4, L_D
        return gradients_of(terms, weights, tape), terms | measured

    def _generator_part(self, part: int, draw: int, reals, fakes: Fakes | None):
        """G's gradients and scalars of one part. `fakes` of None are generated."""
        if fakes is None:
            fakes = self._generate(draw, part, update_state=part == self.parts - 1)
        with fakes.tape:
            pairs = self.objective.loss.pairs
            images, labels = self._beside(reals, fakes, part) if pairs else (fakes.images, fakes.labels)
            images = self._augment(images, self.discriminator_steps, part)  # (b, H, W, 3), of pairs (2b, ...)
            sums = self.objective.generator_terms(self.state.discriminator, images, labels)
            terms = self._means(sums)  # equation 4, L_G
            if self.objective.orthogonal_weight:
                terms["penalty/orthogonal"] = self._orthogonal_penalty(part)
        weights = values_of(self.state.generator.trainable_variables)
        return gradients_of(terms, weights, fakes.tape), terms

    def _generate(self, draw: int, part: int, update_state: bool) -> Fakes:
        """One pass through G, on a tape. A tape that nobody uses costs nothing in a compiled step."""
        generator = self.state.generator
        z, labels = self.draws.noise(draw, part)  # (b, z_dim), (b,)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values_of(generator.trainable_variables))
            images = generator(z, labels, training=True, update_state=update_state)
        return Fakes(images, labels, tape)

    def _beside(self, reals, fakes: Fakes, part: int):
        """Real images of this part and then the fakes, and their labels."""
        images = tf.concat([reals[0][part :: self.parts], fakes.images], axis=0)
        return images, tf.concat([reals[1][part :: self.parts], fakes.labels], axis=0)

    def _augment(self, images, draw: int, part: int):
        if not self.augmentations:
            return images
        return augment(images, self.draws.augmentation_seed(draw, part), self.augmentations)

    def _orthogonal_penalty(self, part: int):
        """This replica's and part's share of a term that has no images: part 0 takes it all."""
        if part > 0:
            return tf.zeros(())
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        return self.objective.orthogonal_penalty(self.state.generator) / replicas

    def _means(self, sums):
        """This replica's and part's share of means over the global batch."""
        return {name: value / self.batch_size for name, value in sums.items()}


def sum_of_parts(parts: int, compute, *arguments):
    """The sum of `compute(part, *arguments)` over the parts, which run one after the other."""
    total = compute(0, *arguments)
    for part in range(1, parts):
        # Without this the parts could run at the same time, and need the memory of all of them.
        with tf.control_dependencies(tf.nest.flatten(total)):
            total = tf.nest.map_structure(tf.add, total, compute(part, *arguments))
    return total


def gradients_of(terms, weights, tape: tf.GradientTape) -> list[tf.Tensor]:
    """Of the sum of the terms, dense.

    That of a table of classes comes as slices, one an image. Replicas would not sum these but gather
    all of them: more than the whole table where there are more images than classes.
    """
    return [tf.convert_to_tensor(each) for each in tape.gradient(list(terms.values()), weights)]


def values_of(variables) -> list[tf.Variable]:
    """TensorFlow's variables of Keras variables, which a tape can watch."""
    return [variable.value for variable in variables]
