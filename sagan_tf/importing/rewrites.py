"""Rewrites of other projects' numbers into this one's: one function each.

Those under "Layouts" only move numbers, and do the same to Adam's moments. Those under "Values" change
them.
"""

import numpy as np

FIRST_POSITIONS = 16  # of the generator's first feature map, 4x4
BATCH_NORM_EPSILON = 1e-5  # of this project's layers

# Layouts.


def convolution(kernel):
    """(out, in, height, width) -> (height, width, in, out)."""
    return np.transpose(kernel, (2, 3, 1, 0))


def matrix(kernel):
    """(out, in), or a 1x1 convolution's (out, in, 1, 1) -> (in, out)."""
    if any(length != 1 for length in kernel.shape[2:]):
        raise ValueError("not a 1x1 convolution")
    return np.reshape(kernel, kernel.shape[:2]).T


def last_axes(kernel):
    """A 1x1 convolution's (1, 1, in, out) -> (in, out)."""
    return np.reshape(kernel, kernel.shape[-2:])


def row(vector):
    """Any vector -> (1, n)."""
    return np.reshape(vector, (1, -1))


def flat(array):
    """Any array with one long axis -> (n,)."""
    return np.reshape(array, (-1,))


def scalar(array):
    """One number of any shape -> ()."""
    return np.reshape(array, ())


def one_hot(table):
    """Weights of a one-hot class (channels, classes) -> a table (classes, channels)."""
    return np.transpose(table)


def positions_first(array):
    """The first dense layer's outputs along axis 0: from (channel, y, x) to (y, x, channel)."""
    order = np.arange(array.shape[0]).reshape(-1, 4, 4).transpose(1, 2, 0).ravel()
    return array[order]


def embedding_last(z_part: int):
    """Rows of a gain's matrix (in, out): from [embedding, part of z] to [part of z, embedding]."""

    def rewrite(kernel):
        return np.concatenate([kernel[-z_part:], kernel[:-z_part]])

    return rewrite


def reversed_outputs(array):
    """Of BGR images: the last axis reversed."""
    return array[..., ::-1]


def reversed_inputs(kernel):
    """Of BGR images: the inputs (height, width, in, out) reversed."""
    return kernel[:, :, ::-1]


def at_truncation(truncation: float):
    """Statistics for the truncations 0.02, 0.04, ..., 1 (50, n) -> (n,): those of one, by interpolation."""

    def rewrite(table):
        if table.shape[:1] != (50,):
            raise ValueError("statistics of 50 truncations are needed")
        position = truncation * 50 - 1
        below = min(int(position), 48)
        return table[below] + (position - below) * (table[below + 1] - table[below])

    return rewrite


# Values.


def added(offset: float):
    """Adds a number: the 1 of gains, or what batch norm's epsilon is larger than this project's."""

    def rewrite(array):
        return array + np.float32(offset)

    return rewrite


def sigma_of_uv(kernel, u, v, *, channels_last: bool) -> float:
    """What PyTorch's spectral normalization divides by at inference: u W v, both as they are stored.

    Args:
      kernel: (out, ...), as PyTorch has it.
      u, v: (out,), (n,).
      channels_last: whether v runs over (height, width, in) instead of (in, height, width).
    """
    kernel = kernel.astype(np.float64)
    if channels_last and kernel.ndim == 4:
        kernel = np.transpose(kernel, (0, 2, 3, 1))
    return float(u.ravel() @ (kernel.reshape(len(kernel), -1) @ v.ravel()))


def sigma_of_u0(matrix_in_out, u0, epsilon: float) -> float:
    """Sigma after one power iteration from u0, whose norms have `epsilon` added (DeepMind's BigGAN)."""
    w, u = matrix_in_out.astype(np.float64), u0.ravel().astype(np.float64)
    v = w @ u
    v /= np.linalg.norm(v) + epsilon
    u = v @ w
    u /= np.linalg.norm(u) + epsilon
    return float(v @ w @ u)


def u_for_sigma(matrix_in_out, sigma: float) -> tuple[np.ndarray, float]:
    """The u from which this project's one power iteration gives a wanted sigma.

    With singular triplets 1 and k, s1 >= sigma > sk, u is along cos(t) / s1 u1 + sin(t) / sk uk, where
    sin(t)^2 = (s1^2 - sigma^2) / (s1^2 - sk^2): then v is cos(t) v1 + sin(t) vk and |v W| is sigma.

    Args:
      matrix_in_out: the kernel as a matrix (fan_in, outputs).
      sigma: positive.

    Returns:
      u, float32 (1, outputs), and the sigma that it gives. Where no mixture gives the one wanted, it
      is the nearest singular value.
    """
    s, u = _right_vectors(matrix_in_out.astype(np.float64))
    below = int(np.searchsorted(-s, -sigma, side="right"))  # the first sk that is smaller
    if below == 0 or sigma >= s[0]:
        return u[:1].astype(np.float32), float(s[0])
    if below == len(s):
        return u[-1:].astype(np.float32), float(s[-1])
    sine = np.sqrt((s[0] ** 2 - sigma**2) / (s[0] ** 2 - s[below] ** 2))
    mixed = np.sqrt(1 - sine**2) / s[0] * u[0] + sine / s[below] * u[below]
    return (mixed / np.linalg.norm(mixed))[None].astype(np.float32), sigma


def _right_vectors(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Singular values, largest first, and right singular vectors (k, outputs); zero values left out."""
    tall = w.shape[0] >= w.shape[1]
    squares, vectors = np.linalg.eigh(w.T @ w if tall else w @ w.T)
    s = np.sqrt(np.maximum(squares[::-1], 0.0))
    kept = max(1, int(np.sum(s > 1e-6 * s[0])))
    s, vectors = s[:kept], vectors[:, ::-1][:, :kept].T
    if not tall:
        vectors = vectors @ w / np.maximum(s, 1e-300)[:, None]
    return s, vectors
