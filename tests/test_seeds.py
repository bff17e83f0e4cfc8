"""Every command's --seed ends where Keras's seeds end."""

import importlib

import keras
import pytest

from sagan_tf.runs.config import Config
from sagan_tf.system import options

COMMANDS = {
    "sagan_tf.attention": "seed",
    "sagan_tf.evaluate": "seed",
    "sagan_tf.sample": "seed",
    "sagan_tf.train_classifier": "seed",
    "tools.benchmark_digits": "seed",
    "tools.check_scores": "seed",
    "sagan_tf.make_reference": "seed",
    "sagan_tf.reproduce": "seeds",
}


def test_the_largest_seed_is_the_largest_that_keras_takes():
    keras.utils.set_random_seed(options.MAX_SEED)
    with pytest.raises(ValueError):
        keras.utils.set_random_seed(options.MAX_SEED + 1)


@pytest.mark.parametrize("command", ["sagan_tf.train", *COMMANDS])
def test_larger_seeds_are_refused(command):
    cls = Config if command == "sagan_tf.train" else importlib.import_module(command).Options
    name = COMMANDS.get(command, "seed")
    with pytest.raises(options.UserError, match=f"^--{name}=4294967296: must be at most 4294967295$"):
        options.parse(cls, [f"--{name}=4294967296"])
