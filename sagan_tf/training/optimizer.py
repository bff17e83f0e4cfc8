"""Adam as one operation for each variable."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("sagan_tf")
class FusedAdam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` with TensorFlow's fused kernel, which the original code used too.

    The formula (Kingma and Ba 2015, section 2, last paragraph) and the saved state are Keras's. Keras's own
    update takes a dozen operations for each variable, a large part of a small network's step.

    Args: as of `keras.optimizers.Adam`.

    Raises:
      ValueError: `amsgrad`, which the kernel does not have.
    """

    def __init__(self, *arguments, **named_arguments):
        super().__init__(*arguments, **named_arguments)
        if self.amsgrad:
            raise ValueError("amsgrad=True: TensorFlow has no fused kernel for it; use keras.optimizers.Adam")

    def update_step(self, gradient, variable, learning_rate):
        if variable.dtype not in ("float32", "float64"):  # the kernel would round beta2 = 0.999 to 1
            return super().update_step(gradient, variable, learning_rate)
        index = self._get_variable_index(variable)
        momentum, velocity = self._momentums[index].value, self._velocities[index].value
        steps = tf.cast(tf.convert_to_tensor(self.iterations) + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=momentum.handle,
            v=velocity.handle,
            beta1_power=tf.pow(tf.constant(self.beta_1, variable.dtype), steps),
            beta2_power=tf.pow(tf.constant(self.beta_2, variable.dtype), steps),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.convert_to_tensor(gradient),  # an embedding's gradient comes as slices
        )
