"""Spectral normalization of dense, convolution and embedding layers (Miyato et al. 2018, algorithm 1).

A kernel is read as a matrix W of shape (fan-in, outputs). Power iteration with the saved vector u
estimates its largest singular value sigma, and the forward pass uses W / sigma. W itself is never
overwritten: it stays the optimizer's variable, and the gradient flows through both W and sigma,
with u and v as constants (as in the paper; the original code differentiates them too, which is the
same once u has converged).

When u moves. Each layer takes `update_u` in its call:

  None (default): u moves in training passes, unless the layer is frozen (`trainable=False`). In a compiled
    training step it moves once for each value of the kernel: the first pass moves it, and the passes
    that follow (on fakes after reals, for a gradient penalty) take the same sigma, until an optimizer has
    changed the kernel. In eager mode nobody knows where a step ends, so each training pass moves u, as each
    moves the averages of `keras.layers.BatchNormalization`. Evaluation and `predict` never move it.
  True: this pass moves u. False: it does not. The training step of this project says so in every pass.
"""

import keras
import tensorflow as tf

from sagan_tf.layers.biases import add_bias
from sagan_tf.layers.checks import check_input_shape, checked_labels
from sagan_tf.layers.fast_convolution import FAST_FORMS
from sagan_tf.layers.power_iteration import (
    keep_for_this_step,
    power_iteration,
    singular_value,
    singular_vectors,
    vectors_of_this_step,
)
from sagan_tf.layers.resampling import downsample, upsample


class NormalizedKernel:
    """What layers with a normalized kernel share. A subclass is a Keras layer and sets the attributes.

    Attributes:
      kernel: the Keras variable W, which is read in float32.
      u: the Keras variable u, float32 (1, outputs); only where `spectral_norm`.
      spectral_norm: whether the kernel is normalized.
      iterations: power iterations in each pass, at least 1.
    """

    def _check_iterations(self, name: str, iterations: int) -> None:
        if iterations < 1:
            raise ValueError(f"{name}={iterations}: at least one power iteration is needed")

    def _add_u(self, size: int) -> None:
        # Every replica computes the same u from the same W, so one copy stands for all.
        self.u = self.add_weight(
            name="u",
            shape=(1, size),
            initializer=keras.initializers.TruncatedNormal(stddev=1.0),
            trainable=False,
            dtype="float32",
            autocast=False,
            aggregation="only_first_replica",
        )

    def _matrix(self):
        """The kernel as a matrix (fan_in, outputs)."""
        return tf.reshape(self.kernel.value, (-1, self.kernel.shape[-1]))

    def sigma(self, iterations: int | None = None) -> tf.Tensor:
        """The largest singular value of the kernel as estimated from u, a scalar; u is left as it is.

        Without spectral normalization there is no u: 20 iterations start from a fixed random vector.
        """
        matrix = self._matrix()
        if not self.spectral_norm:
            u = tf.random.stateless_normal((1, matrix.shape[1]), (0, 0))
            return power_iteration(matrix, u, iterations or 20)[0]
        return power_iteration(matrix, self.u.value, iterations or self.iterations)[0]

    def normalized_kernel(self, update_u: bool | None = False, training: bool | None = None) -> tf.Tensor:
        """W / sigma, in the layer's compute dtype; W itself where `spectral_norm` is off.

        Args:
          update_u: whether the new u is stored; None: as `training`, see the module's docstring.
          training: whether this is a training pass.
        """
        kernel = self.kernel.value
        if self.spectral_norm:
            kernel = kernel / self._sigma_of_pass(update_u, training)
        return tf.cast(kernel, self.compute_dtype)

    def _sigma_of_pass(self, update_u: bool | None, training: bool | None):
        by_training = update_u is None
        moves = bool(training and self.trainable) if by_training else update_u
        matrix = self._matrix()
        if by_training and moves and (kept := vectors_of_this_step(self.kernel.value)):
            return singular_value(matrix, kept.u, kept.v)
        u, v = singular_vectors(matrix, self.u.value, self.iterations)
        if moves:
            self.u.assign(u)
        if by_training and moves:
            keep_for_this_step(self.kernel.value, u, v)
        return singular_value(matrix, u, v)


class SpectrallyNormalized(NormalizedKernel, keras.layers.Layer):
    """A layer with one kernel, which its subclasses use through `normalized_kernel`.

    In bfloat16 on a CPU without oneDNN, TensorFlow truncates where it should round: outputs and gradients of
    matrix products are 0.3% short, and kernel gradients of convolutions 0.7% to 1%. With oneDNN they are not.
    """

    def __init__(self, spectral_norm: bool, iterations: int, kernel_initializer, **layer_arguments):
        super().__init__(**layer_arguments)
        self._check_iterations("iterations", iterations)
        self.spectral_norm = spectral_norm
        self.iterations = iterations
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def _add_kernel(self, shape, u_size: int) -> None:
        # float32 whatever the policy: autocasting would run the power iteration in bfloat16.
        self.kernel = self.add_weight(
            name="kernel", shape=shape, initializer=self.kernel_initializer, dtype="float32", autocast=False
        )
        if self.spectral_norm:
            self._add_u(u_size)

    def _check_channels(self, channels: int) -> None:
        """Lets Keras refuse inputs with other channels than those that the layer is built for."""
        self.input_spec = keras.layers.InputSpec(axes={-1: channels})

    def _add_bias(self, size: int) -> None:
        self.bias = None
        if self.use_bias:
            # Keras must not cast it: its gradient, a sum over all positions, stays float32.
            self.bias = self.add_weight(
                name="bias", shape=(size,), initializer="zeros", dtype="float32", autocast=False
            )

    def bake(self) -> keras.layers.Layer:
        """A built copy without spectral normalization, whose kernel is W / sigma: the same function.

        sigma is that of a pass at inference. This layer, which must be built, stays as it is.
        """
        copy = type(self).from_config(self.get_config() | {"spectral_norm": False})
        copy.build_from_config(self.get_build_config())
        for variable, own in zip(copy.trainable_variables, self.trainable_variables, strict=True):
            variable.assign(own.value)
        copy.kernel.assign(self.kernel.value / self.sigma() if self.spectral_norm else self.kernel.value)
        return copy

    def get_config(self):
        return super().get_config() | {
            "spectral_norm": self.spectral_norm,
            "iterations": self.iterations,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


@keras.saving.register_keras_serializable("sagan_tf")
class SNDense(SpectrallyNormalized):
    """Dense layer with a spectrally normalized kernel, applied to the last axis of an input of any rank.

    On a feature map it is the 1x1 convolution, in any number of dimensions. Original: `snlinear`,
    and `snconv2d` with a 1x1 kernel.

    Args:
      units: size of the last axis of the output.
      use_bias: whether a bias is added.
      spectral_norm: whether the kernel is normalized; False makes it an ordinary dense layer.
      iterations: power iterations in each pass.
      kernel_initializer: as of `keras.layers.Dense`.

    Call arguments:
      inputs: (..., channels).
      update_u: whether this pass stores the new u; None: in training. See the module's docstring.
      training: set by Keras.

    Returns: (..., units).

    Raises:
      ValueError: the channels are unknown, or iterations is less than 1.

    >>> layer = SNDense(3)
    >>> layer(np.ones((2, 5), "float32"), training=True).shape
    TensorShape([2, 3])
    """

    def __init__(
        self,
        units: int,
        use_bias: bool = True,
        spectral_norm: bool = True,
        iterations: int = 1,
        kernel_initializer="glorot_uniform",
        **layer_arguments,
    ):
        super().__init__(spectral_norm, iterations, kernel_initializer, **layer_arguments)
        self.units = units
        self.use_bias = use_bias

    def build(self, input_shape):
        check_input_shape(self, input_shape, range(1, 9), "(..., channels), the channels known")
        self._check_channels(input_shape[-1])
        self._add_kernel((input_shape[-1], self.units), self.units)
        self._add_bias(self.units)

    def call(self, inputs, update_u: bool | None = None, training: bool | None = None) -> tf.Tensor:
        outputs = tf.tensordot(inputs, self.normalized_kernel(update_u, training), axes=1)
        return outputs if self.bias is None else add_bias(outputs, self.bias.value)

    def compute_output_shape(self, input_shape, **_):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return super().get_config() | {"units": self.units, "use_bias": self.use_bias}


@keras.saving.register_keras_serializable("sagan_tf")
class SNConv2D(SpectrallyNormalized):
    """2-D convolution with a spectrally normalized kernel.

    Original: `snconv2d`. The kernel (height, width, C_in, filters) is normalized as the matrix
    (height * width * C_in, filters). Images have their channels last.

    For other arguments of `keras.layers.Conv2D`, and for other layers, see `SpectralNorm`.

    Args:
      filters: channels of the output.
      kernel_size: height and width of the kernel, a number or a pair.
      resampling: "up" upsamples the input x2 by nearest neighbours, "down" pools the output by 2x2 averages;
        both need a 3x3 kernel, stride 1 and 'same' padding. None does neither.
      spectral_norm, iterations, kernel_initializer: as of `SNDense`.
      fast: whether convolution and resampling are computed as one (`fast_convolution.py`): the same function
        but for rounding, faster on CPUs.
      strides, padding, dilation_rate, use_bias: as of `keras.layers.Conv2D`, but that the default padding is
        "same".
      data_format: "channels_last", or None for it.

    Call arguments:
      inputs: (B, H, W, C_in).
      update_u, training: as of `SNDense`.

    Returns: (B, H, W, filters), the sizes twice or half as large with `resampling`.

    Raises:
      ValueError: arguments that do not fit together, or an input of another rank.

    >>> layer = SNConv2D(8, strides=2)
    >>> layer(np.ones((1, 6, 6, 3), "float32")).shape
    TensorShape([1, 3, 3, 8])
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int] = 3,
        resampling: str | None = None,
        spectral_norm: bool = True,
        iterations: int = 1,
        kernel_initializer="glorot_uniform",
        fast: bool = False,
        *,
        strides: int | tuple[int, int] = 1,
        padding: str = "same",
        dilation_rate: int | tuple[int, int] = 1,
        use_bias: bool = True,
        data_format: str | None = None,
        **layer_arguments,
    ):
        super().__init__(spectral_norm, iterations, kernel_initializer, **layer_arguments)
        self.filters, self.use_bias, self.fast = filters, use_bias, fast
        self.kernel_size = _number_or_pair("kernel_size", kernel_size)
        self.strides = _number_or_pair("strides", strides)
        self.dilation_rate = _number_or_pair("dilation_rate", dilation_rate)
        self.padding, self.resampling = str(padding).lower(), resampling
        self._check_arguments(data_format)

    def _check_arguments(self, data_format) -> None:
        if data_format not in (None, "channels_last"):
            raise ValueError(f"data_format={data_format!r}: only 'channels_last' is supported")
        if self.padding not in ("same", "valid"):
            raise ValueError(f"padding={self.padding!r}: allowed are 'same' and 'valid'")
        if self.strides != 1 and self.dilation_rate != 1:
            raise ValueError(
                f"strides={self.strides}, dilation_rate={self.dilation_rate}: one of them must be 1"
            )
        plain = (self.kernel_size, self.strides, self.padding, self.dilation_rate) == (3, 1, "same", 1)
        if self.resampling not in (None, "up", "down") or (self.resampling and not plain):
            raise ValueError(
                f"resampling={self.resampling!r}: must be None, or 'up' or 'down' with kernel_size=3,"
                " strides=1, padding='same' and dilation_rate=1"
            )

    def build(self, input_shape):
        check_input_shape(self, input_shape, (4,), "(batch, height, width, channels), the channels known")
        self._check_channels(input_shape[-1])
        self._add_kernel((*_pair(self.kernel_size), input_shape[-1], self.filters), self.filters)
        self._add_bias(self.filters)

    def call(self, inputs, update_u: bool | None = None, training: bool | None = None) -> tf.Tensor:
        outputs = self.convolve(inputs, self.normalized_kernel(update_u, training))
        return outputs if self.bias is None else add_bias(outputs, self.bias.value)

    def convolve(self, x, kernel):
        """The convolution with its resampling, without the bias; `kernel` (height, width, C_in, filters)."""
        if self.fast and self.resampling and self._has_fast_form(x.shape[1:3]):
            return FAST_FORMS[self.resampling](x, kernel)
        x = upsample(x) if self.resampling == "up" else x
        x = tf.nn.conv2d(x, kernel, self.strides, self.padding.upper(), dilations=self.dilation_rate)
        return downsample(x) if self.resampling == "down" else x

    def _has_fast_form(self, sizes) -> bool:
        """Whether there is one for maps of this height and width: to be halved, they must be even."""
        return None not in sizes and (self.resampling == "up" or not any(size % 2 for size in sizes))

    def compute_output_shape(self, input_shape, **_):
        batch, *sizes, _ = input_shape
        return (batch, *(self._output_size(size, axis) for axis, size in enumerate(sizes)), self.filters)

    def _output_size(self, size: int | None, axis: int) -> int | None:
        """The height (axis 0) or the width (axis 1) of the output."""
        if size is None:
            return None
        if self.resampling:
            return 2 * size if self.resampling == "up" else size // 2
        if self.padding == "valid":
            size -= (_pair(self.kernel_size)[axis] - 1) * _pair(self.dilation_rate)[axis]
        return -(-size // _pair(self.strides)[axis])

    def get_config(self):
        names = ("filters", "kernel_size", "resampling", "fast")
        names += ("strides", "padding", "dilation_rate", "use_bias")
        return super().get_config() | {name: getattr(self, name) for name in names}


def _number_or_pair(name: str, value) -> int | tuple[int, int]:
    """The value as a number, or as a pair of two different numbers. Raises ValueError for anything else."""
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or not all(isinstance(each, int) and each > 0 for each in pair):
        raise ValueError(f"{name}={value}: must be a positive whole number, or two of them")
    return pair[0] if pair[0] == pair[1] else pair


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


@keras.saving.register_keras_serializable("sagan_tf")
class SNEmbedding(SpectrallyNormalized):
    """Embedding with a spectrally normalized table.

    As in the original's `sn_embedding`, it is the transposed table (dimensions, classes) that is
    normalized, so u has one entry a class; the singular value is the same either way.

    Args:
      classes: rows of the table.
      dimensions: length of an embedding.
      spectral_norm, iterations, kernel_initializer: as of `SNDense`.

    Call arguments:
      labels: int32 (B,), in [0, classes).
      update_u, training: as of `SNDense`.

    Returns: (B, dimensions).

    Raises:
      ValueError: a label outside the table, where it is known before the layer runs (see `checked_labels`).

    >>> SNEmbedding(10, 4)(np.array([3, 9])).shape
    TensorShape([2, 4])
    """

    def __init__(
        self,
        classes: int,
        dimensions: int,
        spectral_norm: bool = True,
        iterations: int = 1,
        kernel_initializer="glorot_uniform",
        **layer_arguments,
    ):
        super().__init__(spectral_norm, iterations, kernel_initializer, **layer_arguments)
        self.classes = classes
        self.dimensions = dimensions

    def build(self, input_shape):
        self._add_kernel((self.classes, self.dimensions), self.classes)

    def _matrix(self):
        return tf.transpose(self.kernel.value)

    def call(self, labels, update_u: bool | None = None, training: bool | None = None) -> tf.Tensor:
        labels = checked_labels(labels, self.classes)
        return tf.gather(self.normalized_kernel(update_u, training), labels)

    def compute_output_shape(self, labels_shape, **_):
        return (*labels_shape, self.dimensions)

    def get_config(self):
        return super().get_config() | {"classes": self.classes, "dimensions": self.dimensions}
