"""The configuration that a run goes on with: its falling learning rates never jump."""

import dataclasses

import pytest

from sagan_tf.runs import objects, run_files
from sagan_tf.session import workdir
from sagan_tf.system.errors import UserError
from sagan_tf.system.run_directory import CONFIG_FILE
from tests.training.game import TINY

LINEAR = dataclasses.replace(TINY, learning_rate_schedule="linear", train_steps=100)
GIVEN = {"learning_rate_schedule", "train_steps"}


def _begin(config, tmp_path):
    """What `train` does before a run's first step."""
    config = workdir.resolve(dataclasses.replace(config, workdir=str(tmp_path)), {"workdir"})
    run_files.write_description(config, ["one"])
    return config


def _rates(config):
    """The generator's, at some steps."""
    rate = objects._adam(config, 1.0, 1)._learning_rate
    return [float(rate(step)) for step in (0, 40, 50, 99)]


def _take_up(path, given=(), **options):
    config = dataclasses.replace(LINEAR, workdir=str(path), **options)
    return workdir.resolve(config, GIVEN | set(given))


def test_other_train_steps_change_no_rate(tmp_path):
    config = _begin(dataclasses.replace(LINEAR, decay_steps=200), tmp_path)
    wanted = _rates(config)
    assert wanted == pytest.approx([1.0, 0.8, 0.75, 0.505])
    for steps in (50, 100, 200):
        assert _rates(_take_up(tmp_path, train_steps=steps)) == wanted
    # A flagfile with the option's default is what the run began with, too.
    assert _rates(_take_up(tmp_path, {"decay_steps"}, train_steps=150)) == wanted


def test_another_best_metric_is_chosen_where_the_run_s_is_no_longer_measured(tmp_path):
    _begin(TINY, tmp_path)
    given = {"workdir", "evaluate_every_steps", "evaluate_metrics"}
    changes = {"workdir": str(tmp_path), "evaluate_every_steps": 5, "evaluate_metrics": ("is",)}
    assert workdir.resolve(dataclasses.replace(TINY, **changes), given).best_metric == "is"
    both = changes | {"evaluate_metrics": ("is", "fid")}
    assert workdir.resolve(dataclasses.replace(TINY, **both), given).best_metric == "fid"
    wrong = dataclasses.replace(TINY, **changes, best_metric="fid")
    with pytest.raises(UserError, match="^--best_metric=fid: "):
        workdir.resolve(wrong, given | {"best_metric"})


def test_by_default_they_fall_to_0_at_the_first_train_steps(tmp_path):
    wanted = _rates(_begin(LINEAR, tmp_path))
    assert wanted == pytest.approx([1.0, 0.6, 0.5, 0.01])
    assert _rates(_take_up(tmp_path, train_steps=50)) == wanted
    with pytest.raises(UserError, match="^--train_steps=101: .* after step 100,"):
        _take_up(tmp_path, train_steps=101)
    with pytest.raises(UserError, match="--decay_steps: '100' before, '300' now"):
        _take_up(tmp_path, {"decay_steps"}, train_steps=200, decay_steps=300)


def test_a_run_of_an_earlier_version_falls_as_it_did(tmp_path):
    _begin(LINEAR, tmp_path)
    path = tmp_path / CONFIG_FILE
    path.write_text("".join(line for line in path.open() if "decay_steps" not in line))
    assert run_files.read_config(str(tmp_path)).decay_steps == 100
    with pytest.raises(UserError, match="^--train_steps=1000: "):
        _take_up(tmp_path, train_steps=1000)


def test_a_fall_without_the_schedule_is_refused(tmp_path):
    config = dataclasses.replace(TINY, decay_steps=100)
    with pytest.raises(UserError, match="^--decay_steps=100: does nothing"):
        _begin(config, tmp_path)
