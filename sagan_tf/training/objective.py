"""What each network minimizes on given images, and what is measured besides."""

import typing

import tensorflow as tf

from sagan_tf.layers import SNEmbedding
from sagan_tf.training import histogram
from sagan_tf.training.losses import GradientPenalty, Loss, class_cross_entropy, orthogonality

HISTOGRAMS = ("logit_histogram/real", "logit_histogram/fake")  # see `sagan_tf.training.histogram`
_SCALARS = ("loss/discriminator", "loss/generator", "logits/real", "logits/fake")
# Scalars that exist only if this attribute of the objective is neither 0 nor None.
_OPTIONAL_SCALARS = {
    "gradient_penalty": ("penalty/gradient",),
    "auxiliary_weight": ("loss/discriminator_classes", "loss/generator_classes", "accuracy/real_classes"),
    "orthogonal_weight": ("penalty/orthogonal",),
}


class Objective(typing.NamedTuple):
    """What the networks minimize: each the sum of its terms.

    Attributes:
      loss: the adversarial loss.
      gradient_penalty, gradient_penalty_weight: a term of D; None for no penalty.
      auxiliary_weight: weight of the cross entropy of D's class logits, a term of both networks (Odena et al.
        2017, section 3, where it is 1); 0 if D has no class logits.
      orthogonal_weight: weight of the sum of `orthogonality` over G's kernels, a term of G (Brock et al.
        2019, section 3.1, where it is 1e-4); 0 for no such term.
    """

    loss: Loss
    gradient_penalty: GradientPenalty | None = None
    gradient_penalty_weight: float = 10.0
    auxiliary_weight: float = 0.0
    orthogonal_weight: float = 0.0

    @property
    def scalars(self) -> tuple[str, ...]:
        """Names of all terms of both networks and of the scalars measured besides."""
        return sum((tags for name, tags in _OPTIONAL_SCALARS.items() if getattr(self, name)), _SCALARS)

    def discriminator_terms(self, discriminator, images, labels, share, update_u: bool):
        """D's terms, and what is measured besides.

        Args:
          discriminator: the network.
          images: float32 (2B, H, W, 3) as D sees them: B real images, then B fakes.
          labels: int32 (2B,). The penalty of a mixture takes the label of its real image.
          share: float32 (B, 1, 1, 1), uniform in [0, 1): the real image's share of each mixture. None without
            a gradient penalty.
          update_u: whether D's u moves. It moves once.

        Returns:
          Two dictionaries of sums over the images, by name: the terms, float32 scalars that include their
          weights; and the measured scalars and histograms.
        """
        terms, measured = {}, {}
        if self.gradient_penalty:
            # Before u moves, so that both passes see the same W / sigma.
            real, fake = tf.split(images, 2)
            its_labels = self.gradient_penalty.labels(*tf.split(labels, 2))
            penalties = self.gradient_penalty(
                lambda x: discriminator(x, its_labels, update_u=False), real, fake, share
            )
            terms["penalty/gradient"] = self.gradient_penalty_weight * tf.reduce_sum(penalties)
        # One pass over both: D has no batch statistics.
        logits, class_logits = self._discriminate(discriminator, images, labels, update_u)
        real_logits, fake_logits = tf.split(logits, 2)
        terms["loss/discriminator"] = tf.reduce_sum(self.loss.discriminator(real_logits, fake_logits))
        if self.auxiliary_weight:
            terms["loss/discriminator_classes"] = self._class_term(class_logits, labels)
            right = tf.argmax(class_logits, axis=1, output_type=labels.dtype) == labels
            measured["accuracy/real_classes"] = tf.reduce_sum(tf.cast(tf.split(right, 2)[0], tf.float32))
        return terms, measured | {
            "logits/real": tf.reduce_sum(real_logits),
            "logits/fake": tf.reduce_sum(fake_logits),
            "logit_histogram/real": histogram.counts(real_logits),
            "logit_histogram/fake": histogram.counts(fake_logits),
        }

    def generator_terms(self, discriminator, images, labels):
        """G's terms, by name: sums over the fakes.

        Args:
          discriminator: the network.
          images: float32 (B, H, W, 3), fakes as D sees them; with a loss of pairs (2B, H, W, 3): B real
            images, then B fakes.
          labels: int32, as many.
        """
        logits, class_logits = self._discriminate(discriminator, images, labels, update_u=False)
        seen = tf.split(logits, 2) if self.loss.pairs else [logits]
        terms = {"loss/generator": tf.reduce_sum(self.loss.generator(*seen))}
        if self.auxiliary_weight:
            count = len(seen)  # the fakes are the last part of as many
            fakes = tf.split(class_logits, count)[-1], tf.split(labels, count)[-1]
            terms["loss/generator_classes"] = self._class_term(*fakes)
        return terms

    def orthogonal_penalty(self, generator):
        """G's term that depends on no image, a scalar. It takes W, not W / sigma, and no class tables."""
        matrices = [
            tf.reshape(layer.kernel.value, (-1, layer.kernel.shape[-1]))
            for layer in generator.kernel_layers
            if not isinstance(layer, SNEmbedding)
        ]
        return self.orthogonal_weight * tf.add_n([orthogonality(matrix) for matrix in matrices])

    def _discriminate(self, discriminator, images, labels, update_u: bool):
        """Logits (B,) and, with an auxiliary term, class logits (B, classes); otherwise None."""
        if not self.auxiliary_weight:
            return discriminator(images, labels, update_u=update_u), None
        h = discriminator.features(images, update_u)
        return discriminator.logits(h, labels, update_u), discriminator.class_logits(h, update_u)

    def _class_term(self, class_logits, labels):
        return self.auxiliary_weight * tf.reduce_sum(class_cross_entropy(class_logits, labels))
