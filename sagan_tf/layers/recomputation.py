"""Layers whose values are computed again for the gradient instead of being kept (Chen et al. 2016)."""

import keras
import tensorflow as tf


def recompute(layer, inputs, *arguments, **keywords):
    """`layer(inputs, *arguments, **keywords)` that keeps its inputs and variables only.

    The second pass sees the variables as the first one did, and stores nothing: u and moving averages
    move once.

    Args:
      layer: a built layer.
      inputs: tensor with regard to which the layer is differentiated.
      arguments, keywords: its other arguments, not differentiated.

    Returns: what the layer returns, one tensor.
    """
    variables = layer.variables

    def call(inputs, values):
        with keras.StatelessScope(list(zip(variables, values, strict=True))) as scope:
            outputs = layer(inputs, *arguments, **keywords)
        return outputs, [scope.get_current_value(variable) for variable in variables]

    @tf.custom_gradient
    def run(inputs, *values):
        outputs, after = call(inputs, values)
        moved = [index for index, value in enumerate(values) if after[index] is not value]

        def gradient(upstream, *_):
            # Tied to the upstream gradient, so that it is not done early, or merged with the first pass.
            with tf.control_dependencies([upstream]):
                again = [tf.identity(value) for value in (inputs, *values)]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(again)
                outputs, _ = call(again[0], again[1:])
            return tape.gradient(outputs, again, output_gradients=upstream)

        targets.extend(variables[index] for index in moved)
        return (outputs, *(tf.stop_gradient(after[index]) for index in moved)), gradient

    targets = []
    outputs, *moved = run(inputs, *[tf.convert_to_tensor(variable.value) for variable in variables])
    for variable, value in zip(targets, moved, strict=True):
        variable.assign(value)
    return outputs
