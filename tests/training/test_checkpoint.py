"""Checkpoints: complete or absent, verified, the newest sound one is taken."""

import gc
import os

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.system.errors import UserError
from sagan_tf.training import checkpoint as checkpoint_module
from sagan_tf.training.checkpoint import Checkpoints, DamagedCheckpointError


def checkpoint(value: float) -> tf.train.Checkpoint:
    return tf.train.Checkpoint(weights=tf.Variable(np.full(100, value, np.float32)))


@pytest.fixture
def saved(tmp_path):
    checkpoints = Checkpoints(str(tmp_path / "checkpoints"))
    for step in (10, 20, 30):
        checkpoints.save(checkpoint(step), step)
    return checkpoints


def data_file(checkpoints, step):
    directory = checkpoints.path(step)
    return os.path.join(directory, next(name for name in os.listdir(directory) if ".data-" in name))


def damage(path, how):
    if how == "missing":
        os.remove(path)
        return
    with open(path, "rb") as file:
        content = bytearray(file.read())
    if how == "truncated":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2] ^= 1
    with open(path, "wb") as file:
        file.write(content)


def test_restores_what_was_saved(saved):
    target = checkpoint(0)
    saved.restore(target, 20)
    np.testing.assert_array_equal(target.weights.numpy(), 20.0)


@pytest.mark.parametrize("shapes", [{"weights": 7}, {"weights": 100, "restores": 1}, {"other": 100}], ids=str)
def test_other_variables_are_refused_in_one_line(saved, shapes):
    target = tf.train.Checkpoint(**{name: tf.Variable(tf.zeros(size)) for name, size in shapes.items()})
    with pytest.raises(UserError, match="00000030: does not hold the variables of this run") as info:
        saved.restore_newest(target)
    assert "\n" not in str(info.value)


def test_other_variables_do_not_make_hundreds_of_warnings(saved, caplog):
    """TensorFlow lists what it could not restore when the objects are deleted."""
    other = tf.train.Checkpoint(a=tf.Variable(tf.zeros((7, 7, 7))))
    with pytest.raises(UserError, match="config.cfg was changed"):
        saved.restore(other, saved.steps()[-1])
    del other
    gc.collect()
    assert not [record for record in caplog.records if record.name == "tensorflow"]


@pytest.mark.parametrize("how", ["missing", "truncated", "one bit flipped"])
def test_damaged_newest_falls_back_and_says_so(saved, how):
    damage(data_file(saved, 30), how)
    target, lines = checkpoint(0), []
    assert saved.restore_newest(target, lines.append) == 20
    np.testing.assert_array_equal(target.weights.numpy(), 20.0)
    assert len(lines) == 1 and "step 30 is damaged" in lines[0] and "state.data" in lines[0]


def test_missing_manifest_is_damage(saved):
    os.remove(os.path.join(saved.path(30), "manifest.json"))
    with pytest.raises(DamagedCheckpointError, match="manifest.json"):
        saved.verify(30)


@pytest.mark.parametrize(
    "text", ["", "[]", "3", "{}", '{"files": 3}', '{"files": []}', '{"files": {}}', '{"files": {"x": 1}}']
)
def test_malformed_manifest_is_damage(saved, text):
    with open(os.path.join(saved.path(30), "manifest.json"), "w") as file:
        file.write(text)
    with pytest.raises(DamagedCheckpointError, match="00000030"):
        saved.restore(checkpoint(0), 30)


@pytest.mark.parametrize("moment", ["_fingerprint", "verify"])
def test_deleted_while_it_is_read_is_damage(saved, monkeypatch, moment):
    """As by a training process, from which `evaluate --watch` reads: between two reads it is gone."""
    where = Checkpoints if moment == "verify" else checkpoint_module
    real = getattr(where, moment)

    def and_then_it_is_gone(*arguments):
        if moment == "verify":
            real(*arguments)
        saved.delete(30)
        if moment == "_fingerprint":
            return real(*arguments)

    monkeypatch.setattr(where, moment, and_then_it_is_gone)
    with pytest.raises(DamagedCheckpointError, match="00000030"):
        saved.restore(checkpoint(0), 30)


def test_half_written_checkpoint_is_none(saved):
    """What a kill during writing leaves behind is not taken for a checkpoint, and is overwritten later."""
    os.rename(saved.path(30), saved.path(30) + ".partial")
    assert saved.steps() == [10, 20]
    saved.save(checkpoint(31), 30)
    assert saved.steps() == [10, 20, 30]
    saved.verify(30)


def test_keeps_the_latest(tmp_path):
    checkpoints = Checkpoints(str(tmp_path), keep=2)
    for step in (1, 2, 3):
        checkpoints.save(checkpoint(step), step)
    assert checkpoints.steps() == [2, 3]


def test_keeps_multiples_of_a_step_beside_the_latest(tmp_path):
    checkpoints = Checkpoints(str(tmp_path), keep=1, keep_every=20)
    for step in (10, 20, 30, 40, 50):
        checkpoints.save(checkpoint(step), step)
    assert checkpoints.steps() == [20, 40, 50]


def test_no_checkpoint_yet(tmp_path):
    assert Checkpoints(str(tmp_path / "none")).restore_newest(checkpoint(0)) is None


def test_object_missing_from_checkpoint_is_an_error(saved):
    target = tf.train.Checkpoint(weights=tf.Variable(np.zeros(100, np.float32)), other=tf.Variable(1.0))
    with pytest.raises(UserError):
        saved.restore(target, 20)


def test_the_last_good_one_is_kept_while_the_run_may_have_gone_wrong(tmp_path):
    saved = Checkpoints(str(tmp_path), keep=2)
    state = checkpoint(1.0)
    for step in (10, 20, 30):
        saved.save(state, step, good_until={15})
    for step in (40, 50, 60):
        saved.save(state, step, good_until={35, 15, 5})
    assert saved.steps() == [10, 30, 50, 60]
    assert (saved.newest(35), saved.newest(60), saved.newest(5)) == (30, 60, None)
    saved.save(state, 70)  # all is well after all
    assert saved.steps() == [60, 70]


def test_checkpoints_set_aside_are_there_but_not_taken_up(tmp_path):
    saved = Checkpoints(str(tmp_path), keep=5)
    state = checkpoint(1.0)
    for step in (10, 20, 30):
        saved.save(state, step)
    assert saved.set_aside(after=10) == [20, 30]
    assert saved.restore_newest(state) == 10
    assert (tmp_path / "00000020.diverged" / "manifest.json").exists()
    saved.save(state, 20)  # the same step again, once the run has gone back
    assert saved.set_aside(after=10) == [20] and saved.steps() == [10]
