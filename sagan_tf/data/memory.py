"""Arrays whose memory TensorFlow takes over as it is."""

import math

import numpy as np

_ALIGNMENT = 64  # of what TensorFlow would otherwise copy


def aligned(shape: tuple[int, ...], dtype) -> np.ndarray:
    """An uninitialised array."""
    length = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = np.empty(length + _ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % _ALIGNMENT
    return buffer[start : start + length].view(dtype).reshape(shape)
