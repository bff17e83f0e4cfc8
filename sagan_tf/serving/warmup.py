"""Warm-up requests, which TF Serving sends to a new version before it serves users.

They are a TFRecord file of `tensorflow.serving.PredictionLog`. An export does not need the package with that
message, tensorflow-serving-api: the few fields are written here in protobuf's wire format (field number and
length before each part). The tests read them with that package.
"""

import os

import numpy as np
import tensorflow as tf

WARMUP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")
# Field numbers of the messages of tensorflow_serving/apis.
_LOG_PREDICT, _PREDICT_REQUEST = 6, 1  # PredictionLog.predict_log, PredictLog.request
_REQUEST_MODEL, _REQUEST_INPUTS = 1, 2  # PredictRequest.model_spec, .inputs (a map: entries of key and value)
_MODEL_NAME, _MODEL_SIGNATURE = 1, 3  # ModelSpec.name, .signature_name
_KEY, _VALUE = 1, 2


def write_warmup(directory: str, model_name: str, signatures: dict, batch_sizes, classes: int) -> None:
    """Writes a request for each signature and batch size.

    Args:
      directory: the SavedModel.
      model_name: the name that the model is served by.
      signatures: the `tf.TensorSpec`s of the inputs, by signature.
      batch_sizes: numbers of rows.
      classes: number of classes.
    """
    path = os.path.join(directory, WARMUP_FILE)
    os.makedirs(os.path.dirname(path))
    with tf.io.TFRecordWriter(path) as writer:
        for rows in batch_sizes:
            for signature, specs in signatures.items():
                inputs = {spec.name: _example(spec, rows, classes) for spec in specs}
                writer.write(_prediction_log(model_name, signature, inputs))


def _example(spec: tf.TensorSpec, rows: int, classes: int) -> np.ndarray:
    """An input with this number of rows, as a user might send it."""
    shape, dtype = (rows, *spec.shape[1:]), spec.dtype.as_numpy_dtype
    if spec.name == "z":
        return np.random.default_rng(0).standard_normal(shape).astype(dtype)
    if spec.name == "truncation":
        return np.ones(shape, dtype)
    return (np.arange(rows) % (classes if spec.name == "labels" else rows)).astype(dtype)


def _prediction_log(model_name: str, signature: str, inputs: dict[str, np.ndarray]) -> bytes:
    model = _field(_MODEL_NAME, model_name.encode()) + _field(_MODEL_SIGNATURE, signature.encode())
    request = _field(_REQUEST_MODEL, model)
    for name, value in inputs.items():
        tensor = tf.make_tensor_proto(value).SerializeToString()
        request += _field(_REQUEST_INPUTS, _field(_KEY, name.encode()) + _field(_VALUE, tensor))
    return _field(_LOG_PREDICT, _field(_PREDICT_REQUEST, request))


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits in each byte, lowest first; the eighth bit says that more bytes follow."""
    groups = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])
