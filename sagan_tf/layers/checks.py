"""Checks of a layer's inputs. Each raises a ValueError that names the value received."""

import keras
import numpy as np
import tensorflow as tf


def check_input_shape(layer: keras.layers.Layer, shape, ranks: tuple[int, ...], meaning: str) -> None:
    """Raises ValueError if a shape has another rank than these, or unknown channels (the last axis)."""
    if len(shape) not in ranks or shape[-1] is None:
        raise ValueError(f"{layer.name}: input of shape {tuple(shape)}: must be {meaning}")


def check_labels(labels, classes: int) -> None:
    """Raises ValueError for labels that are missing or outside [0, classes), where their values are known.

    They are known in eager mode. A compiled function on a CPU raises InvalidArgumentError when it runs; on a
    GPU TensorFlow does not check.
    """
    if labels is None:
        raise ValueError(f"labels are missing: there are {classes} classes, so labels 0 to {classes - 1}")
    known = tf.get_static_value(labels) if tf.is_tensor(labels) else np.asarray(labels)
    if known is None:
        return
    wrong = known[(known < 0) | (known >= classes)]
    if wrong.size:
        raise ValueError(f"labels: {wrong.flat[0]} was given; allowed are 0 to {classes - 1}")
