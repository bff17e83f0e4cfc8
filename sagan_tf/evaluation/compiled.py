"""Networks compiled to draw samples from."""

import typing

import tensorflow as tf

from sagan_tf import networks
from sagan_tf.evaluation import samples


def callable_of(*copies: networks.Generator) -> samples.SampledGenerator:
    """Equal networks at inference, compiled, each for the device with its weights.

    Weights that are set afterwards count.
    """
    first = copies[0]
    generates = [tf.function(_inference(network)) for network in copies]
    return samples.SampledGenerator(
        generates[0],
        first.z_dim,
        first.image_size,
        bool(first.classes),
        devices=tuple(map(_device, copies)),
        others=tuple(generates[1:]),
    )


def on_devices(network: networks.Generator, devices: typing.Iterable[str | None]) -> list[networks.Generator]:
    """The network for each device: itself where it is already, a copy elsewhere."""
    return [network if device in (None, _device(network)) else _copy(network, device) for device in devices]


def _inference(network: networks.Generator):
    return lambda z, labels: network(z, labels, training=False)


def _copy(network: networks.Generator, device: str) -> networks.Generator:
    with tf.device(device):
        return network.copy()


def _device(network: networks.Generator) -> str:
    """The device with its weights, e.g. GPU:0."""
    return network.variables[0].value.device.rpartition("device:")[2]
