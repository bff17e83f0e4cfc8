"""Adversarial losses, gradient penalties, AC-GAN's cross entropy, orthogonality: pure functions."""

import typing

import tensorflow as tf


class Loss(typing.NamedTuple):
    """The adversarial losses of both networks.

    Attributes:
      discriminator: (real_logits, fake_logits), each float32 (B,), -> (B,).
      generator: fake_logits, float32 (B,), -> (B,); with `pairs` (real_logits, fake_logits) -> (B,).
      bounded: whether the discriminator's loss has a lower bound, which is then 0.
      pairs: whether the loss compares each fake with a real image, so that G's update sees both.
    """

    discriminator: typing.Callable
    generator: typing.Callable
    bounded: bool = True
    pairs: bool = False


def hinge_discriminator(real_logits, fake_logits):
    """max(0, 1 - D(x, y)) + max(0, 1 + D(G(z), y)): SAGAN, equation 4."""
    return tf.nn.relu(1.0 - real_logits) + tf.nn.relu(1.0 + fake_logits)


def cross_entropy_discriminator(real_logits, fake_logits):
    """-log sigmoid(D(x)) - log(1 - sigmoid(D(G(z)))): Goodfellow et al. 2014, equation 1."""
    return tf.nn.softplus(-real_logits) + tf.nn.softplus(fake_logits)


def least_squares_discriminator(real_logits, fake_logits):
    """((D(x) - 1)^2 + D(G(z))^2) / 2: Mao et al. 2017, equation 9, its 0-1 coding."""
    return 0.5 * (tf.square(real_logits - 1.0) + tf.square(fake_logits))


def wasserstein_discriminator(real_logits, fake_logits):
    """D(G(z)) - D(x): Arjovsky et al. 2017, algorithm 1."""
    return fake_logits - real_logits


def linear_generator(fake_logits):
    """-D(G(z), y): SAGAN, equation 4; Arjovsky et al. 2017; `kl_loss` of the original code."""
    return -fake_logits


def non_saturating_generator(fake_logits):
    """-log sigmoid(D(G(z))): Goodfellow et al. 2014, section 3."""
    return tf.nn.softplus(-fake_logits)


def least_squares_generator(fake_logits):
    """(D(G(z)) - 1)^2 / 2: Mao et al. 2017, equation 9."""
    return 0.5 * tf.square(fake_logits - 1.0)


def relativistic_discriminator(real_logits, fake_logits):
    """-log sigmoid(D(x) - D(G(z))), of a random pair: Huang et al. 2024 (R3GAN), equation 2."""
    return tf.nn.softplus(fake_logits - real_logits)


def relativistic_generator(real_logits, fake_logits):
    """-log sigmoid(D(G(z)) - D(x)): the same with the players' parts changed."""
    return tf.nn.softplus(real_logits - fake_logits)


LOSSES = {
    "hinge": Loss(hinge_discriminator, linear_generator),
    "kl": Loss(cross_entropy_discriminator, linear_generator),  # the original code's `kl_loss`
    "non_saturating": Loss(cross_entropy_discriminator, non_saturating_generator),
    "least_squares": Loss(least_squares_discriminator, least_squares_generator),
    "wasserstein": Loss(wasserstein_discriminator, linear_generator, bounded=False),
    "relativistic": Loss(relativistic_discriminator, relativistic_generator, pairs=True),
}


class GradientPenalty(typing.NamedTuple):
    """A penalty on the gradient of the logit with respect to the image.

    Attributes:
      images: (real, fake, share) -> the images at which the gradient is taken, (B, H, W, C) or
        (2B, H, W, C). real and fake are (B, H, W, C), share is (B, 1, 1, 1) in [0, 1).
      penalty: the gradient's squared Euclidean norms -> as many penalties.
      labels: (real_labels, fake_labels) -> the labels of these images; the real ones by default.
    """

    images: typing.Callable
    penalty: typing.Callable
    labels: typing.Callable = lambda real_labels, fake_labels: real_labels

    def __call__(self, logits_of, real, fake, share):
        """The penalty of each image, float32. It can be differentiated by the weights of `logits_of`.

        `logits_of` maps images to logits; each logit depends on its own image only.
        """
        images = self.images(real, fake, share)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            logits = logits_of(images)
        gradient = tape.gradient(logits, images)  # in the images' precision, not the activations'
        return self.penalty(tf.reduce_sum(tf.square(gradient), axis=(1, 2, 3)))


def _half(squared_norms):
    return 0.5 * squared_norms


def _mix(real, fake, share):
    return share * real + (1.0 - share) * fake


def _distance_from_one(squared_norms):
    # The root has an infinite slope at 0, which would give NaN. A norm of 1e-6 counts as 0.
    return tf.square(tf.sqrt(tf.maximum(squared_norms, 1e-12)) - 1.0)


GRADIENT_PENALTIES = {
    # |grad D(x)|^2 / 2: Mescheder et al. 2018, equation 9.
    "r1": GradientPenalty(lambda real, fake, share: real, _half),
    # |grad D(x)|^2 / 2 + |grad D(G(z))|^2 / 2: R1 and R2 of Mescheder et al., as Huang et al. 2024 use them.
    "r1,r2": GradientPenalty(
        lambda real, fake, share: tf.concat([real, fake], axis=0),
        _half,
        lambda real_labels, fake_labels: tf.concat([real_labels, fake_labels], axis=0),
    ),
    # (|grad D(t x + (1 - t) G(z))| - 1)^2, t uniform: Gulrajani et al. 2017, equation 3, algorithm 1.
    "wgan_gp": GradientPenalty(_mix, _distance_from_one),
}


def class_cross_entropy(class_logits, labels):
    """-log softmax(class_logits)[label], (B, classes) and int32 (B,) -> (B,): L_C of Odena et al. 2017."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=class_logits)


def orthogonality(matrix):
    """|W^T W * (1 - I)|_F^2 of W (fan_in, outputs), with an elementwise product: a scalar.

    Brock et al. 2019, equation 3: the sum of squared inner products of all pairs of different filters.
    """
    if matrix.shape[0] >= matrix.shape[1]:
        gram = tf.matmul(matrix, matrix, transpose_a=True)
        return tf.reduce_sum(tf.square(tf.linalg.set_diag(gram, tf.zeros_like(matrix[0]))))
    # |W^T W|_F = |W W^T|_F, and for a wide matrix W W^T is smaller.
    gram = tf.matmul(matrix, matrix, transpose_b=True)
    return tf.reduce_sum(tf.square(gram)) - tf.reduce_sum(tf.square(tf.reduce_sum(tf.square(matrix), axis=0)))
