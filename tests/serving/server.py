"""Stand-ins for TensorFlow Serving, in tests only: its gRPC PredictionService and its REST interface.

The messages are the real ones, and the SavedModel runs as it does in TensorFlow Serving: loaded into a C++
session, which is fed without the checks that Python's own `Session.run` adds.
"""

import base64
import concurrent.futures
import contextlib
import http.server
import json
import pathlib
import re
import threading

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.python.client import pywrap_tf_session
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

HOST = "127.0.0.1"


class Refusal(Exception):
    """An error that goes to the client: a gRPC status code and a text."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


class Servable:
    """The newest version of a model."""

    def __init__(self, export_dir, name):
        self.name, self.delay = name, threading.Event()
        self.delay.set()  # cleared, no request is answered
        self.version = max(
            int(path.name) for path in pathlib.Path(export_dir).glob("[0-9]*") if path.is_dir()
        )
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        with self.session.graph.as_default():
            path = str(pathlib.Path(export_dir) / str(self.version))
            meta = tf.compat.v1.saved_model.load(self.session, ["serve"], path)
        self.signatures = meta.signature_def

    def predict(self, name, version, signature, inputs):
        """Outputs by name. Refuses what TensorFlow Serving refuses, before the session and by it."""
        self.delay.wait(20)
        if name != self.name or version not in (0, self.version):
            raise Refusal(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {name}, {version}")
        if signature not in self.signatures:
            raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, f"Serving signature {signature} not found.")
        signature = self.signatures[signature]
        if set(inputs) != set(signature.inputs):
            sent, needed = sorted(inputs), sorted(signature.inputs)
            raise Refusal(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"input size does not match signature: sent {sent}, required {needed}",
            )
        try:
            return self._run({signature.inputs[key].name: inputs[key] for key in inputs}, signature.outputs)
        except tf.errors.InvalidArgumentError as error:
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, error.message) from error

    def _run(self, feeds, outputs):
        def output(name):
            return self.session.graph.get_tensor_by_name(name)._as_tf_output()

        values = pywrap_tf_session.TF_SessionRun_wrapper(
            self.session._session,
            None,
            {output(name): value for name, value in feeds.items()},
            [output(info.name) for info in outputs.values()],
            [],
            None,
        )
        return dict(zip(outputs, values, strict=True))


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, servable):
        self._servable = servable

    def Predict(self, request, context):  # the name is gRPC's
        spec = request.model_spec
        inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        signature = spec.signature_name or "serving_default"
        try:
            outputs = self._servable.predict(spec.name, spec.version.value, signature, inputs)
        except Refusal as error:
            context.abort(error.code, str(error))
        response = predict_pb2.PredictResponse()
        response.model_spec.CopyFrom(spec)
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return response


@contextlib.contextmanager
def grpc_server(servable):
    """Yields the address of a gRPC server."""
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_PredictionService(servable), server)
    port = server.add_insecure_port(f"{HOST}:0")
    server.start()
    try:
        yield f"{HOST}:{port}"
    finally:
        server.stop(None).wait()


class _RestHandler(http.server.BaseHTTPRequestHandler):
    servable = None  # set by `rest_server`

    def do_POST(self):  # the name is http.server's
        path = re.fullmatch(r"/v1/models/([^/:]+)(?:/versions/(\d+))?:predict", self.path)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            answer, code = self._predict(path[1], int(path[2] or 0), body), 200
        except Refusal as error:
            answer, code = {"error": str(error)}, 404 if error.code == grpc.StatusCode.NOT_FOUND else 400
        with contextlib.suppress(BrokenPipeError):  # the client may have given up
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

    def _predict(self, name, version, body):
        """The row format (`instances`, `predictions`) and the columnar one (`inputs`, `outputs`)."""
        signature = body.get("signature_name", "serving_default")
        columns = body.get("inputs")
        if columns is None:
            rows = body["instances"]
            columns = {key: [row[key] for row in rows] for key in rows[0]}
        infos = self.servable.signatures[signature].inputs
        inputs = {
            key: np.array(value, tf.as_dtype(infos[key].dtype).as_numpy_dtype if key in infos else None)
            for key, value in columns.items()
        }
        outputs = self.servable.predict(name, version, signature, inputs)
        outputs = {key: _as_json(key, value) for key, value in outputs.items()}
        (single, *more) = outputs.values()
        if "inputs" in body:
            return {"outputs": outputs if more else single}
        rows = [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]
        return {"predictions": rows if more else single}

    def log_message(self, *_):
        pass


def _as_json(name, value):
    if value.dtype == object and name.endswith("_bytes"):
        return [{"b64": base64.b64encode(item).decode()} for item in value]
    return value.tolist()


@contextlib.contextmanager
def rest_server(servable):
    """Yields the address of a REST server."""
    handler = type("Handler", (_RestHandler,), {"servable": servable})
    server = http.server.ThreadingHTTPServer((HOST, 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
