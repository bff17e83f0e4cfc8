"""Nearest-neighbour upsampling and average pooling, alone and joined with a 3x3 convolution.

The 3x3 convolution after upsampling, or before pooling, needs a quarter of its arithmetic. Upsampling is
to spread the values two apart, with zeros between them, and then to sum over 2x2 windows; pooling is to
average over all 2x2 windows and then to keep every other one. Convolutions with windows commute, so the
3x3 kernel can meet the spread values (a transposed convolution of stride 2), or compute only the values
that are kept (a convolution of stride 2). The result is the same but for rounding.

On 2 cores a training step takes 0.6 to 0.7 of the time that layers one after the other take at 128x128 (32
channels, batch 8), and 0.7 to 0.9 with the digits' small networks. That holds with AVX-512 (float32 and
bfloat16), with AVX2 alone, and for the digits without oneDNN too: the choice need not know the processor.
"""

import tensorflow as tf

# Up to this height matrix products and shifted sums are faster than a convolution joined with its resampling:
# there, kernels are larger than feature maps. A training step at 128x128 takes 3 to 7% less time (2 cores,
# with AVX-512 and with AVX2 alone; float32 and bfloat16), one of small networks as long as before.
_PRODUCT_HEIGHT = 8
# With prepared kernels, whatever the batch (same machine): up to this height one product of all patches in
# float32 (oneDNN lays out the kernel of a convolution anew in every call); blocks of 2x2 results for this few
# channels (it computes 16 of them anyway). Products with matrices that are stored turned take 0.8 to 0.9 of
# the time at batch 1.
_SMALL_HEIGHT = 8
_FEW_CHANNELS = 4


@tf.custom_gradient
def upsample(x):
    """Nearest-neighbour x2: (B, H, W, C) -> (B, 2H, 2W, C)."""
    _, height, width, channels = x.shape
    wide = tf.broadcast_to(x[:, :, None, :, None, :], (tf.shape(x)[0], height, 2, width, 2, channels))
    # TensorFlow's own gradient is a sum over two axes, which is slower than pooling.
    return tf.reshape(wide, (-1, 2 * height, 2 * width, channels)), lambda gradient: 4 * downsample(gradient)


def downsample(x):
    """2x2 average pooling: (B, H, W, C) -> (B, H/2, W/2, C)."""
    return tf.nn.avg_pool2d(x, 2, 2, "VALID")


def is_joined() -> bool:
    """Whether convolution and resampling are joined: not on GPUs, where it was not measured."""
    return not tf.config.list_logical_devices("GPU")


def convolve(x, kernel):
    """Convolution of stride 1 and 'same' padding: (B, H, W, C) and (size, size, C, F) -> (B, H, W, F)."""
    return tf.nn.conv2d(x, kernel, 1, "SAME")


def upsample_convolve(x, kernel):
    """3x3 convolution, stride 1 and 'same' padding, of the upsampled x.

    Args:
      x: (B, H, W, C).
      kernel: (3, 3, C, F).

    Returns: (B, 2H, 2W, F).
    """
    if not is_joined():
        return tf.nn.conv2d(upsample(x), kernel, 1, "SAME")
    if x.shape[1] <= _PRODUCT_HEIGHT:
        return _spread_products(_products(x, kernel))
    return _upsample_convolve_transposed(x, _transposed(kernel))


def convolve_downsample(x, kernel):
    """Average pooling of a 3x3 convolution, stride 1 and 'same' padding.

    Args:
      x: (B, H, W, C), H and W even.
      kernel: (3, 3, C, F).

    Returns: (B, H/2, W/2, F).
    """
    if not is_joined():
        return downsample(tf.nn.conv2d(x, kernel, 1, "SAME"))
    if x.shape[1] <= _PRODUCT_HEIGHT:
        return _convolve_downsample_by_product(x, kernel)
    averages = tf.nn.avg_pool2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 2, 1, "VALID")
    return tf.nn.conv2d(averages, kernel, 2, "VALID")


def convolve_resampled(x, kernel, resampling: str | None):
    """`upsample_convolve` for "up", `convolve_downsample` for "down", `convolve` for None."""
    apply = {"up": upsample_convolve, "down": convolve_downsample, None: convolve}[resampling]
    return apply(x, kernel)


def prepare(kernel, resampling: str | None, height: int):
    """What `convolve_prepared` takes, computed once where a kernel stays as it is.

    Args:
      kernel: (3, 3, C, F) or (1, 1, C, F).
      resampling: "up", "down" or None, see `SNConv2D`.
      height: of the maps that it will meet, which are square.

    Raises:
      ValueError: a kernel of another size, or maps of unknown height.
    """
    if kernel.shape[0] not in (1, 3) or height is None:
        raise ValueError(f"kernel {kernel.shape}, height {height}: needs size 3 or 1, and a known height")
    if not is_joined() or kernel.shape[0] == 1:
        return kernel
    if resampling == "up":
        return _transposed(kernel) if height > _PRODUCT_HEIGHT else tf.transpose(kernel, (0, 1, 3, 2))
    if resampling is None and kernel.shape[-1] <= _FEW_CHANNELS and height % 2 == 0:
        return _of_blocks(kernel)
    return kernel


def convolve_prepared(x, prepared, resampling: str | None):
    """`convolve`, `upsample_convolve` or `convolve_downsample` by a kernel that is prepared.

    Meant for inference: gradients are as exact, but their speed was not measured.
    """
    if is_joined():
        if resampling == "up":
            if x.shape[1] > _PRODUCT_HEIGHT:
                return _upsample_convolve_transposed(x, prepared)
            return _spread_products(_products(x, prepared, turned=True))
        if prepared.shape[0] == 4:
            pads = [[0, 0], [1, 1], [1, 1], [0, 0]]
            return tf.nn.depth_to_space(tf.nn.conv2d(x, prepared, 2, pads), 2)
        small = resampling is None and x.shape[1] <= _SMALL_HEIGHT
        if small and prepared.shape[0] == 1:
            return tf.tensordot(x, prepared[0, 0], axes=1)
        if small and prepared.shape[0] == 3 and prepared.dtype == tf.float32:
            return _convolve_patches(x, prepared)
    return convolve_resampled(x, prepared, resampling)


def _transposed(kernel):
    """4 times the kernel, turned by 180 degrees: (3, 3, C, F) -> (3, 3, F, C)."""
    # A list, since reversed slices have slow gradients.
    positions = tf.unstack(tf.reshape(kernel, (9, *kernel.shape[2:])))
    turned = tf.reshape(tf.stack(positions[::-1]), kernel.shape)
    return 4 * tf.transpose(turned, (0, 1, 3, 2))


def _upsample_convolve_transposed(x, transposed):
    _, height, width, _ = x.shape
    shape = (tf.shape(x)[0], 2 * height + 1, 2 * width + 1, transposed.shape[2])
    spread = tf.nn.conv2d_transpose(x, transposed, shape, 2, "VALID")
    return tf.nn.avg_pool2d(spread, 2, 1, "VALID")  # a quarter of the window's sum


def _of_blocks(kernel):
    """The kernel of a convolution of stride 2 that gives 2x2 results in one: (4, 4, C, 4F)."""
    shifted = [
        tf.pad(kernel, [[row, 1 - row], [column, 1 - column], [0, 0], [0, 0]])
        for row in (0, 1)
        for column in (0, 1)
    ]
    return tf.concat(shifted, axis=-1)


def _convolve_patches(x, kernel):
    """The plain convolution as one product: what the kernel's positions meet is put side by side."""
    _, height, width, channels = x.shape
    padded = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
    patches = [
        padded[:, row : row + height, column : column + width] for row in range(3) for column in range(3)
    ]
    return tf.tensordot(tf.concat(patches, axis=-1), tf.reshape(kernel, (9 * channels, -1)), axes=1)


def _products(x, kernel, turned: bool = False):
    """x times the kernel's matrices: (B, H, W, C) and (3, 3, C, F) -> (3, 3, B, H, W, F), rows first.

    `turned`: the kernel is (3, 3, F, C).
    """
    _, height, width, channels = x.shape
    matrices = tf.reshape(kernel, (9, *kernel.shape[2:]))
    products = tf.matmul(tf.reshape(x, (1, -1, channels)), matrices, transpose_b=turned)
    return tf.reshape(products, (3, 3, -1, height, width, products.shape[-1]))


def _pad(x, axis: int, before: int, after: int):
    paddings = [[0, 0] for _ in x.shape]
    paddings[axis] = [before, after]
    return tf.pad(x, paddings)


def _spread_products(products):
    """The convolution of the upsampled map, from `_products` of the map: (B, 2H, 2W, F)."""
    _, _, _, height, width, filters = products.shape
    rows = _spread_and_sum(products, axis=2)  # (3, B, H, 2, W, F)
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
    """`convolve_downsample`, the nine values that each kernel position meets side by side in one matrix."""
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
