"""The two files that a TF Serving server is started with, and the commands that start it."""

import json
import os
import re
import shlex
import sys

from sagan_tf.system import files

MODELS_FILE = "models.config"
BATCHING_FILE = "batching.config"
_GRPC_PORT, _REST_PORT = 8500, 8501

_MODELS = """\
model_config_list {{
  config {{
    name: {name}
    base_path: {path}
    model_platform: "tensorflow"
  }}
}}
"""

# The server answers requests that arrive within a millisecond together, padded to the next allowed size. No
# row of an answer depends on another, but one bad request makes the server refuse the whole batch.
_BATCHING = """\
max_batch_size { value: 32 }
batch_timeout_micros { value: 1000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 4 }
allowed_batch_sizes: 1
allowed_batch_sizes: 2
allowed_batch_sizes: 4
allowed_batch_sizes: 8
allowed_batch_sizes: 16
allowed_batch_sizes: 32
"""


def write_server_files(export_dir: str, model_name: str) -> list[str]:
    """Writes those that are not there yet. What a user has changed stays; of this directory's old name not.

    There is a warning if a models.config that a user has changed does not name this directory.

    Args:
      export_dir: the directory. It may have been moved or copied since its files were written.
      model_name: the name that the model is served by.

    Returns:
      The paths written.
    """
    path = json.dumps(os.path.abspath(export_dir), ensure_ascii=False)  # quoted as text format has it
    texts = {MODELS_FILE: _MODELS.format(name=json.dumps(model_name), path=path), BATCHING_FILE: _BATCHING}
    written = []
    for name, text in texts.items():
        place = os.path.join(export_dir, name)
        if not os.path.exists(place) or (name == MODELS_FILE and _is_outdated(place, text)):
            files.write(place, text)
            written.append(place)
    return written


def _is_outdated(path: str, text: str) -> bool:
    """Whether a models.config is as it was written here, but for another name or place.

    It warns if the file has been changed since, and names another place than it should.
    """
    with open(path, encoding="utf-8", errors="replace") as file:
        found = file.read()
    quoted = r'"(?:[^"\\]|\\.)*"'
    pattern = re.escape(_MODELS.format(name="NAME", path="PATH"))
    if re.fullmatch(pattern.replace("NAME", quoted).replace("PATH", quoted), found):
        return found != text
    wanted = re.findall(f"(?:name|base_path): {quoted}", text)
    if not all(each in found for each in wanted):
        print(
            f"warning: {path} is not as it was written here and stays as it is; it does not hold"
            f" {' and '.join(wanted)}: make sure that it serves this directory, or remove it and export"
            " again",
            file=sys.stderr,
        )
    return False


def commands(export_dir: str) -> str:
    """The commands that serve a directory: one for the server, one for its container."""
    path = os.path.abspath(export_dir)
    arguments = [
        f"--model_config_file={shlex.quote(os.path.join(path, MODELS_FILE))}",
        "--enable_batching",
        f"--batching_parameters_file={shlex.quote(os.path.join(path, BATCHING_FILE))}",
    ]
    ports = f"--port={_GRPC_PORT} --rest_api_port={_REST_PORT}"
    mount = shlex.quote(f"type=bind,source={path},target={path},readonly")
    return (
        f"tensorflow_model_server {ports} {' '.join(arguments)}\n"
        f"docker run --rm -p {_GRPC_PORT}:{_GRPC_PORT} -p {_REST_PORT}:{_REST_PORT} --mount {mount}"
        f" tensorflow/serving {' '.join(arguments)}"
    )
