"""What all tests share: TensorFlow on four logical CPU devices, data, and a list of what could not run."""

import collections
import contextlib
import ctypes
import functools
import gc
import inspect
import os
import pathlib
import signal

import numpy as np
import pytest

from sagan_tf.system import runtime
from sagan_tf.system.processor import lacks_bfloat16, onednn_limit

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden" / "original_128_ch4_train.npz"
LOGICAL_CPUS = 4


def _start_tensorflow():
    """Devices can be divided only before TensorFlow's first operation, and only once in a process."""
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # what the tests expect is a CPU's result
    runtime.import_tensorflow()
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * LOGICAL_CPUS)
    assert len(tf.config.list_logical_devices("CPU")) == LOGICAL_CPUS


def _make_float32_of_auto():
    """--precision=auto is float32 in all tests of this process: they are alike on every machine."""

    @functools.wraps(environment_here)
    def environment(devices):
        return environment_here(devices)._replace(native_bfloat16=False)

    runtime.environment = environment


environment_here = getattr(runtime.environment, "__wrapped__", runtime.environment)
_make_float32_of_auto()
_start_tensorflow()  # here, as other conftest.py files import TensorFlow before any hook of this one runs


def pytest_collection_finish():
    """Imported objects stay: the garbage collector need not look at them again, and may run less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _skip_bfloat16():
    pytest.skip(f"bfloat16, which TensorFlow does not have with {onednn_limit()} on this processor")


def pytest_runtest_setup(item):
    """Skips tests in bfloat16 if oneDNN may not compute in it, because TensorFlow would end the process."""
    if lacks_bfloat16() and ("bfloat16" in item.nodeid or "bfloat16" in inspect.getsource(item.function)):
        _skip_bfloat16()


@pytest.fixture(scope="session", autouse=lacks_bfloat16())
def _no_layer_in_bfloat16():
    """Ends the tests that make such a layer without a word of it in their own text."""
    from keras import dtype_policies

    make = dtype_policies.DTypePolicy.__init__

    def __init__(self, name, *arguments, **more):
        if "bfloat16" in str(name):
            _skip_bfloat16()
        make(self, name, *arguments, **more)

    dtype_policies.DTypePolicy.__init__ = __init__


_GROWTH = 64 << 20  # bytes


def _resident():
    """Bytes of memory that this process occupies; infinite where the system does not say."""
    try:
        return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return float("inf")


@pytest.fixture(scope="module", autouse=True)
def _memory_is_given_back():
    """After a module that took much, empties the caches of Keras and TensorFlow, which hold traced graphs.

    Looking through all objects takes seconds, so not after every module.
    """
    global _resident_at_last
    yield
    if _resident() < _resident_at_last + _GROWTH:
        return
    import keras

    keras.backend.clear_session()
    gc.collect()
    if hasattr(ctypes.CDLL(None), "malloc_trim"):  # glibc keeps what was freed
        ctypes.CDLL(None).malloc_trim(0)
    _resident_at_last = _resident()


_resident_at_last = _resident()


@contextlib.contextmanager
def without_values():
    """A scope in which networks get variables with names and shapes, but no values: millions take long."""
    import keras

    with keras.StatelessScope(initialize_variables=False):
        yield
    # Otherwise Keras would give them values, gigabytes, at the end of the next such scope of anybody.
    keras.src.backend.common.global_state.set_global_attribute("uninitialized_variables", [])


@pytest.fixture(scope="session")
def shared():
    """Directory of data that lies beside the repository, not in it: `../shared`. Skips if absent."""
    path = ROOT.parent / "shared"
    if not path.is_dir():
        pytest.skip("the directory `shared` beside the repository, which holds data sets")
    return path


@pytest.fixture
def signals_are_heard():
    """As in a terminal. What a shell starts in the background ignores SIGINT, and under nohup SIGHUP too."""
    heard = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in heard.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def eagerly():
    """Runs functions without graphs, because tracing one takes longer than the few steps of a test."""
    with running_eagerly():
        yield


@contextlib.contextmanager
def running_eagerly():
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """A compiled run of 8 steps and what it printed, see tiny_run.py: to be looked at, or copied."""
    from tests import tiny_run

    workdir = tmp_path_factory.mktemp("run") / "digits"
    code, out, error = tiny_run.run(*tiny_run.TINY, f"--workdir={workdir}", "--train_steps=8")
    assert code == 0, error
    return workdir, out


@pytest.fixture(scope="session")
def golden():
    """A run of the original code: arrays by name, see golden/README.md."""
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


def pytest_terminal_summary(terminalreporter):
    """Names every test that could not run here, in red. The reason of a skip says what is missing."""
    missing = collections.Counter(
        (report.nodeid.partition("::")[0], report.longrepr[2].removeprefix("Skipped: "))
        for report in terminalreporter.getreports("skipped")
    )
    if missing:
        terminalreporter.section("NOT RUN", sep="=", red=True, bold=True)
    for (file, reason), count in missing.items():
        tests = "1 test" if count == 1 else f"{count} tests"
        terminalreporter.write_line(f"NOT RUN: {tests} of {file}, for want of {reason}", red=True, bold=True)
