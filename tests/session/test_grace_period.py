"""SIGTERM is heard, and the run saved, within the grace period: calls of several steps are short enough."""

import types

import numpy as np
import pytest

from sagan_tf.runs import objects
from sagan_tf.session.observer import Chief
from tests.tiny_run import PLAIN, reports, run, tensors

STEPS = ("--dataset=digits", "--steps_per_call=6", "--train_steps=18", "--summary_every_steps=6")
STEPS += ("--checkpoint_every_steps=6", "--sample_every_steps=100")


@pytest.fixture
def counts(monkeypatch):
    """The steps of every call."""
    counts, make = [], objects.make_step

    def make_counted(*arguments):
        train = make(*arguments)

        def counted(iterator, count):
            counts.append(int(count))
            return train(iterator, count)

        return counted

    monkeypatch.setattr(objects, "make_step", make_counted)
    return counts


def test_calls_are_short_where_saving_is_slow_and_the_numbers_are_the_same(counts, monkeypatch, tmp_path):
    assert run(*PLAIN, *STEPS, f"--workdir={tmp_path / 'a'}", "--grace_period=1000")[0] == 0
    assert counts == [6, 6, 6]
    counts.clear()
    measured = []
    slow = property(lambda self: 10 * bool(measured), lambda self, seconds: measured.append(seconds))
    monkeypatch.setattr(Chief, "save_seconds", slow)
    code, _, error = run(*PLAIN, *STEPS, f"--workdir={tmp_path / 'b'}", "--grace_period=1")
    assert code == 0 and counts == [6, 6] + 6 * [1]  # the first call compiles: only the second is measured
    assert len(measured) == 3 and min(measured) > 0
    assert error.count("--grace_period=1: a step and a save take 10 s here") == 1
    first, second = tensors(tmp_path / "a", 18), tensors(tmp_path / "b", 18)
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value, err_msg=name)
    for a, b in zip(reports(tmp_path / "a"), reports(tmp_path / "b"), strict=True):
        assert a["loss/discriminator"] == pytest.approx(b["loss/discriminator"], rel=1e-6)


def test_a_run_is_saved_before_it_is_scored():
    chief, order = Chief.__new__(Chief), []
    chief._watch = types.SimpleNamespace(weights=lambda step: None)
    chief._scores = lambda step: order.append("scored")
    chief.save = lambda step: order.append("saved")
    chief._score(3, {})
    assert order == ["saved", "scored"]
