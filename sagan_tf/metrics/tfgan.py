"""TF-GAN's evaluation functions, imported without TF-GAN's own `__init__`. Only this file imports TF-GAN.

`import tensorflow_gan` fails: it uses `tf.estimator`, which TensorFlow 2.16 removed. The evaluation code
(`tensorflow_gan.python.eval`) does not use it. So its two parent packages are registered as empty modules
with only a path. Their `__init__` never runs, and the evaluation code is imported unchanged.

On Python 3.12 and later two of TF-GAN's requirements, tensorflow-probability and tensorflow-hub,
still import `distutils` and `pkg_resources`, which setuptools below version 81 provides.
"""

import contextlib
import functools
import importlib.metadata
import importlib.util
import logging
import os
import sys
import types

_PARENTS = ("tensorflow_gan", "tensorflow_gan.python")


@functools.cache
def evaluation() -> types.ModuleType:
    """The module `tensorflow_gan.python.eval`.

    Raises:
      ImportError: TF-GAN, or a package that it needs, is not installed.
    """
    spec = importlib.util.find_spec(_PARENTS[0])  # finds the folder without running its code
    if spec is None:
        raise ImportError("tensorflow-gan is not installed: pip install tensorflow-gan")
    folder = os.path.dirname(spec.origin)
    registered = [name for name in _PARENTS if name not in sys.modules]
    for name in registered:
        module = types.ModuleType(name)
        module.__path__ = [os.path.join(folder, *name.split(".")[1:])]
        sys.modules[name] = module
    try:
        return importlib.import_module("tensorflow_gan.python.eval")
    except BaseException:
        for name in registered:
            del sys.modules[name]
        raise


def version() -> str:
    """The name of the library with its version, for protocols."""
    return f"TF-GAN {importlib.metadata.version('tensorflow-gan')}"


@contextlib.contextmanager
def computing():
    """Scope for TF-GAN's functions of features and logits.

    They run on the CPU, as they take gigabytes, and a training may need the GPU's. TensorFlow does not
    complain about the deprecated arguments that TF-GAN gives.
    """
    import tensorflow as tf

    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with tf.device("CPU:0"):
            yield
    finally:
        logger.setLevel(level)
