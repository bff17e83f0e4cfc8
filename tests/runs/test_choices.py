"""The choices of options are the keys of the tables they choose from. Options are read without TensorFlow."""

import dataclasses

from sagan_tf.layers import ATTENTION_FORMS
from sagan_tf.runs.config import Config
from sagan_tf.training.augment import POLICIES
from sagan_tf.training.losses import GRADIENT_PENALTIES, LOSSES


def choices(name):
    return next(field for field in dataclasses.fields(Config) if field.name == name).metadata["choices"]


def test_choices_are_the_keys_of_their_tables():
    assert choices("loss") == tuple(LOSSES)
    assert choices("gradient_penalty") == ("none", *GRADIENT_PENALTIES)
    assert choices("attention_form") == (*ATTENTION_FORMS, "residual")
    assert choices("augment") == POLICIES
