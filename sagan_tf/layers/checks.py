"""Checks of a layer's inputs. Each raises a ValueError that names the value received."""

import keras
import tensorflow as tf


def check_input_shape(layer: keras.layers.Layer, shape, ranks: tuple[int, ...], meaning: str) -> None:
    """Raises ValueError if a shape has another rank than these, or unknown channels (the last axis)."""
    if len(shape) not in ranks or shape[-1] is None:
        raise ValueError(f"{layer.name}: input of shape {tuple(shape)}: must be {meaning}")


def checked_labels(labels, classes: int) -> tf.Tensor:
    """The labels as int32 or int64.

    Raises ValueError if they are missing, no whole numbers, or outside [0, classes), where their values are
    known. They are known in eager mode. A compiled function on a CPU raises InvalidArgumentError when it
    runs; on a GPU TensorFlow does not check.
    """
    if labels is None:
        raise ValueError(f"labels are missing: there are {classes} classes, so labels 0 to {classes - 1}")
    labels = tf.convert_to_tensor(labels)
    if not labels.dtype.is_integer:
        raise ValueError(f"labels of type {labels.dtype.name}: must be whole numbers, e.g. int32")
    labels = labels if labels.dtype in (tf.int32, tf.int64) else tf.cast(labels, tf.int32)
    known = tf.get_static_value(labels)
    if known is None:
        return labels
    wrong = known[(known < 0) | (known >= classes)]
    if wrong.size:
        raise ValueError(f"labels: {wrong.flat[0]} was given; allowed are 0 to {classes - 1}")
    return labels
