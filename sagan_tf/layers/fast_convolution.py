"""The fast forms of two functions: a 3x3 convolution after upsampling, and one before average pooling.

`SNConv2D` with `fast=True` uses them. The results are those of the plain form but for rounding
(tests/layers/test_fast_convolution.py).

Each needs a quarter of the plain form's arithmetic. Upsampling spreads the values two apart, with zeros
between them, and then sums over 2x2 windows; pooling averages over all 2x2 windows and then keeps every other
one. Convolutions with windows commute. So the 3x3 kernel can meet the spread values (a transposed convolution
of stride 2), or compute only the values that are kept (a convolution of stride 2).

On 2 CPU cores a training step takes 0.6 to 0.7 of the plain form's time at 128x128 (32 channels, batch 8),
and 0.7 to 0.9 with the small networks of digits. This holds with AVX-512 (float32 and bfloat16), with AVX2,
and for digits without oneDNN too. It was not measured on GPUs.
"""

import tensorflow as tf

# Up to this height kernels are larger than feature maps, and matrix products with shifted sums are faster: a
# training step at 128x128 takes 3 to 7% less time (2 cores, AVX-512 and AVX2, float32 and bfloat16).
PRODUCT_HEIGHT = 8


def upsample_convolve(x, kernel):
    """3x3 convolution, stride 1 and 'same' padding, of x upsampled x2 by nearest neighbours.

    Args:
      x: (B, H, W, C).
      kernel: (3, 3, C, F).

    Returns: (B, 2H, 2W, F).
    """
    if x.shape[1] <= PRODUCT_HEIGHT:
        return spread_products(products(x, kernel))
    return upsample_convolve_transposed(x, transposed(kernel))


def convolve_downsample(x, kernel):
    """2x2 average pooling of a 3x3 convolution, stride 1 and 'same' padding.

    Args:
      x: (B, H, W, C), H and W even.
      kernel: (3, 3, C, F).

    Returns: (B, H/2, W/2, F).
    """
    if x.shape[1] <= PRODUCT_HEIGHT:
        return _convolve_downsample_by_product(x, kernel)
    averages = tf.nn.avg_pool2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 2, 1, "VALID")
    return tf.nn.conv2d(averages, kernel, 2, "VALID")


FAST_FORMS = {"up": upsample_convolve, "down": convolve_downsample}  # by the `resampling` of `SNConv2D`


def transposed(kernel):
    """4 times the kernel, turned by 180 degrees: (3, 3, C, F) -> (3, 3, F, C)."""
    # A list: the gradients of reversed slices are slow.
    positions = tf.unstack(tf.reshape(kernel, (9, *kernel.shape[2:])))
    turned = tf.reshape(tf.stack(positions[::-1]), kernel.shape)
    return 4 * tf.transpose(turned, (0, 1, 3, 2))


def upsample_convolve_transposed(x, kernel):
    """`upsample_convolve` with the kernel as `transposed` gives it."""
    _, height, width, _ = x.shape
    shape = (tf.shape(x)[0], 2 * height + 1, 2 * width + 1, kernel.shape[2])
    spread = tf.nn.conv2d_transpose(x, kernel, shape, 2, "VALID")
    return tf.nn.avg_pool2d(spread, 2, 1, "VALID")  # a quarter of the window's sum


def products(x, kernel, turned: bool = False):
    """x times the kernel's matrices: (B, H, W, C) and (3, 3, C, F) -> (3, 3, B, H, W, F), rows first.

    `turned`: the kernel is (3, 3, F, C).
    """
    _, height, width, channels = x.shape
    matrices = tf.reshape(kernel, (9, *kernel.shape[2:]))
    found = tf.matmul(tf.reshape(x, (1, -1, channels)), matrices, transpose_b=turned)
    return tf.reshape(found, (3, 3, -1, height, width, found.shape[-1]))


def _pad(x, axis: int, before: int, after: int):
    paddings = [[0, 0] for _ in x.shape]
    paddings[axis] = [before, after]
    return tf.pad(x, paddings)


def spread_products(nine):
    """Sums what `products` gives for a map to the convolution of the upsampled map, (B, 2H, 2W, F)."""
    _, _, _, height, width, filters = nine.shape
    rows = _spread_and_sum(nine, axis=2)  # (3, B, H, 2, W, F)
    both = _spread_and_sum(rows, axis=3)  # (B, H, 2, W, 2, F)
    return tf.reshape(both, (-1, 2 * height, 2 * width, filters))


def _spread_and_sum(products, axis: int):
    """Spreads products of the kernel's three rows or columns two apart, and sums over windows of 2.

    Product i belongs at 2i + 2 of the kernel's first, 2i + 1 of its middle, 2i of its last. The new axis
    after `axis`, counted without the first, holds the even and the odd results.
    """
    first, middle, last = tf.unstack(products)
    size = first.shape[axis]
    shared = _pad(first, axis, 1, 0) + _pad(last, axis, 0, 1)  # at 0, 2, ..., 2 * size
    even, odd = tf.split(shared, [size, 1], axis)[0], tf.split(shared, [1, size], axis)[1]
    return tf.stack([even + middle, odd + middle], axis + 1)


def _convolve_downsample_by_product(x, kernel):
    """`convolve_downsample` as one matrix product: the nine values under the kernel form a row."""
    _, height, width, channels = x.shape
    averages = tf.nn.avg_pool2d(tf.pad(x, [[0, 0], [1, 2], [1, 2], [0, 0]]), 2, 1, "VALID")
    rows = _neighbours(tf.reshape(averages, (-1, height // 2 + 1, 2, width + 2, channels)), axis=1)
    patches = [
        column
        for row in rows
        for column in _neighbours(tf.reshape(row, (-1, height // 2, width // 2 + 1, 2, channels)), axis=2)
    ]
    return tf.tensordot(tf.concat(patches, axis=-1), tf.reshape(kernel, (9 * channels, -1)), axes=1)


def _neighbours(pairs, axis: int):
    """From values in pairs along an axis: those at 2i, at 2i + 1 and at 2i + 2."""
    even, odd = tf.unstack(pairs, axis=axis + 1)
    size = even.shape[axis] - 1
    return (
        tf.split(even, [size, 1], axis)[0],
        tf.split(odd, [size, 1], axis)[0],
        tf.split(even, [1, size], axis)[1],
    )
