"""Asks a TensorFlow Serving server for pictures, by gRPC or by REST, and saves them."""

import base64
import binascii
import dataclasses
import http.client
import json
import os
import re
import sys
import urllib.error
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # where nothing is installed

from sagan_tf.system import (
    class_names,  # noqa: E402
    cli,  # noqa: E402
    files,  # noqa: E402
    runtime,  # noqa: E402
)
from sagan_tf.system.errors import UserError, naming, writing  # noqa: E402
from sagan_tf.system.options import option  # noqa: E402

_SIGNATURE, _OUTPUT = "png", "png_bytes"
_PNG = b"\x89PNG\r\n\x1a\n"
_PORTS = {"grpc": 8500, "rest": 8501}


@dataclasses.dataclass(frozen=True)
class Options:
    """Whom to ask, and for what."""

    server: str = option(
        "localhost",
        "HOST:PORT, or HOST for the ports 8500 (gRPC) and 8501 (REST).",
        section="Server",
    )
    protocol: str = option("grpc", "How to ask.", section="Server", choices=tuple(_PORTS))
    model_name: str = option("", "Name that the model is served by.", section="Server")
    model_version: int = option(0, "Its version; 0 for the newest.", section="Server", minimum=0)
    timeout_seconds: float = option(60.0, "How long to wait for an answer.", section="Server", minimum=0.001)

    classes: tuple[str, ...] = option(
        (),
        "Numbers of the classes, or with --class_file their names; empty for an unconditional model.",
        section="Pictures",
    )
    class_file: str = option("", "The export's assets/labels.txt.", section="Pictures", is_path=True)
    samples_per_class: int = option(1, "Pictures of each class.", section="Pictures", minimum=1)
    seed: int = option(
        0,
        "Seed of the first of a class; the others have the numbers that follow.",
        section="Pictures",
        minimum=0,
        maximum=2**62,
    )
    truncation: float = option(
        0.0, "z is drawn from [-t, t]; 0 for no truncation.", section="Pictures", minimum=0.0
    )
    batch_size: int = option(8, "Pictures that are asked for together.", section="Pictures", minimum=1)
    output: str = option("", "Folder for the pictures.", section="Pictures", is_path=True)

    def check(self) -> None:
        """Refuses what cannot work. Raises UserError."""
        if not self.model_name:
            raise UserError("--model_name is missing: it stands in the server's models.config")
        if not self.output:
            raise UserError("--output is missing: name a folder for the pictures")
        if not re.fullmatch(r"[^/\s]+?(:[0-9]+)?", self.server):
            raise UserError(f"--server={self.server}: allowed are HOST and HOST:PORT")

    @property
    def address(self) -> str:
        """Host and port."""
        has_port = re.search(":[0-9]+$", self.server)
        return self.server if has_port else f"{self.server}:{_PORTS[self.protocol]}"


def main(options: Options, given) -> int:
    """Asks and saves. Returns the exit code."""
    del given
    wanted = _wanted(options)  # rows of label, seed, path
    taken = [path for _, _, path in wanted if os.path.exists(path)]
    if taken:
        raise UserError(f"{taken[0]}: exists already; name another folder with --output")
    ask = {"grpc": _ask_grpc, "rest": _ask_rest}[options.protocol](options)
    for start in range(0, len(wanted), options.batch_size):
        rows = wanted[start : start + options.batch_size]
        inputs = {"seed": [seed for _, seed, _ in rows], "truncation": [options.truncation] * len(rows)}
        if options.classes:
            inputs["labels"] = [label for label, _, _ in rows]
        _save(ask(inputs), [path for _, _, path in rows], options)
        print(f"{start + len(rows)} of {len(wanted)} pictures", flush=True)
    if options.classes and not options.class_file:
        print(
            f"classes {', '.join(options.classes)}: taken as numbers of classes, from 0 in the order of"
            " assets/labels.txt, whatever the classes are called; with --class_file they are names"
        )
    print(f"saved in {options.output}")
    return 0


def _wanted(options: Options) -> list[tuple[int | None, int, str]]:
    """Label, seed and path of each picture."""
    with naming("class_file", options.class_file):
        names = class_names.read(options.class_file) if options.class_file else ()
    labels = [_label(text, names) for text in options.classes] or [None]
    seeds = range(options.seed, options.seed + options.samples_per_class)
    rows = []
    for label in dict.fromkeys(labels):
        for seed in seeds:
            name = f"{seed:06d}.png" if label is None else f"{label:04d}_{seed:06d}.png"
            rows.append((label, seed, os.path.join(options.output, name)))
    return rows


def _label(text: str, names: tuple[str, ...]) -> int:
    label = class_names.label_of(text, names)
    if label is None and not names and text.isdecimal() and int(text) < 2**31:
        label = int(text)
    if label is not None:
        return label
    where = "is not in --class_file" if names else "is not a number; names need --class_file"
    raise UserError(f"--classes={text}: {where}")


def _ask_grpc(options: Options):
    """A function that sends a request by gRPC and returns the PNG files."""
    runtime.import_tensorflow()
    import numpy as np

    try:
        import grpc
        from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
    except ImportError as error:
        raise UserError(
            f"--protocol=grpc: {error.name} is not installed; install requirements-serving.txt,"
            " or ask with --protocol=rest"
        ) from error
    import tensorflow as tf

    channel = grpc.insecure_channel(options.address, [("grpc.max_receive_message_length", -1)])
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    dtypes = {"labels": np.int32, "seed": np.int64, "truncation": np.float32}

    def ask(inputs):
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = options.model_name, _SIGNATURE
        if options.model_version:
            request.model_spec.version.value = options.model_version
        for name, values in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(np.array(values, dtypes[name])))
        try:
            response = stub.Predict(request, timeout=options.timeout_seconds)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                raise _late(options) from error
            if error.code() == grpc.StatusCode.UNAVAILABLE:
                raise _absent(options, error.details()) from error
            raise _refused(options, f"{error.code().name}: {error.details()}") from error
        return list(response.outputs[_OUTPUT].string_val)

    return ask


def _ask_rest(options: Options):
    """A function that sends a request by REST and returns the PNG files."""
    version = f"/versions/{options.model_version}" if options.model_version else ""
    url = f"http://{options.address}/v1/models/{options.model_name}{version}:predict"

    def ask(inputs):
        body = json.dumps({"signature_name": _SIGNATURE, "inputs": inputs}).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=options.timeout_seconds) as response:
                outputs = json.load(response)["outputs"]
            return [base64.b64decode(item["b64"], validate=True) for item in outputs]
        except urllib.error.HTTPError as error:
            raise _refused(options, f"{error.code} {_reason(error)}") from error
        except TimeoutError as error:
            raise _late(options) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise _late(options) from error
            raise _absent(options, reason) from error
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise UserError(f"--server={options.server}: answers, but not as TensorFlow Serving") from error

    return ask


def _reason(error: urllib.error.HTTPError) -> str:
    """What the server says in the body of an error."""
    text = error.read().decode(errors="replace")
    try:
        return json.loads(text)["error"]
    except (KeyError, TypeError, ValueError):
        return text[:500]


def _late(options: Options) -> UserError:
    return UserError(
        f"--timeout_seconds={options.timeout_seconds:g}: {options.address} has not answered by then;"
        " a smaller --batch_size takes less time"
    )


def _absent(options: Options, reason) -> UserError:
    return UserError(f"--server={options.server}: no answer at {options.address} ({_one_line(reason)})")


def _refused(options: Options, reason) -> UserError:
    return UserError(f"{options.address} refuses the request: {_one_line(reason)}")


def _one_line(text) -> str:
    return " ".join(str(text).split())


def _save(pictures: list[bytes], paths: list[str], options: Options) -> None:
    if len(pictures) != len(paths) or not all(picture.startswith(_PNG) for picture in pictures):
        raise UserError(f"--model_name={options.model_name}: its signature {_SIGNATURE} yields no PNG files")
    with writing("output", options.output):
        os.makedirs(options.output, exist_ok=True)
        for picture, path in zip(pictures, paths, strict=True):
            files.write(path, picture)


if __name__ == "__main__":
    cli.run(main, Options, __doc__, program="tools/serving_client", tensorflow=False)
