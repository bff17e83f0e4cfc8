"""Layers whose values are computed again for the gradient instead of being kept (Chen et al. 2016)."""

import keras
import tensorflow as tf


def recompute(layer, *tensors, **keywords):
    """`layer(*tensors, **keywords)` that keeps these tensors and its variables only.

    The second pass sees the variables as the first one did, and stores nothing: u and moving averages
    move once.

    Args:
      layer: a built layer that returns one tensor.
      tensors: with regard to which it is differentiated where they are floats; None is handed on.
      keywords: its other arguments.

    Returns: what the layer returns.
    """
    variables = layer.variables
    given = [tensor for tensor in tensors if tensor is not None]

    def call(*values):
        tensors_left = iter(values)
        arguments = [tensor if tensor is None else next(tensors_left) for tensor in tensors]
        mapping = list(zip(variables, tensors_left, strict=True))
        with keras.StatelessScope(mapping) as scope:
            outputs = layer(*arguments, **keywords)
        return outputs, [scope.get_current_value(variable) for variable in variables]

    moved = []

    @tf.custom_gradient
    def run(*values):
        outputs, after = call(*values)
        before = values[len(given) :]
        moved.extend(index for index, value in enumerate(before) if after[index] is not value)

        def gradient(upstream, *_):
            # Depends on the upstream gradient, so it is neither done early nor merged with the first pass.
            with tf.control_dependencies([upstream]):
                again = [tf.identity(value) for value in values]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch([value for value in again if value.dtype.is_floating])
                outputs, _ = call(*again)
            return tape.gradient(outputs, again, output_gradients=upstream)

        return (outputs, *(tf.stop_gradient(after[index]) for index in moved)), gradient

    outputs, *after = run(*given, *[tf.convert_to_tensor(variable.value) for variable in variables])
    for index, value in zip(moved, after, strict=True):
        variables[index].assign(value)
    return outputs
