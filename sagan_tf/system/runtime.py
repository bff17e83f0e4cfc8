"""Prepares the process for TensorFlow, and says what the process then computes with.

`prepare` must run before TensorFlow is imported: TensorFlow reads some settings only then.

oneDNN: TensorFlow's packages for Linux carry it, and use it without being told only on newer processors
(x86 with AVX512_VNNI, AVX512_BF16 or AMX). Elsewhere convolutions are several times slower without it.

A GPU's memory is taken as it is needed, so a training and its evaluation can share one. By default
TensorFlow takes nearly all of it at once.

Memory: without oneDNN, TensorFlow's kernels take and return large pieces of memory in every operation. glibc
hands these back to the system, which fills them with zeros before they are used again. A process that keeps
them trains 2 times as fast and needs up to a sixth more memory. With oneDNN the gain is under 5%, and memory
is returned as always.
"""

import contextlib
import ctypes
import importlib.metadata
import os
import platform
import sys
import tempfile
import typing
import warnings

from sagan_tf.system.processor import Processor, onednn_limit, processor, usable_cpus

_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
_GROWTH = "TF_FORCE_GPU_ALLOW_GROWTH"
_NVIDIA_DEVICE = "/dev/nvidiactl"
# Of <malloc.h>. -1 stands for "never": memory above the heap's top is not returned.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_NATIVE_CAPABILITY = (8, 0)  # of NVIDIA's GPUs: from this on they multiply bfloat16 numbers themselves
_PACKAGES = ("tensorflow", "keras", "numpy")

_memory_is_kept = False


def prepare() -> None:
    """Sets what TensorFlow reads when it is imported; a user's own settings stay.

    In a process that has imported TensorFlow already it does nothing.

    Example:
      import sagan_tf
      sagan_tf.prepare()
      import tensorflow as tf
    """
    global _memory_is_kept
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault(_ONEDNN, "1")
    os.environ.setdefault(_GROWTH, "true")
    if os.environ[_ONEDNN] == "0" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        _memory_is_kept = bool(libc.mallopt(_M_TRIM_THRESHOLD, -1) and libc.mallopt(_M_MMAP_MAX, 0))


def import_tensorflow() -> None:
    """Prepares the process and imports TensorFlow without the notices that its C++ side always prints.

    They tell a user nothing to act on (which instructions the CPU has, that there is no
    GPU). If the import fails, or if there is a GPU that TensorFlow cannot use, they are printed after all.
    The same holds for what tensorflow-hub's import says of setuptools.
    """
    prepare()
    warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "tensorflow" in sys.modules or os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0":
        return
    try:
        captured = tempfile.TemporaryFile()
    except OSError:  # no directory for temporary files can be written: the notices are printed
        import tensorflow  # noqa: F401

        return
    with captured:
        _import_silently(captured)


def _import_silently(captured) -> None:
    """Imports TensorFlow with standard error going to a file; prints it after all if it may be useful."""
    sys.stderr.flush()
    saved = os.dup(2)
    useful = True
    try:
        os.dup2(captured.fileno(), 2)
        import tensorflow

        gpus = tensorflow.config.list_physical_devices("GPU")
        useful = not gpus and os.path.exists(_NVIDIA_DEVICE)
    finally:
        os.dup2(saved, 2)
        if useful:
            captured.seek(0)
            os.write(saved, captured.read())
        os.close(saved)


def set_intra_op_threads(count: int) -> None:
    """Sets how many CPU threads share one operation; 0 leaves it to TensorFlow.

    In a process that has computed something already it does nothing.
    """
    import tensorflow as tf

    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(count)


def uses_onednn() -> bool:
    """Whether TensorFlow computes with oneDNN on the CPU."""
    with contextlib.suppress(ImportError, AttributeError):  # not part of TensorFlow's public interface
        from tensorflow.python.util import _pywrap_util_port

        return bool(_pywrap_util_port.IsMklEnabled())
    return False


class Environment(typing.NamedTuple):
    """What a process computes with.

    Attributes:
      processor: the machine's.
      gpus: names of the GPUs in use; empty on the CPU.
      onednn: whether TensorFlow computes with oneDNN on the CPU.
      native_bfloat16: whether these devices multiply bfloat16 numbers themselves.
      memory_is_kept: whether freed memory stays with the process.
      intra_op_threads: CPU threads that share one operation; 0 if TensorFlow chooses.
    """

    processor: Processor
    gpus: tuple[str, ...]
    onednn: bool
    native_bfloat16: bool
    memory_is_kept: bool
    intra_op_threads: int

    def __str__(self) -> str:
        bfloat16 = "native" if self.native_bfloat16 else "emulated"
        if self.gpus:
            return f"{', '.join(self.gpus)}; bfloat16 {bfloat16}"
        parts = [self.processor.name, f"{usable_cpus()} cores", f"oneDNN {'on' if self.onednn else 'off'}"]
        parts += [f"{self.intra_op_threads} thread(s) an operation"] if self.intra_op_threads else []
        parts += [limit] if (limit := onednn_limit()) else []
        return "; ".join([*parts, f"bfloat16 {bfloat16}"])

    def record(self) -> dict:
        """The same as a dictionary for a file, with the versions of the packages."""
        from sagan_tf import __version__

        versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
        return {
            "processor": self.processor.name,
            "instructions": list(self.processor.instructions),
            "cores": usable_cpus(),
            "gpus": list(self.gpus),
            "onednn": self.onednn,
            "onednn_limit": onednn_limit(),
            "native_bfloat16": self.native_bfloat16,
            "memory_is_kept": self.memory_is_kept,
            "intra_op_threads": self.intra_op_threads,
            "system": platform.platform(),
            "python": platform.python_version(),
            "sagan_tf": __version__,
        } | versions


def environment(devices: typing.Sequence[str]) -> Environment:
    """What this process computes with on these devices.

    Args:
      devices: TensorFlow's names of them, e.g. `strategy.extended.worker_devices`.
    """
    import tensorflow as tf

    details = [_gpu_details(device) for device in devices if "GPU" in device]
    onednn = uses_onednn()
    if details:
        native = all(each.get("compute_capability", (0, 0)) >= _NATIVE_CAPABILITY for each in details)
    else:
        native = onednn and processor().has_bfloat16 and not onednn_limit()
    names = tuple(each.get("device_name", "GPU") for each in details)
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    return Environment(processor(), names, onednn, native, _memory_is_kept, threads)


def _gpu_details(device: str) -> dict:
    import tensorflow as tf

    number = int(device.rpartition(":")[2])
    return tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[number])
