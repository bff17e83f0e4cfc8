"""The generator in other formats than TensorFlow's: a `.keras` file, and ONNX."""

import logging
import os

import tensorflow as tf

from sagan_tf.networks import Generator
from sagan_tf.system.errors import UserError

_ONNX_OPSET = 18


def write(kind: str, network: Generator, directory: str) -> None:
    """Writes `generator.keras` or `generator.onnx` into a directory. Raises UserError if that cannot be."""
    {"keras": _write_keras, "onnx": _write_onnx}[kind](network, os.path.join(directory, f"generator.{kind}"))


def _write_keras(network: Generator, path: str) -> None:
    """`keras.saving.load_model` reads the file after `import sagan_tf.networks`."""
    network.save(path)


def _write_onnx(network: Generator, path: str) -> None:
    """The model takes z float32 (n, z_dim) and labels int32 (n,); it gives images float32 (n, S, S, 3).

    An unconditional model takes no labels.
    """
    try:
        import tf2onnx
    except ImportError as error:
        raise UserError(
            f"cannot import tf2onnx ({error}); install what requirements-onnx.txt lists",
            option="also",
            value="onnx",
        ) from error
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    inputs = [tf.TensorSpec((None, network.z_dim), tf.float32, "z")]
    if network.classes:
        inputs.append(tf.TensorSpec((None,), tf.int32, "labels"))

    @tf.function(input_signature=inputs, autograph=False)
    def images(*inputs):
        return {"images": network(*inputs, training=False)}

    tf2onnx.convert.from_function(images, inputs, opset=_ONNX_OPSET, output_path=path)
