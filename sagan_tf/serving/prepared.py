"""Kernels that are prepared once for many calls at inference, and layers that use them."""

import typing

import tensorflow as tf

from sagan_tf.layers import SNConv2D, SNDense, fast_convolution
from sagan_tf.layers.biases import add_bias
from sagan_tf.networks import Generator

# Measured on 2 CPU cores for any batch size. Up to this height a 3x3 convolution in float32 is faster as one
# matrix product of all patches, because oneDNN lays out a convolution's kernel anew in every call.
_SMALL_HEIGHT = 8
# Up to this number of output channels a convolution is faster in blocks of 2x2 results, because oneDNN always
# computes 16 channels. With turned kernels too, a call at batch 1 takes 6 to 10% less time.
_FEW_CHANNELS = 4


class PreparedLayer:
    """Replaces an `SNDense` or `SNConv2D` without spectral normalization at inference.

    A call returns what the layer returns, except for rounding.

    Args:
      layer: the layer, built.
      store: takes the prepared kernel, a tensor in the layer's compute dtype. It returns the `tf.Variable`
        that holds the kernel, perhaps in another dtype.
    """

    def __init__(self, layer: SNDense | SNConv2D, store: typing.Callable):
        self._layer = layer
        prepare, self._apply = _form(layer)
        self._kernel = store(prepare(layer.normalized_kernel(update_u=False)))

    def __call__(self, inputs, update_u: bool | None = None, training: bool | None = None):
        outputs = self._apply(inputs, tf.cast(self._kernel.value(), self._layer.compute_dtype))
        return outputs if self._layer.bias is None else add_bias(outputs, self._layer.bias.value)


def prepare_layers(generator: Generator, store: typing.Callable) -> set[str]:
    """Replaces the layers without spectral normalization in a generator, which then works at inference only.

    Args:
      generator: built.
      store: called with the path of a kernel and the prepared kernel, see `PreparedLayer`.

    Returns: the paths of the replaced kernels.
    """
    layers = {
        id(layer): layer
        for layer in generator.kernel_layers
        if isinstance(layer, (SNDense, SNConv2D)) and not layer.spectral_norm
    }
    for owner in [generator, *generator.inner_layers]:
        for name, value in list(vars(owner).items()):
            if id(value) in layers:
                path = value.kernel.path
                setattr(owner, name, PreparedLayer(value, lambda kernel, path=path: store(path, kernel)))
    return {layer.kernel.path for layer in layers.values()}


def _form(layer) -> tuple[typing.Callable, typing.Callable]:
    """Two functions: one prepares a layer's kernel, one computes the layer's output with it."""
    if isinstance(layer, SNDense):
        return _unchanged, _product
    if not layer.fast:
        return _unchanged, layer.convolve
    height = layer.get_build_config()["input_shape"][1]
    small = height <= _SMALL_HEIGHT
    if layer.resampling == "up":
        if height > fast_convolution.PRODUCT_HEIGHT:
            return fast_convolution.transposed, fast_convolution.upsample_convolve_transposed
        return _turned, _upsample_convolve_turned
    if layer.resampling is None and layer.kernel_size == 1 and small:
        return _unchanged, lambda x, kernel: _product(x, kernel[0, 0])
    if layer.resampling is None and layer.kernel_size == 3:
        if layer.filters <= _FEW_CHANNELS and height % 2 == 0:
            return _of_blocks, _convolve_blocks
        if small and layer.compute_dtype == "float32":
            return _unchanged, _convolve_patches
    return _unchanged, layer.convolve


def _unchanged(kernel):
    return kernel


def _product(x, matrix):
    return tf.tensordot(x, matrix, axes=1)


def _turned(kernel):
    """(3, 3, C, F) -> (3, 3, F, C). Products with it take 0.8 to 0.9 of the time at batch 1."""
    return tf.transpose(kernel, (0, 1, 3, 2))


def _upsample_convolve_turned(x, kernel):
    return fast_convolution.spread_products(fast_convolution.products(x, kernel, turned=True))


def _of_blocks(kernel):
    """The kernel of a convolution of stride 2 that gives 2x2 results: (3, 3, C, F) -> (4, 4, C, 4F)."""
    shifted = [
        tf.pad(kernel, [[row, 1 - row], [column, 1 - column], [0, 0], [0, 0]])
        for row in (0, 1)
        for column in (0, 1)
    ]
    return tf.concat(shifted, axis=-1)


def _convolve_blocks(x, kernel):
    return tf.nn.depth_to_space(tf.nn.conv2d(x, kernel, 2, [[0, 0], [1, 1], [1, 1], [0, 0]]), 2)


def _convolve_patches(x, kernel):
    """The plain 3x3 convolution as one matrix product: the nine values under the kernel form a row."""
    _, height, width, channels = x.shape
    padded = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
    patches = [
        padded[:, row : row + height, column : column + width] for row in range(3) for column in range(3)
    ]
    return tf.tensordot(tf.concat(patches, axis=-1), tf.reshape(kernel, (9 * channels, -1)), axes=1)
