"""Self-Attention GAN (Zhang, Goodfellow, Metaxas, Odena 2018) in TensorFlow 2 and Keras 3.

The public interface:

  layers      SelfAttention, SpectralNorm, SNDense, SNConv2D, SNEmbedding, ConditionalBatchNormalization,
              LinearConditionalBatchNormalization, MatchedResidualBlock
  networks    Generator, Discriminator
  training    GAN (for `fit`), Config and train (as the command)
  a run       load, which gives a Model, and evaluate

Importing this package is cheap: TensorFlow is imported when one of these names is first used.
"""

import importlib
import sys
import types
import typing

from sagan_tf.system import installed, keras_settings

if typing.TYPE_CHECKING:
    from sagan_tf.layers import (
        ConditionalBatchNormalization,
        LinearConditionalBatchNormalization,
        MatchedResidualBlock,
        SelfAttention,
        SNConv2D,
        SNDense,
        SNEmbedding,
        SpectralNorm,
    )
    from sagan_tf.library.commands import evaluate, train
    from sagan_tf.library.gan import GAN
    from sagan_tf.library.model import Model, load
    from sagan_tf.networks import Discriminator, Generator
    from sagan_tf.runs.config import Config
    from sagan_tf.system.runtime import prepare

__version__ = "0.2.0"
__all__ = [
    "GAN",
    "ConditionalBatchNormalization",
    "Config",
    "Discriminator",
    "Generator",
    "LinearConditionalBatchNormalization",
    "MatchedResidualBlock",
    "Model",
    "SNConv2D",
    "SNDense",
    "SNEmbedding",
    "SelfAttention",
    "SpectralNorm",
    "evaluate",
    "load",
    "prepare",
    "train",
]

_LAYERS, _NETWORKS = "sagan_tf.layers", "sagan_tf.networks"
_HOMES = {
    "Config": "sagan_tf.runs.config",
    "Discriminator": _NETWORKS,
    "GAN": "sagan_tf.library.gan",
    "Generator": _NETWORKS,
    "Model": "sagan_tf.library.model",
    "load": "sagan_tf.library.model",
    "prepare": "sagan_tf.system.runtime",
}
_COMMANDS = ("evaluate", "train")  # modules with commands, which are called as functions too


class _Command(types.ModuleType):
    """A command's module that is a function too: `sagan_tf.train(config)`."""

    def __call__(self, *arguments, **options):
        functions = importlib.import_module("sagan_tf.library.commands")
        return getattr(functions, self.__name__.rpartition(".")[2])(*arguments, **options)


class _Package(types.ModuleType):
    """This package. Python sets the module of a command as an attribute of it, which can then be called."""

    def __setattr__(self, name: str, value) -> None:
        if name in _COMMANDS and isinstance(value, types.ModuleType):
            value.__class__ = _Command
        super().__setattr__(name, value)


def __getattr__(name: str):
    if name in _COMMANDS:
        return importlib.import_module(f"sagan_tf.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'sagan_tf' has no attribute {name!r}")
    if name not in ("prepare", "Config"):
        __getattr__("prepare")()
    value = getattr(importlib.import_module(_HOMES.get(name, _LAYERS)), name)
    setattr(sys.modules[__name__], name, value)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if sys.argv[:1] == ["-m"]:  # a command is about to begin: python -m sagan_tf.train
    installed.check()
keras_settings.choose_backend()
sys.modules[__name__].__class__ = _Package
