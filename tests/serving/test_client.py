"""The client and the warm-up requests against gRPC and REST servers on 127.0.0.1, with the real messages."""

import contextlib
import json
import socket
import threading
import urllib.request

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format, unknown_fields
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2, prediction_service_pb2_grpc
from tensorflow_serving.config import model_server_config_pb2

from sagan_tf.system import cli
from tests.agreement import ROUNDING, assert_pictures_agree
from tests.conftest import ROOT
from tests.serving import server
from tools import serving_client

PROTOCOLS = ("grpc", "rest")


@pytest.fixture(scope="module")
def servable(model):
    return server.Servable(model, "faces")


@pytest.fixture(scope="module")
def addresses(servable):
    with server.grpc_server(servable) as by_grpc, server.rest_server(servable) as by_rest:
        yield {"grpc": by_grpc, "rest": by_rest}


@pytest.fixture(scope="module")
def stub(addresses):
    return prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(addresses["grpc"]))


@pytest.fixture
def client(capsys, tmp_path):
    """Runs the client; returns the exit code, standard output and standard error."""

    def call(*arguments, name="faces"):
        arguments = [f"--model_name={name}", f"--output={tmp_path / 'pictures'}", *arguments]
        with pytest.raises(SystemExit) as stop:
            cli.run(
                serving_client.main,
                serving_client.Options,
                "",
                program="client",
                argv=arguments,
            )
        out, error = capsys.readouterr()
        return stop.value.code, out, error

    return call


def _pictures(folder):
    return {path.name: tf.io.decode_png(path.read_bytes()).numpy() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pictures_are_those_of_the_model(protocol, addresses, model, client, tmp_path):
    code, out, error = client(
        f"--server={addresses[protocol]}",
        f"--protocol={protocol}",
        "--classes=three,1",
        f"--class_file={model / '1' / 'assets' / 'labels.txt'}",
        "--samples_per_class=3",
        "--seed=7",
        "--truncation=0.5",
        "--batch_size=4",
    )
    assert (code, error) == (0, "") and "6 of 6" in out
    pictures = _pictures(tmp_path / "pictures")
    names = [f"{label:04d}_{seed:06d}.png" for label in (1, 3) for seed in (7, 8, 9)]
    assert list(pictures) == names
    generate = tf.saved_model.load(str(model / "1")).signatures["generate"]
    expected = generate(
        labels=tf.constant([1, 1, 1, 3, 3, 3]),
        seed=tf.constant([7, 8, 9] * 2, tf.int64),
        truncation=tf.fill([6], 0.5),
    )
    found = np.stack([pictures[name] for name in names])
    assert_pictures_agree(found, expected["images_uint8"].numpy())


def test_unconditional_model_is_asked_without_classes(unconditional_model, client, tmp_path):
    servable = server.Servable(unconditional_model, "textures")
    with server.rest_server(servable) as address:
        arguments = f"--server={address}", "--protocol=rest", "--samples_per_class=2"
        assert client(*arguments, name="textures")[0] == 0
        code, _, error = client(*arguments, "--classes=1", "--seed=5", name="textures")
    assert list(_pictures(tmp_path / "pictures")) == ["000000.png", "000001.png"]
    assert code == 2 and "required ['seed', 'truncation']" in error


@contextlib.contextmanager
def _silent_server():
    """A server that takes connections and never answers."""
    with socket.create_server((server.HOST, 0)) as silent:
        yield f"{server.HOST}:{silent.getsockname()[1]}"


def _free_address():
    with socket.create_server((server.HOST, 0)) as closed:
        return f"{server.HOST}:{closed.getsockname()[1]}"


def _refusal(result):
    code, out, error = result
    assert (code, out) == (2, "") and error.startswith("client: error: ") and error.count("\n") == 1, error
    return error


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_goes_wrong_is_said_in_one_line(protocol, addresses, servable, client, tmp_path):
    by = f"--protocol={protocol}"
    here = (by, f"--server={addresses[protocol]}")
    nobody = _free_address()
    assert f"no answer at {nobody}" in _refusal(client(by, f"--server={nobody}", "--classes=0"))
    assert "labels: allowed are 0 to 4; given:] [5]" in _refusal(client(*here, "--classes=5"))
    assert "Servable not found" in _refusal(client(*here, "--classes=0", name="other"))
    assert "Servable not found" in _refusal(client(*here, "--classes=0", "--model_version=2"))
    assert "required ['labels'" in _refusal(client(*here))
    servable.delay.clear()
    try:
        late = _refusal(client(*here, "--classes=0", "--timeout_seconds=0.3"))
    finally:
        servable.delay.set()
    assert f"--timeout_seconds=0.3: {addresses[protocol]} has not answered" in late
    with _silent_server() as address:
        _refusal(client(by, f"--server={address}", "--classes=0", "--timeout_seconds=0.5"))
    assert not (tmp_path / "pictures").exists()


def test_answers_that_are_none_of_tensorflow_serving(client):
    handler = server._RestHandler
    answers = {b"<html>": "not as TensorFlow Serving", b'{"outputs": [{"b64": "QUJD"}]}': "no PNG"}
    for body, text in answers.items():

        class Other(handler):
            def do_POST(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)  # noqa: B023

        other = server.http.server.ThreadingHTTPServer((server.HOST, 0), Other)
        threading.Thread(target=other.handle_request).start()
        with contextlib.closing(other.socket):
            address = f"{server.HOST}:{other.server_port}"
            assert text in _refusal(client("--protocol=rest", f"--server={address}", "--classes=0"))


def test_mistakes_before_anything_is_asked(client, tmp_path):
    assert "--model_name is missing" in _refusal(client(name=""))
    assert "--classes=x: is not a number" in _refusal(client("--classes=x"))
    assert "--classes=9999999999:" in _refusal(client("--classes=9999999999"))
    assert "--class_file=/nowhere: /nowhere: cannot be read" in _refusal(
        client("--classes=x", "--class_file=/nowhere")
    )
    assert "--server=a b: allowed" in _refusal(client("--server=a b"))
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "0001_000000.png").touch()
    assert "0001_000000.png: exists already" in _refusal(client("--classes=0,1"))


def test_warm_up_requests_are_answered(model, stub):
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(model / "1/assets.extra/tf_serving_warmup_requests"))
    ]
    asked = set()
    for log in logs:
        assert log.WhichOneof("log_type") == "predict_log" and not len(unknown_fields.UnknownFieldSet(log))
        request = log.predict_log.request
        response = stub.Predict(request)
        (rows,) = {tensor.tensor_shape.dim[0].size for tensor in request.inputs.values()}
        assert {tensor.tensor_shape.dim[0].size for tensor in response.outputs.values()} == {rows}
        assert request.model_spec.name == "faces"
        asked.add((request.model_spec.signature_name, rows))
    names = ("serving_default", "generate", "png", "attention")
    assert len(logs) == 8 and asked == {(name, rows) for name in names for rows in (1, 3)}


BAD_REQUESTS = {
    "an unknown label": ({"labels": np.int32([1, 5])}, "labels: allowed are 0 to 4; given:] [1 5]"),
    "a negative label": ({"labels": np.int32([-1, 1])}, "labels: allowed are 0 to 4"),
    "labels for other rows": ({"labels": np.int32([1])}, "labels: must have as many rows as"),
    "labels with an axis more": ({"labels": np.int32([[1, 2]])}, "labels_.* [1,2] is not compatible"),
    "labels of another dtype": ({"labels": np.int64([1, 2])}, "Expects arg[0] to be int32 but int64"),
    "z too short": ({"z": np.zeros((2, 7), np.float32)}, "z_.* [2,7] is not compatible"),
    "z without rows": ({"z": np.zeros(8, np.float32)}, "z_.* [8] is not compatible"),
    "no row": ({"z": np.zeros((0, 8), np.float32), "labels": np.int32([])}, "z: must have at least one row"),
    "z of another dtype": ({"z": np.zeros((2, 8))}, "Expects arg[1] to be float but double"),
    "an input missing": ({"z": None}, "required ['labels', 'z']"),
    "negative truncation": ({"truncation": np.float32([0, -1])}, "truncation: must be a positive number"),
    "truncation of no number": ({"truncation": np.float32([0, np.nan])}, "truncation: must be a positive"),
    "one truncation for all": ({"truncation": np.float32(1)}, "truncation_.* [] is not compatible"),
    "one seed for all": ({"seed": np.int64([1])}, "must have as many rows as"),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_served_graph_refuses(name, stub):
    """The message is the graph's, but for dtypes, which the session compares before it runs the graph."""
    changes, expected = BAD_REQUESTS[name]
    inputs = {"labels": np.int32([1, 2])}
    if {"seed", "truncation"} & set(changes):
        signature = "generate"
        inputs |= {"seed": np.int64([1, 2]), "truncation": np.float32([0, 1])}
    else:
        signature = "serving_default"
        inputs["z"] = np.zeros((2, 8), np.float32)
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "faces", signature
    for key, value in (inputs | changes).items():
        if value is not None:
            request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    with pytest.raises(grpc.RpcError) as refused:
        stub.Predict(request)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    start, _, end = expected.rpartition(".*")
    assert start in refused.value.details() and end in refused.value.details()


def test_rest_rows(addresses):
    """The row format, and what JSON makes of each kind of output."""

    def ask(signature, rows):
        url = f"http://{addresses['rest']}/v1/models/faces/versions/1:predict"
        body = json.dumps({"signature_name": signature, "instances": rows}).encode()
        with urllib.request.urlopen(urllib.request.Request(url, body)) as response:
            return json.load(response)["predictions"]

    drawn = [{"labels": label, "seed": 3, "truncation": 0.0} for label in (0, 4)]
    assert np.shape(ask("generate", drawn)) == (2, 32, 32, 3)
    assert [list(row) for row in ask("png", drawn)] == [["b64"], ["b64"]]
    rows = [{"labels": 1, "z": [0.1] * 8}, {"labels": 2, "z": [0.2] * 8}]
    answer = ask("attention", rows)
    assert np.shape(answer[1]["images"]) == (32, 32, 3)
    np.testing.assert_allclose(np.sum(answer[1]["attention_16"], axis=-1), np.ones(256), atol=1e-5)
    np.testing.assert_allclose(ask("serving_default", rows)[0], answer[0]["images"], atol=ROUNDING)


def test_models_config_is_a_server_config(model):
    config = text_format.Parse(
        (model / "models.config").read_text(), model_server_config_pb2.ModelServerConfig()
    )
    (entry,) = config.model_config_list.config
    assert (entry.name, entry.base_path, entry.model_platform) == ("faces", str(model), "tensorflow")


def test_client_starts_without_tensorflow():
    source = (ROOT / "tools" / "serving_client.py").read_text()
    assert "\nimport tensorflow" not in source and "\nimport grpc" not in source


def test_numbers_without_a_class_file_are_said_to_be_numbers(addresses, client, tmp_path):
    """Classes that are called 0, 1, 10, 2, ... in that order: class number 2 is the one that is called 10."""
    server_of = f"--server={addresses['grpc']}"
    code, out, _ = client(server_of, "--classes=2,1")
    assert code == 0 and "classes 2, 1: taken as numbers of classes, from 0 in the order of" in out
    (tmp_path / "labels.txt").write_text("0\n1\n10\n2\n")
    code, out, _ = client(
        server_of, "--classes=2", f"--class_file={tmp_path}/labels.txt", f"--output={tmp_path}/named"
    )
    assert code == 0 and "taken as" not in out
    assert [path.name for path in (tmp_path / "named").iterdir()] == ["0003_000000.png"]
    refused = client(server_of, "--classes=4", f"--class_file={tmp_path}/labels.txt")
    assert "--classes=4: is not in --class_file" in _refusal(refused)
