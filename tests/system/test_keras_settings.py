"""KERAS_BACKEND, TF_USE_LEGACY_KERAS and a keras.json change nothing that a command computes."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from sagan_tf.system import cli
from tests.conftest import ROOT
from tests.system import keras_outputs

ALL_WRONG = {"backend": "jax", "floatx": "float16", "epsilon": 0.1, "image_data_format": "channels_first"}


@pytest.fixture(scope="module")
def expected():
    found = {}

    def main(options, given):
        found.update(keras_outputs.outputs())

    with pytest.raises(SystemExit):
        cli.run(main, keras_outputs.Options, "", program="outputs", argv=[])
    assert {value.dtype for value in found.values()} == {np.dtype("float32")}
    return found


def outputs(folder, kind, **environment):
    """The outputs of a process that was started in this environment."""
    path = folder / "outputs.npz"
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    process = subprocess.run(
        [sys.executable, ROOT / "tests" / "system" / "keras_outputs.py", path, kind],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    return np.load(path)


@pytest.mark.parametrize(
    ("kind", "settings", "environment"),
    [
        ("command", ALL_WRONG, {"KERAS_BACKEND": "jax", "TF_USE_LEGACY_KERAS": "1"}),
        # The default dtype of layers in another program is that program's.
        ("library", ALL_WRONG | {"floatx": "float32"}, {}),
    ],
    ids=["keras.json and environment", "keras.json, library"],
)
def test_settings_change_nothing(tmp_path, expected, kind, settings, environment):
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    found = outputs(tmp_path, kind, KERAS_HOME=str(tmp_path), **environment)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


def test_layers_on_another_backend_are_one_clear_error():
    code = (
        "import sys, types\n"
        "keras = sys.modules['keras'] = types.ModuleType('keras')\n"  # stands for Keras on PyTorch
        "keras.config = types.SimpleNamespace(backend=lambda: 'torch')\n"
        "import sagan_tf.layers"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env={**os.environ}
    )
    last = process.stderr.splitlines()[-1]
    assert process.returncode == 1 and last.startswith("ImportError: sagan_tf needs Keras on TensorFlow")
    assert "'torch'" in last and "KERAS_BACKEND=tensorflow" in last
