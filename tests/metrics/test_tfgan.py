"""TF-GAN's evaluation code can be had although TF-GAN itself cannot be imported."""

import subprocess
import sys

from sagan_tf.evaluate import INCEPTION
from sagan_tf.metrics import tfgan


def _run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


def test_functions_are_there():
    evaluation = tfgan.evaluation()
    assert evaluation.INCEPTION_DEFAULT_IMAGE_SIZE == 299
    assert (evaluation.INCEPTION_OUTPUT, evaluation.INCEPTION_FINAL_POOL) == ("logits", "pool_3")
    assert evaluation is tfgan.evaluation()
    assert evaluation.INCEPTION_TFHUB == INCEPTION


def test_is_still_needed():
    """If this fails, TF-GAN imports again and `tfgan.py` can go."""
    result = _run("import tensorflow_gan")
    assert result.returncode != 0 and "estimator" in result.stderr


def test_missing_package_is_named():
    code = (
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'tensorflow_gan' else find(name, *rest)\n"
        "from sagan_tf.metrics import tfgan\n"
        "try: tfgan.evaluation()\n"
        "except ImportError as error: print(error)\n"
    )
    assert "pip install tensorflow-gan" in _run(code).stdout
