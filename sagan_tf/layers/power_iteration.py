"""The largest singular value of a kernel by power iteration, at most one of them in a training step."""

import typing

import tensorflow as tf

_EPSILON = 1e-12  # as the original's _l2normalize: added to the norm, not under the root
_READS = ("ReadVariableOp", "ResourceGather", "VariableShape")  # operations that leave a variable as it is
_COLLECTION = "sagan_tf/singular_vectors"


def _l2_normalize(vector):
    return vector / (tf.norm(vector) + _EPSILON)


def singular_vectors(matrix, u, iterations: int = 1):
    """The singular vectors of the largest singular value, estimated; constants for a gradient.

    Args:
      matrix: float tensor (fan_in, outputs).
      u: float tensor (1, outputs), the estimate of the right singular vector so far.
      iterations: how many times to apply the matrix and its transpose, at least 1.

    Returns:
      The new u, shape (1, outputs), and v, shape (1, fan_in), both of unit length.
    """
    constant = tf.stop_gradient(matrix)
    for _ in range(iterations):
        v = _l2_normalize(tf.matmul(u, constant, transpose_b=True))  # (1, fan_in)
        u = _l2_normalize(tf.matmul(v, constant))  # (1, outputs)
    return tf.stop_gradient(u), tf.stop_gradient(v)


def singular_value(matrix, u, v):
    """sigma = v W u^T, a scalar. Its gradient with respect to the matrix is v^T u."""
    return tf.reduce_sum(tf.matmul(v, matrix) * u)


def power_iteration(matrix, u, iterations: int = 1):
    """sigma and the new u; for the arguments see `singular_vectors`."""
    u, v = singular_vectors(matrix, u, iterations)
    return singular_value(matrix, u, v), u


class Vectors(typing.NamedTuple):
    """u and v of a kernel within one traced function.

    Attributes:
      kernel: what identifies the kernel in that function's graph.
      writes: how many operations had written the kernel by then.
      u, v: see `singular_vectors`.
    """

    kernel: tf.Tensor
    writes: int
    u: tf.Tensor
    v: tf.Tensor


def vectors_of_this_step(kernel) -> Vectors | None:
    """What `keep_for_this_step` kept in the function that is being traced, unless the kernel has changed.

    Args:
      kernel: the TensorFlow variable.
    """
    handle = _handle(kernel)
    if handle is None:
        return None
    for kept in reversed(_graph().get_collection_ref(_COLLECTION)):
        if kept.kernel is handle:  # a nested function has other handles than the one around it
            return kept if kept.writes == _count_writes(handle) else None
    return None


def keep_for_this_step(kernel, u, v) -> None:
    """Keeps u and v for later passes in the function that is being traced. In eager mode it does nothing."""
    handle = _handle(kernel)
    if handle is not None:
        _graph().get_collection_ref(_COLLECTION).append(Vectors(handle, _count_writes(handle), u, v))


def _graph():
    return tf.compat.v1.get_default_graph()


def _handle(kernel) -> tf.Tensor | None:
    """This replica's handle of the variable in the function that is being traced; None in eager mode."""
    if tf.executing_eagerly() or not hasattr(_graph(), "capture"):
        return None
    if tf.distribute.get_replica_context() is None or not hasattr(kernel, "handle"):
        return None
    return _graph().capture(kernel.handle)


def _count_writes(handle) -> int:
    # A nested function or a loop that takes the handle may write: it counts.
    return sum(operation.type not in _READS for operation in handle.consumers())
