"""Whether a run has ended for good."""

import dataclasses

import pytest

from sagan_tf.runs import run_end, run_files
from sagan_tf.runs.config import Config
from sagan_tf.session import workdir
from sagan_tf.system import json_lines
from sagan_tf.system.run_directory import RunFiles


@pytest.fixture
def run(tmp_path):
    """A directory of a run of 20 steps that stopped at step 10."""
    config = dataclasses.replace(Config(), workdir=str(tmp_path), train_steps=20)
    run_files.write_description(config, ("all",))
    (tmp_path / "checkpoints" / "00000010").mkdir(parents=True)
    return tmp_path


def _report(run, time):
    json_lines.append(RunFiles(str(run)).metrics, {"step": 12, "time": time})


def _diverge(run, time, **more):
    line = {"step": 12, "time": time, "reason": "the discriminator has won"}
    json_lines.append(RunFiles(str(run)).divergence, line | more)


def test_a_run_that_stopped_may_go_on(run):
    _report(run, 1.0)
    _diverge(run, 2.0, ignored=True)
    assert run_end.find(str(run)) == ""


def test_a_complete_run_has_ended(run):
    (run / "checkpoints" / "00000020").mkdir()
    assert run_end.find(str(run)) == "the run is complete at step 20"


def test_a_run_that_diverged_has_ended_unless_it_went_back_and_on(run):
    _report(run, 1.0)
    _diverge(run, 2.0)
    assert run_end.find(str(run)) == "the run diverged at step 12 (the discriminator has won)"
    _report(run, 3.0)
    assert run_end.find(str(run)) == ""


def test_a_run_that_is_being_trained_has_not_ended(run):
    _diverge(run, 2.0)
    with workdir.lock(str(run)):
        assert run_end.find(str(run)) == ""
    assert "diverged" in run_end.find(str(run))
