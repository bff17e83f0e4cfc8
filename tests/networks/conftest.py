"""Small networks and their inputs."""

import keras
import numpy as np
import pytest

from sagan_tf.networks import Generator


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(0)


@pytest.fixture
def small():
    """A function that makes a narrow Generator or Discriminator of three classes, built."""
    return _small


@pytest.fixture
def inputs_of():
    """A function that gives a small network's inputs: z or images, and labels unless unconditional."""
    return _inputs_of


def _small(network, size=32, attention=(), channels=1, classes=3, **arguments):
    if network is Generator:
        arguments["z_dim"] = 8
    instance = network(size, channels=channels, classes=classes, attention=attention, **arguments)
    instance.build()
    # Every variable off its initial value, so that one that is ignored shows. The moving averages
    # are near the feature maps', so that no ReLU closes for good.
    random = np.random.default_rng(2)
    for variable in instance.trainable_variables:
        variable.assign_add(0.2 * random.standard_normal(variable.shape))
    for variable in instance.non_trainable_variables:
        if variable.name == "moving_mean":
            variable.assign(0.1 * random.standard_normal(variable.shape))
        if variable.name == "moving_variance":
            variable.assign(random.uniform(0.1, 0.5, variable.shape))
    return instance


def _inputs_of(network, batch=3):
    random = np.random.default_rng(0)
    if isinstance(network, Generator):
        first = random.standard_normal((batch, network.z_dim))
    else:
        first = random.uniform(-1, 1, (batch, network.image_size, network.image_size, 3))
    labels = np.arange(batch, dtype=np.int32) % 3
    return (first.astype(np.float32), labels) if network.classes else (first.astype(np.float32),)
