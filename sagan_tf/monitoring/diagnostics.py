"""Figures about a run's health, computed from its state between the steps."""

import typing

import keras
import numpy as np
import tensorflow as tf

from sagan_tf.training.state import State


class Kernel(typing.NamedTuple):
    """The largest singular value of a layer's W.

    Attributes:
      sigma: the value.
      growth: sigma divided by about what it was when training began.
      normalized: whether spectral normalization divides W by it.
    """

    sigma: float
    growth: float
    normalized: bool


class Diagnostics:
    """Singular values, gradient norms and a search for NaN, each compiled once, on first use."""

    def __init__(self, state: State):
        self._networks = {"generator": state.generator, "discriminator": state.discriminator}
        self._optimizers = {
            "generator": state.generator_optimizer,
            "discriminator": state.discriminator_optimizer,
        }
        self._layers = {
            f"{role}/{layer.kernel.path.split('/', 1)[1].rpartition('/')[0]}": layer
            for role, network in self._networks.items()
            for layer in network.kernel_layers
        }
        self._variables = {
            f"{name}/{variable.path.partition('/')[2]}": variable.value
            for name, owner in (*self._networks.items(), ("ema_generator", state.ema_generator))
            for variable in owner.variables
        } | {
            f"{role}_optimizer/{variable.path.partition('/')[2]}": variable.value
            for role, optimizer in self._optimizers.items()
            for variable in optimizer.variables
            if variable.dtype == "float32"
        }
        self._sigmas = tf.function(lambda: [layer.sigma() for layer in self._layers.values()])
        self._finite = tf.function(self._are_finite)
        self._norms = tf.function(
            lambda: [_gradient_norm(optimizer) for optimizer in self._optimizers.values()]
        )

    def kernels(self) -> dict[str, Kernel]:
        """Singular values by network and layer, e.g. `generator/block_8/conv_1`."""
        return {
            name: Kernel(float(sigma), float(sigma) / _initial_sigma(layer), layer.spectral_norm)
            for (name, layer), sigma in zip(self._layers.items(), self._sigmas(), strict=True)
        }

    def gradient_norms(self) -> dict[str, float]:
        """Root mean square of each network's gradient norm over recent updates, by network.

        It is computed from Adam's second moments. So the gradient is that of the global batch, and the mean
        has Adam's weights: with beta2 = 0.9 it covers about the last ten updates.
        """
        return {role: float(norm) for role, norm in zip(self._optimizers, self._norms(), strict=True)}

    def not_finite(self) -> list[str]:
        """Names of the variables of networks and optimizers that hold NaN or infinity."""
        return [
            name for name, finite in zip(self._variables, self._finite().numpy(), strict=True) if not finite
        ]

    def _are_finite(self):
        return tf.stack([tf.reduce_all(tf.math.is_finite(value)) for value in self._variables.values()])


def _initial_sigma(layer) -> float:
    if isinstance(layer.kernel_initializer, keras.initializers.Orthogonal):
        return 1.0
    return initial_sigma(layer.kernel.shape)


def initial_sigma(shape) -> float:
    """About the largest singular value of a Glorot-uniform kernel of this shape (..., rows, columns).

    The limit for large random m x n matrices is deviation * (sqrt(m) + sqrt(n)) (Marchenko and Pastur 1967).
    """
    field = int(np.prod(shape[:-2]))
    deviation = np.sqrt(2.0 / (field * (shape[-2] + shape[-1])))
    return float(deviation * (np.sqrt(field * shape[-2]) + np.sqrt(shape[-1])))


def _gradient_norm(optimizer):
    """sqrt(sum v / (1 - beta2^t)), where v are Adam's second moments after t updates; 0 for t = 0."""
    total = tf.add_n([tf.reduce_sum(velocity.value) for velocity in optimizer._velocities])
    updates = tf.cast(optimizer.iterations.value, tf.float32)
    weight = 1.0 - tf.pow(tf.constant(optimizer.beta_2, tf.float32), updates)
    return tf.sqrt(tf.math.divide_no_nan(total, weight))
