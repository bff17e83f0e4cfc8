"""Learning rates against the formulas in plain Python, and as the optimizer really uses them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.training.optimizer import FusedAdam
from sagan_tf.training.schedules import Schedule


def expected(rate, warmup, decay, step):
    if step < warmup:
        return rate * (step + 1) / warmup
    return rate * max(decay - step, 0) / (decay - warmup) if decay else rate


@pytest.mark.parametrize(("warmup", "decay"), [(0, 0), (5, 0), (0, 20), (5, 20)])
@pytest.mark.parametrize("updates_per_step", [1, 3])
def test_rates(warmup, decay, updates_per_step):
    schedule = Schedule(4e-4, warmup, decay, updates_per_step)
    rates = [float(schedule(update)) for update in range(25 * updates_per_step)]
    wanted = [expected(4e-4, warmup, decay, u // updates_per_step) for u in range(25 * updates_per_step)]
    np.testing.assert_allclose(rates, wanted, rtol=1e-6, atol=0)
    same = Schedule.from_config(schedule.get_config())
    assert float(same(4)) == rates[4]


def test_the_optimizer_uses_them_in_the_compiled_step():
    """Adam with betas 0 moves every weight by the rate (times the gradient's sign)."""
    variable = keras.Variable([1.0])
    optimizer = FusedAdam(Schedule(0.5, 2, 6, 2), beta_1=0.0, beta_2=0.0, epsilon=0.0)
    optimizer.build([variable])

    @tf.function
    def train(count):
        for _ in tf.range(count):
            optimizer.apply([tf.constant([3.0])], [variable])

    moved, before = [], 1.0
    for _ in range(12):
        train(tf.constant(1))
        moved.append(before - float(variable.numpy()[0]))
        before = float(variable.numpy()[0])
    wanted = [expected(0.5, 2, 6, update // 2) for update in range(12)]
    np.testing.assert_allclose(moved, wanted, rtol=1e-5, atol=1e-6)


def test_warm_up_longer_than_the_run_is_refused():
    with pytest.raises(ValueError, match="warmup_steps=9"):
        Schedule(1.0, 9, 9)
