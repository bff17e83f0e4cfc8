"""Keras as this project needs it, whatever KERAS_BACKEND and ~/.keras/keras.json say."""

import os
import sys

_BACKEND = "tensorflow"


def choose_backend() -> None:
    """Makes TensorFlow the backend of Keras. Called before either is imported: each imports the other.

    Raises:
      ImportError: Keras has been imported with another backend.
    """
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = _BACKEND
        return
    import keras

    if keras.config.backend() != _BACKEND:
        raise ImportError(
            f"sagan_tf needs Keras on TensorFlow, but Keras was imported with the backend"
            f" {keras.config.backend()!r}: import sagan_tf first, or set KERAS_BACKEND={_BACKEND}"
        )


def reset() -> None:
    """Gives Keras its own defaults back, which ~/.keras/keras.json may have changed.

    For commands only: other programs that use these layers choose their own defaults.
    """
    import keras

    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
