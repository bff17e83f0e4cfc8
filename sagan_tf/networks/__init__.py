"""SAGAN's generator and discriminator: one definition each, sizes and variants are arguments."""

from sagan_tf.networks.architectures import ARCHITECTURES, discriminator_resolutions, generator_resolutions
from sagan_tf.networks.discriminator import Discriminator
from sagan_tf.networks.generator import Generator

__all__ = [
    "ARCHITECTURES",
    "Discriminator",
    "Generator",
    "discriminator_resolutions",
    "generator_resolutions",
]
