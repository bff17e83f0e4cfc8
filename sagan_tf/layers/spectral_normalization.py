"""Spectral normalization of dense, convolution and embedding layers (Miyato et al. 2018, algorithm 1).

A kernel is read as a matrix W of shape (fan-in, outputs). Power iteration with the saved vector u
estimates its largest singular value sigma, and the forward pass uses W / sigma. W itself is never
overwritten: it stays the optimizer's variable, and the gradient flows through both W and sigma,
with u and v as constants (as in the paper; the original code differentiates them too, which is the
same once u has converged).
"""

import keras
import tensorflow as tf

from sagan_tf.layers.biases import add_bias
from sagan_tf.layers.fast_convolution import FAST_FORMS
from sagan_tf.layers.resampling import downsample, upsample

_EPSILON = 1e-12  # as the original's _l2normalize: added to the norm, not under the root


def _l2_normalize(vector):
    return vector / (tf.norm(vector) + _EPSILON)


def power_iteration(matrix, u, iterations: int = 1):
    """Estimates the largest singular value of a matrix.

    Args:
      matrix: float tensor (fan_in, outputs).
      u: float tensor (1, outputs), the estimate of the right singular vector so far.
      iterations: how many times to apply the matrix and its transpose, at least 1.

    Returns:
      sigma, a scalar whose gradient with respect to `matrix` is v^T u (u and v are constants), and
      the new u, shape (1, outputs), of unit length.
    """
    constant = tf.stop_gradient(matrix)
    for _ in range(iterations):
        v = _l2_normalize(tf.matmul(u, constant, transpose_b=True))  # (1, fan_in)
        u = _l2_normalize(tf.matmul(v, constant))  # (1, outputs)
    u, v = tf.stop_gradient(u), tf.stop_gradient(v)
    sigma = tf.reduce_sum(tf.matmul(v, matrix) * u)
    return sigma, u


class SpectrallyNormalized(keras.layers.Layer):
    """A layer with one kernel, which its subclasses use through `normalized_kernel`.

    In bfloat16 on a CPU without oneDNN, TensorFlow truncates where it should round: outputs and gradients of
    matrix products are 0.3% short, and kernel gradients of convolutions 0.7% to 1%. With oneDNN they are not.
    """

    def __init__(self, spectral_norm: bool, iterations: int, kernel_initializer, **layer_arguments):
        super().__init__(**layer_arguments)
        if iterations < 1:
            raise ValueError(f"iterations={iterations}: at least one power iteration is needed")
        self.spectral_norm = spectral_norm
        self.iterations = iterations
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def _add_kernel(self, shape, u_size: int) -> None:
        # float32 whatever the policy: autocasting would run the power iteration in bfloat16.
        self.kernel = self.add_weight(
            name="kernel", shape=shape, initializer=self.kernel_initializer, dtype="float32", autocast=False
        )
        if self.spectral_norm:
            # Every replica computes the same u from the same W, so one copy stands for all.
            self.u = self.add_weight(
                name="u",
                shape=(1, u_size),
                initializer=keras.initializers.TruncatedNormal(stddev=1.0),
                trainable=False,
                dtype="float32",
                autocast=False,
                aggregation="only_first_replica",
            )

    def _add_bias(self, size: int) -> None:
        self.bias = None
        if self.use_bias:
            # Not cast by Keras: its gradient, a sum over all positions, stays float32.
            self.bias = self.add_weight(
                name="bias", shape=(size,), initializer="zeros", dtype="float32", autocast=False
            )

    def _matrix(self):
        """The kernel as a matrix (fan_in, outputs)."""
        return tf.reshape(self.kernel.value, (-1, self.kernel.shape[-1]))

    def sigma(self, iterations: int | None = None):
        """The largest singular value of the kernel as estimated from u; u is left as it is.

        Without spectral normalization there is no u: 20 iterations start from a fixed random vector.
        """
        matrix = self._matrix()
        if not self.spectral_norm:
            u = tf.random.stateless_normal((1, matrix.shape[1]), (0, 0))
            return power_iteration(matrix, u, iterations or 20)[0]
        return power_iteration(matrix, self.u.value, iterations or self.iterations)[0]

    def normalized_kernel(self, update_u: bool):
        """W / sigma, in the layer's compute dtype; W itself where `spectral_norm` is off.

        Args:
          update_u: whether the new u is stored. Exactly one pass of a training step stores it.
        """
        kernel = self.kernel.value
        if self.spectral_norm:
            sigma, new_u = power_iteration(self._matrix(), self.u.value, self.iterations)
            if update_u:
                self.u.assign(new_u)
            kernel = kernel / sigma
        return tf.cast(kernel, self.compute_dtype)

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
      update_u: whether this pass stores the new u.

    Returns: (..., units).
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
        self._add_kernel((input_shape[-1], self.units), self.units)
        self._add_bias(self.units)

    def call(self, inputs, update_u=False):
        outputs = tf.tensordot(inputs, self.normalized_kernel(update_u), axes=1)
        return outputs if self.bias is None else add_bias(outputs, self.bias.value)

    def compute_output_shape(self, input_shape, **_):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return super().get_config() | {"units": self.units, "use_bias": self.use_bias}


@keras.saving.register_keras_serializable("sagan_tf")
class SNConv2D(SpectrallyNormalized):
    """2-D convolution of stride 1 and 'same' padding with a spectrally normalized kernel.

    Original: `snconv2d`. The kernel (size, size, C_in, filters) is normalized as the matrix
    (size * size * C_in, filters).

    Args:
      filters: channels of the output.
      kernel_size: height and width of the kernel.
      resampling: "up" upsamples the input x2 by nearest neighbours, "down" pools the output by 2x2 averages;
        both need a 3x3 kernel. None does neither.
      spectral_norm, iterations, kernel_initializer: as of `SNDense`.
      fast: whether convolution and resampling are computed as one (`fast_convolution.py`): the same function
        but for rounding, faster on CPUs.

    Call arguments:
      inputs: (B, H, W, C_in).
      update_u: whether this pass stores the new u.

    Returns: (B, H, W, filters), the sizes twice or half as large with `resampling`.
    """

    use_bias = True

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        resampling: str | None = None,
        spectral_norm: bool = True,
        iterations: int = 1,
        kernel_initializer="glorot_uniform",
        fast: bool = False,
        **layer_arguments,
    ):
        super().__init__(spectral_norm, iterations, kernel_initializer, **layer_arguments)
        if resampling not in (None, "up", "down") or (resampling and kernel_size != 3):
            raise ValueError(f"resampling={resampling!r}: must be None, or 'up' or 'down' with kernel_size=3")
        self.filters = filters
        self.kernel_size = kernel_size
        self.resampling = resampling
        self.fast = fast

    def build(self, input_shape):
        self._add_kernel((self.kernel_size, self.kernel_size, input_shape[-1], self.filters), self.filters)
        self._add_bias(self.filters)

    def call(self, inputs, update_u=False):
        return add_bias(self.convolve(inputs, self.normalized_kernel(update_u)), self.bias.value)

    def convolve(self, x, kernel):
        """The convolution with its resampling, without the bias; `kernel` (size, size, C_in, filters)."""
        if self.fast and self.resampling:
            return FAST_FORMS[self.resampling](x, kernel)
        x = upsample(x) if self.resampling == "up" else x
        x = tf.nn.conv2d(x, kernel, 1, "SAME")
        return downsample(x) if self.resampling == "down" else x

    def compute_output_shape(self, input_shape, **_):
        batch, height, width, _ = input_shape
        if self.resampling:
            height, width = (2 * height, 2 * width) if self.resampling == "up" else (height // 2, width // 2)
        return (batch, height, width, self.filters)

    def get_config(self):
        names = ("filters", "kernel_size", "resampling", "fast")
        return super().get_config() | {name: getattr(self, name) for name in names}


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
      update_u: whether this pass stores the new u.

    Returns: (B, dimensions).
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

    def call(self, labels, update_u=False):
        return tf.gather(self.normalized_kernel(update_u), labels)

    def compute_output_shape(self, labels_shape, **_):
        return (*labels_shape, self.dimensions)

    def get_config(self):
        return super().get_config() | {"classes": self.classes, "dimensions": self.dimensions}
