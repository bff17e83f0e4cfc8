"""Images that cannot be read within a call: the steps before are whole, and that step changes nothing."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.data.dataset import Dataset
from sagan_tf.runs import objects
from sagan_tf.system.errors import UserError
from tests.training.game import TINY, Trainer


class Failing:
    """The source of a dataset; reading it fails from a number of times on."""

    def __init__(self, source, reads):
        self._source, self._reads = source, reads
        self.labels, self.in_memory = source.labels, True

    def __len__(self):
        return len(self._source)

    def read(self, indices):
        self._reads -= 1
        if self._reads < 0:
            raise UserError("photo.png: No such file or directory")
        return self._source.read(indices)


def _variables(state):
    owners = (state.generator, state.discriminator, state.ema_generator)
    owners += (state.generator_optimizer, state.discriminator_optimizer)
    return [variable.value for owner in owners for variable in owner.variables] + [state.step]


def test_the_step_without_images_leaves_no_trace(digits):
    config = dataclasses.replace(TINY, generator_attention=(), discriminator_attention=(), batch_size=4)
    trainer = Trainer(digits, config)
    variables = _variables(trainer.state)
    after = [[variable.numpy() for variable in variables]]  # so many steps
    for _ in range(2):
        trainer.train(1)
        after.append([variable.numpy() for variable in variables])
    for variable, value in zip(variables, after[0], strict=True):
        variable.assign(value)
    broken = Dataset("digits", Failing(digits.source, 2), digits.class_names, 32)
    iterator = objects.make_iterator(config, broken, trainer.strategy, first_step=0)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"photo\.png"):
        trainer._train(iterator, tf.constant(5))
    assert "photo.png" in str(broken.failure)
    done = int(trainer.state.step.numpy())  # the third read is not always that of the third batch
    for variable, value in zip(variables, after[done], strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.name)
