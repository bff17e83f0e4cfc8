"""Adversarial losses: pure functions from logits to one loss an image."""

import typing

import tensorflow as tf


class Loss(typing.NamedTuple):
    """The two players' losses.

    discriminator: (real_logits, fake_logits), each float32 (B,), -> (B,).
    generator: fake_logits, float32 (B,), -> (B,).
    """

    discriminator: typing.Callable
    generator: typing.Callable


def hinge_discriminator(real_logits, fake_logits):
    """max(0, 1 - D(x, y)) + max(0, 1 + D(G(z), y)): SAGAN, equation 4."""
    return tf.nn.relu(1.0 - real_logits) + tf.nn.relu(1.0 + fake_logits)


def hinge_generator(fake_logits):
    """-D(G(z), y): SAGAN, equation 4."""
    return -fake_logits


LOSSES = {"hinge": Loss(hinge_discriminator, hinge_generator)}
