"""The plan: costs from the networks, hours from steps that were measured, the time to go."""

import json

import pytest

from sagan_tf.reproduction import plan
from sagan_tf.reproduction.plan import Clock, Rate, RunCost

KNOWN = {"sn_d": RunCost(1, 2, 3.0, 30.0), "sn_gd_ttur": RunCost(1, 2, 3.0, 10.0)}


def test_rate_is_of_all_the_work_and_its_time(make_sweep, tmp_path):
    sweep = make_sweep(seeds=(0,))
    assert plan.measured_rate(sweep, KNOWN) is None
    for row, speeds in {"sn_d": ((10, 2.0), (30, 4.0)), "sn_gd_ttur": ((10, 1.0),)}.items():
        (tmp_path / row / "seed_0").mkdir(parents=True)
        with open(tmp_path / row / "seed_0" / "metrics.jsonl", "w") as file:
            for step, speed in speeds:
                file.write(json.dumps({"step": step, "speed/steps_per_second": speed}) + "\n")
                file.write(json.dumps({"step": step, "scores/fid": 1.0}) + "\n")
    # 30 steps of 30 in 5 + 5 s, 10 of 10 in 10 s.
    assert plan.measured_rate(sweep, KNOWN).value == pytest.approx((900 + 100) / 20)


def test_a_step_is_measured_where_that_is_quick(make_sweep, monkeypatch):
    run = make_sweep().runs[0]
    monkeypatch.setattr(plan, "matrix_product_rate", lambda precision: 100.0)
    assert plan.try_rate(run, RunCost(1, 1, 1, 50.0), lambda run: 1.5) == Rate(
        75.0, "measured: sn_d, 1.5 steps/s"
    )
    failed = plan.try_rate(run, RunCost(1, 1, 1, 50.0), lambda run: None)
    assert failed.value == 100.0 and "could not be measured" in failed.source
    slow = plan.try_rate(run, RunCost(1, 1, 1, 101.0), lambda run: pytest.fail("measured"))
    assert slow.value == 100.0 and "too long to be measured" in slow.source


def test_table_counts_what_is_left(make_sweep, tmp_path):
    sweep = make_sweep(seeds=(0,), steps=36)
    (tmp_path / "sn_d" / "seed_0" / "checkpoints" / "00000018").mkdir(parents=True)
    text = plan.table(sweep, KNOWN, Rate(0.2, "guessed"))
    # 36 steps of 30 and 36 of 10 GFLOP; of the first half is done.
    assert "| sn_d/seed_0 | 1 | 2 | 3 | 36 | 1.08 | 1.5 | at step 18 |" in text
    assert "| sn_gd_ttur/seed_0 | 1 | 2 | 3 | 36 | 0.36 | 0.5 | not begun |" in text
    assert "1.44 TFLOP in all, 0.9 left: 1.25 hours of training" in text and "(guessed)" in text


def test_the_clock_goes_by_the_work_that_is_done(make_sweep, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(plan.time, "monotonic", lambda: now[0])
    sweep = make_sweep(seeds=(0,), steps=100)  # 3,000 and 1,000 GFLOP
    first, second = sweep.runs
    clock = Clock(sweep.runs, sweep, KNOWN)
    assert clock.left(first, 0) == ""
    now[0] += 100
    assert clock.left(first, 50) == "0:02:46"  # 1,500 in 100 s, 2,500 are left
    now[0] += 100
    clock.finished(first)
    assert clock.left(second, 50) == "0:00:28"
