"""Spectral normalization around any Keras layer that has a kernel."""

import re

import keras
import numpy as np
import tensorflow as tf

from sagan_tf.layers.spectral_normalization import NormalizedKernel

_KERNELS = ("kernel", "embeddings")
_TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)


@keras.saving.register_keras_serializable("sagan_tf")
class SpectralNorm(NormalizedKernel, keras.layers.Wrapper):
    """Makes a Keras layer compute with W / sigma in the place of its kernel W (Miyato et al. 2018).

    sigma is the largest singular value of W as a matrix (fan-in, outputs), by power iteration. W stays the
    optimizer's variable and is never overwritten, and its gradient flows through sigma.
    `keras.layers.SpectralNormalization` assigns W / sigma to W in every training pass instead: the
    optimizer's weight is lost, and no gradient flows through sigma.

    The outputs are the last axis of the kernel. Exceptions: filters of a transposed convolution; channels and
    multipliers of a depthwise one; and for `EinsumDense` all axes that are axes of its output.

    The power iteration is float32 whatever the dtype policy of the layer inside, which is its own. For the
    layers `SNConv2D` and `SNDense` this wrapper is not needed.

    Args:
      layer: the layer, built or not: Dense, Conv1D to 3D, their transposes, DepthwiseConv1D and 2D,
        Embedding, EinsumDense, or another one whose only kernel is the variable `kernel` or `embeddings`.
      power_iterations: in each pass that moves u, at least 1.

    Call arguments:
      inputs: of the layer.
      update_u: whether this pass stores the new u; None: in training passes, once a step, see the docstring
        of `sagan_tf.layers.spectral_normalization`.
      training: set by Keras.

    Returns: what the layer returns.

    Raises:
      ValueError: the layer has no such kernel (when it is built), or normalizes it itself; or
        power_iterations is less than 1.

    >>> layer = SpectralNorm(keras.layers.Conv2D(8, 3, strides=2, activation="relu"))
    >>> layer(np.ones((1, 9, 9, 3), "float32"), training=True).shape
    TensorShape([1, 4, 4, 8])
    >>> type(layer.bake()).__name__
    'Conv2D'
    """

    def __init__(self, layer: keras.layers.Layer, power_iterations: int = 1, **layer_arguments):
        if isinstance(layer, (NormalizedKernel, keras.layers.SpectralNormalization)):
            raise ValueError(f"layer={type(layer).__name__}: normalizes its kernel already")
        policy = keras.dtype_policies.get(layer_arguments.pop("dtype", None) or "float32")
        if policy.compute_dtype != policy.variable_dtype:
            raise ValueError(f"dtype={policy.name}: give the dtype policy to the layer inside")
        super().__init__(layer, dtype=policy, autocast=False, **layer_arguments)
        self._check_iterations("power_iterations", power_iterations)
        self.power_iterations = self.iterations = power_iterations
        self.spectral_norm = True
        self.supports_masking = layer.supports_masking

    @property
    def kernel(self) -> keras.Variable:
        """W, a variable of the layer inside."""
        return _kernel_of(self.layer)

    def build(self, input_shape=None):
        super().build(input_shape)
        kernel = self.kernel
        self._outputs = _output_axes(self.layer, kernel)
        self._size = int(np.prod([kernel.shape[axis] for axis in self._outputs]))
        self._add_u(self._size)

    def _matrix(self):
        kernel = self.kernel.value
        inputs = [axis for axis in range(len(kernel.shape)) if axis not in self._outputs]
        return tf.reshape(tf.transpose(kernel, (*inputs, *self._outputs)), (-1, self._size))

    def call(self, inputs, update_u: bool | None = None, training: bool | None = None) -> tf.Tensor:
        freeze = update_u is None and not self.layer.trainable
        normalized = self.normalized_kernel(False if freeze else update_u, training)
        kernel = self.kernel
        values = [(v, normalized if v is kernel else v.value) for v in self.layer.variables]
        with keras.StatelessScope(values, collect_losses=True) as scope:
            outputs = self.layer(inputs)
        for loss in scope.losses:
            self.add_loss(loss)
        return outputs

    def bake(self) -> keras.layers.Layer:
        """The plain layer, built, with W / sigma for its kernel: the same function as at inference.

        sigma is that of a pass at inference. This wrapper must be built; it and its layer stay as they are.

        Returns: a new layer of the class and the configuration of the layer inside.
        """
        copy = type(self.layer).from_config(self.layer.get_config())
        copy.build_from_config(self.layer.get_build_config())
        copy.set_weights(self.layer.get_weights())
        _kernel_of(copy).assign(self.normalized_kernel())
        return copy

    def compute_output_shape(self, input_shape, **_):
        return self.layer.compute_output_shape(input_shape)

    def compute_output_spec(self, inputs, update_u=None, training=None):
        return self.layer.compute_output_spec(inputs)

    def compute_mask(self, inputs, previous_mask=None):
        return self.layer.compute_mask(inputs, previous_mask)

    def get_config(self):
        return super().get_config() | {"power_iterations": self.power_iterations}


def _kernel_of(layer: keras.layers.Layer) -> keras.Variable:
    """The one kernel of a built layer. Raises ValueError if there is no such variable."""
    for name in _KERNELS:
        kernel = getattr(layer, name, None)
        if isinstance(kernel, keras.Variable):
            return kernel
    names = ", ".join(variable.name for variable in layer.variables) or "none"
    raise ValueError(
        f"layer={type(layer).__name__}: has no variable {' or '.join(_KERNELS)}; its variables: {names}"
    )


def _output_axes(layer: keras.layers.Layer, kernel: keras.Variable) -> tuple[int, ...]:
    """The axes of a layer's kernel that count outputs."""
    last = len(kernel.shape) - 1
    if isinstance(layer, _TRANSPOSED):
        return (last - 1,)
    if isinstance(layer, _DEPTHWISE):
        return (last - 1, last)
    if isinstance(layer, keras.layers.EinsumDense):
        _, of_kernel, of_output = re.split(",|->", layer.equation.replace(" ", ""))
        return tuple(axis for axis, letter in enumerate(of_kernel) if letter in of_output)
    return (last,)
