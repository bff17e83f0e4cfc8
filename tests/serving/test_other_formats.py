"""The generator as a .keras file and as ONNX, against the SavedModel of the same version."""

import os
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from tests.agreement import ROUNDING
from tests.conftest import ROOT
from tests.serving.conftest import CLASSES, run_export


@pytest.fixture(scope="module")
def exported(workdir, tmp_path_factory):
    """The directory of a version in all formats."""
    directory = tmp_path_factory.mktemp("all") / "faces"
    flags = [f"--workdir={workdir}", f"--export_dir={directory}", "--also=keras,onnx"]
    assert run_export(*flags) == 0
    return directory / "1"


@pytest.fixture(scope="module")
def served(exported):
    """The SavedModel's images, as a function of z and labels."""
    model = tf.saved_model.load(str(exported))
    return lambda *inputs: _served(model, *inputs)


def _served(model, z, labels=None):
    inputs = {"z": tf.constant(z)} | ({} if labels is None else {"labels": tf.constant(labels)})
    return model.signatures["serving_default"](**inputs)["images"].numpy()


def _inputs(rows):
    z = np.random.default_rng(rows).standard_normal((rows, 8)).astype(np.float32)
    return z, np.arange(rows, dtype=np.int32) % len(CLASSES)


def test_onnx_gives_the_images_of_the_savedmodel(exported, served):
    session = onnxruntime.InferenceSession(str(exported / "generator.onnx"))
    assert {i.name: (i.type, i.shape[1:]) for i in session.get_inputs()} == {
        "z": ("tensor(float)", [8]),
        "labels": ("tensor(int32)", []),
    }
    for rows in (1, 7, 64):
        z, labels = _inputs(rows)
        (images,) = session.run(["images"], {"z": z, "labels": labels})
        expected = served(z, labels)
        assert images.dtype == np.float32 and expected.std() > 0.05
        np.testing.assert_allclose(images, expected, rtol=0, atol=ROUNDING)


def test_onnx_of_an_unconditional_generator(unconditional_workdir, tmp_path):
    flags = [f"--workdir={unconditional_workdir}", f"--export_dir={tmp_path}/model", "--also=onnx"]
    assert run_export(*flags, "--nobake_spectral_norm") == 0
    session = onnxruntime.InferenceSession(f"{tmp_path}/model/1/generator.onnx")
    z, _ = _inputs(3)
    (images,) = session.run(None, {"z": z})
    expected = _served(tf.saved_model.load(f"{tmp_path}/model/1"), z)
    np.testing.assert_allclose(images, expected, rtol=0, atol=ROUNDING)
    assert not (tmp_path / "model" / "1" / "generator.keras").exists()


FRESH_PROCESS = """
import importlib.util, os, sys
import numpy as np
import tensorflow as tf
folder, exported, root = sys.argv[1:]
given = np.load(f"{folder}/given.npz")
assert importlib.util.find_spec("sagan_tf") is None
model = tf.saved_model.load(exported)
images = model.signatures["serving_default"](z=tf.constant(given["z"]), labels=tf.constant(given["labels"]))
np.save(f"{folder}/saved_model.npy", images["images"].numpy())
assert not [name for name in sys.modules if name.startswith("sagan_tf")]
sys.path.append(root)
import keras
import sagan_tf.networks
model = keras.saving.load_model(f"{exported}/generator.keras")
np.save(f"{folder}/keras.npy", model(given["z"], given["labels"]))
"""


def test_a_fresh_process_gives_the_same_images(exported, served, tmp_path):
    """From the SavedModel without this package, and from the .keras file with `sagan_tf.networks`."""
    z, labels = _inputs(7)
    np.savez(tmp_path / "given.npz", z=z, labels=labels)
    command = [sys.executable, "-I", "-c", FRESH_PROCESS, str(tmp_path), str(exported), str(ROOT)]  # isolated
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    for name in ("saved_model", "keras"):
        images = np.load(tmp_path / f"{name}.npy")
        np.testing.assert_allclose(images, served(z, labels), rtol=0, atol=ROUNDING)


def test_a_format_that_cannot_be_written_leaves_no_version(workdir, tmp_path, capfd, monkeypatch):
    flags = [f"--workdir={workdir}", f"--export_dir={tmp_path}/model"]
    assert run_export(*flags, "--also=keras", "--weights_dtype=float16") == 2
    assert "--also=keras: is in float32 only" in capfd.readouterr().err
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    assert run_export(*flags, "--also=onnx") == 2
    assert "install what requirements-onnx.txt lists" in capfd.readouterr().err
    assert not (tmp_path / "model" / "1").exists()
