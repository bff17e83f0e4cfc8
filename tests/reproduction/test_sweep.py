"""A sweep: what is missing is done once, failures stop nothing, Ctrl-C and kills lose nothing."""

import fcntl
import os
import subprocess
import sys
import time

import pytest

from sagan_tf.system import json_lines
from sagan_tf.system.errors import UserError


def ignore(line):
    del line


def perform_all(sweep, retry_failed=False):
    runs = sweep.missing(retry_failed)
    return {run.name: sweep.perform(run, ignore) for run in runs}


def commands(sweep, run=None):
    return [(line["run"], line["command"], line["exit"]) for line in sweep.records(run)]


def test_what_is_missing_is_done_and_nothing_twice(make_sweep):
    sweep = make_sweep()
    assert sweep.status(sweep.runs[0]) == "not begun"
    assert list(perform_all(sweep).values()) == [True] * 4
    names = [run.name for run in sweep.runs]
    assert names == ["sn_d/seed_0", "sn_gd_ttur/seed_0", "sn_d/seed_1", "sn_gd_ttur/seed_1"]
    assert commands(sweep) == [(name, what, 0) for name in names for what in ("train", "evaluate")]
    assert {sweep.status(run) for run in sweep.runs} == {"done"}
    assert perform_all(sweep) == {} and len(sweep.records()) == 8
    record = sweep.records(sweep.runs[0])[0]
    assert record["machine"] == "a machine" and record["seconds"] > 0
    assert record["last_line"] == "a line of text" and record["step"] == 4
    assert [line["step"] for line in sweep.guarded(sweep.runs[0])] == [3]
    assert sweep.guarded(sweep.runs[1]) == []
    json_lines.append(os.path.join(sweep.folder, "runs.jsonl"), record | {"exit": 1})
    assert sweep.failure(sweep.runs[0]) is None  # whatever was, it is done
    with open(os.path.join(sweep.folder, "sn_d", "seed_0.log")) as file:
        assert file.read().count("a line of text") == 4


def test_a_longer_sweep_goes_on_with_the_runs(make_sweep):
    perform_all(make_sweep(seeds=(0,)))
    longer = make_sweep(seeds=(0,), steps=6)
    assert {longer.status(run) for run in longer.runs} == {"at step 4"}
    seen = []
    longer.perform(longer.runs[0], seen.append)
    assert seen[-1]["step"] == 6 and {line["step"] for line in seen} <= {5, 6} and len(seen) <= 2
    assert seen[-1]["loss/discriminator"] == 1.0


def test_scores_at_another_step_or_of_other_samples_do_not_count(make_sweep):
    sweep = make_sweep(rows=("sn_d",), seeds=(0,))
    run = sweep.runs[0]
    sweep.perform(run, ignore)
    scores = os.path.join(run.config.workdir, "scores", "scores.jsonl")
    with open(scores) as file:
        text = file.read()
    for old, new in (
        ('"step": 4', '"step": 3'),
        ('"samples": 20', '"samples": 21'),
        ('"fid"', '"kid"'),
        ("EMA weights", "raw weights"),
        ('"precision": "float32"', '"precision": null'),
        ('"truncation": 0.0', '"truncation": 0.5'),
        ('"seed": 0', '"seed": 1'),
        ('"class_distribution": "uniform"', '"class_distribution": "balanced"'),
    ):
        with open(scores, "w") as file:
            file.write(text.replace(old, new))
        assert not sweep.is_done(run)
        assert sweep.is_trained(run)
    assert sweep.perform(run, ignore) and sweep.is_done(run)  # only scored again
    assert [what for _, what, _ in commands(sweep)] == ["train", "evaluate", "evaluate"]


def test_a_failed_run_does_not_stop_the_others(make_sweep, tmp_path):
    sweep = make_sweep()
    (tmp_path / "sn_d").mkdir()
    (tmp_path / "sn_d" / "fail").touch()
    assert list(perform_all(sweep).values()) == [False, True, False, True]
    failed = sweep.runs[0]
    assert sweep.failure(failed)["exit"] == 3
    assert sweep.failure(failed)["last_line"] == "train: diverged at step 3"
    assert sweep.status(failed) == "failed after step 2"
    assert sweep.failure(sweep.runs[1]) is None
    assert perform_all(sweep) == {}
    (tmp_path / "sn_d" / "fail").unlink()
    assert perform_all(sweep, retry_failed=True) == {"sn_d/seed_0": True, "sn_d/seed_1": True}
    assert {sweep.status(run) for run in sweep.runs} == {"done"}


def test_ctrl_c_lets_the_run_save_and_is_no_failure(make_sweep):
    sweep = make_sweep(rows=("sn_d",), seeds=(0,), steps=1000)
    run = sweep.runs[0]

    def interrupt(scalars):
        if scalars["step"] >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep.perform(run, interrupt)
    assert 3 <= sweep.step(run) < 1000 and sweep.failure(run) is None
    record = sweep.records(run)[-1]
    assert record["exit"] == 143 and record["last_line"] == "SIGTERM: saved"
    assert sweep.missing(retry_failed=False) == [run]


def test_runs_share_statistics_of_the_real_images(make_sweep, tmp_path):
    sweep = make_sweep(rows=("sn_d",))
    perform_all(sweep)
    inodes = {
        os.stat(tmp_path / place / "reference-abc.h5").st_ino
        for place in ("references", "sn_d/seed_0/scores", "sn_d/seed_1/scores")
    }
    assert len(inodes) == 1


def test_two_sweeps_do_not_work_in_one_directory(make_sweep):
    sweep, other = make_sweep(), make_sweep()
    with sweep.locked(), pytest.raises(UserError, match=f"another sweep \\(process {os.getpid()}\\)"):
        with other.locked():
            pass
    with other.locked():
        pass


def test_the_processes_of_a_sweep_hold_its_lock_on(make_sweep, tmp_path):
    sweep = make_sweep(rows=("sn_d",), seeds=(0,), steps=1000)
    with sweep.locked():
        process = sweep._process("train", sweep.runs[0].arguments)
    with process, open(tmp_path / "lock") as file:  # the sweep's own hold on it is gone
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process.kill()
        process.wait()
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_last_process_of_a_killed_sweep_is_waited_for(make_sweep, tmp_path, capfd):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / "lock").write_text(str(gone.pid))
    with open(tmp_path / "lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        child = subprocess.Popen(["sleep", "1"], pass_fds=(file.fileno(),))
    begin = time.monotonic()
    with make_sweep().locked():
        assert time.monotonic() - begin > 0.3
    child.wait()
    assert "waiting for the last process" in capfd.readouterr().out
