"""What all tests share: TensorFlow on four logical CPU devices, and the project's shared data."""

import os
import pathlib

import pytest

from sagan_tf.system import runtime

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOGICAL_CPUS = 4


def _start_tensorflow():
    """Devices can be divided only before TensorFlow's first operation, and only once in a process."""
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # what the tests expect is a CPU's result
    runtime.import_tensorflow()
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * LOGICAL_CPUS)
    assert len(tf.config.list_logical_devices("CPU")) == LOGICAL_CPUS


_start_tensorflow()  # here, as other conftest.py files import TensorFlow before any hook of this one runs


@pytest.fixture(autouse=True)
def float32_for_auto(monkeypatch):
    """Makes --precision=auto float32 on every machine: tests are alike on all of them."""
    here = runtime.environment
    monkeypatch.setattr(runtime, "environment", lambda devices: here(devices)._replace(native_bfloat16=False))


@pytest.fixture(scope="session")
def shared():
    """Directory of data that lies beside the repository, not in it: `../shared`. Skips if absent."""
    path = ROOT.parent / "shared"
    if not path.is_dir():
        pytest.skip("there is no directory `shared` beside the repository")
    return path
