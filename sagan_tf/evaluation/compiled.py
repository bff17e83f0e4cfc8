"""Networks compiled to draw samples from."""

import tensorflow as tf

from sagan_tf import networks
from sagan_tf.evaluation import samples


def callable_of(network: networks.Generator) -> samples.SampledGenerator:
    """A network at inference, compiled; weights that are set afterwards count."""
    generate = tf.function(lambda z, labels: network(z, labels, training=False))
    return samples.SampledGenerator(generate, network.z_dim, network.image_size, bool(network.classes))
