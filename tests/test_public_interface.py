"""`import sagan_tf`: quick, without TensorFlow, and with every public name."""

import subprocess
import sys

import pytest

import sagan_tf
from tests.conftest import ROOT

IMPORT = """
import sys, time
start = time.process_time()
import sagan_tf
print(time.process_time() - start, sorted({"tensorflow", "keras", "numpy"} & set(sys.modules)))
"""


def test_importing_is_quick_and_imports_no_tensorflow():
    run = subprocess.run([sys.executable, "-c", IMPORT], cwd=ROOT, capture_output=True, text=True, check=True)
    seconds, _, modules = run.stdout.partition(" ")
    assert modules.strip() == "[]"
    assert float(seconds) < 0.1  # of the processor's time, which other processes do not add to


def test_every_public_name_is_there():
    for name in sagan_tf.__all__:
        assert getattr(sagan_tf, name) is not None and name in dir(sagan_tf)
    from sagan_tf import SelfAttention, evaluate, layers, train

    assert SelfAttention is layers.SelfAttention
    assert callable(train) and callable(evaluate) and train.main
    missing = set(layers.__all__) - set(sagan_tf.__all__)
    assert missing == {"ATTENTION_FORMS", "SpectrallyNormalized"}
    with pytest.raises(AttributeError, match="has no attribute 'SelfAtention'"):
        _ = sagan_tf.SelfAtention


def test_it_is_typed():
    """Type checkers read the annotations of a package with this file; every public function has them."""
    assert (ROOT / "sagan_tf" / "py.typed").is_file()
    functions = [sagan_tf.load, sagan_tf.Model.sample, sagan_tf.Model.attention, sagan_tf.Model.export]
    functions += [sagan_tf.GAN.compile, sagan_tf.GAN.sample, sagan_tf.prepare]
    functions += [
        getattr(sagan_tf, name).call for name in sagan_tf.__all__ if name.startswith(("SN", "Self"))
    ]
    for function in functions:
        assert "return" in function.__annotations__, function
