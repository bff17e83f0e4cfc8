"""The command sagan_tf.reproduce: what it would run, its plan, its refusals; a killed sweep (slow)."""

import os
import signal
import subprocess
import sys
import time

import pytest

from sagan_tf import reproduce
from sagan_tf.reproduce import Options
from tests.commands import refused, run_command
from tests.conftest import ROOT

TINY = "--generator_channels=1\n--discriminator_channels=1\n--batch_size=2\n--precision=float32\n"


@pytest.fixture
def tiny(tmp_path):
    """A flagfile that makes runs small."""
    path = tmp_path / "tiny.cfg"
    path.write_text(TINY + "--checkpoint_every_steps=4\n--steps_per_call=2\n--summary_every_steps=4\n")
    return f"--overrides={path}"


@pytest.fixture
def command(capfd):
    """Runs the command in this process: exit code, standard output, standard error."""

    def call(*arguments):
        return run_command(reproduce, *arguments), *capfd.readouterr()

    return call


def refusal(command, *arguments):
    code, _, error = command(*arguments)
    return refused("reproduce", code, error)


def test_dry_run_prints_the_plan_and_writes_nothing(tmp_path, command, tiny, monkeypatch):
    monkeypatch.setattr(reproduce, "_try", lambda run: 10.0)  # steps per second
    output = tmp_path / "out"
    code, out, error = command(
        "--scale=digits",
        "--experiment=figure3,table1",
        f"--output={output}",
        tiny,
        "--steps=7200",
        "--dry_run",
    )
    assert code == 0, error
    assert not output.exists()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if "/seed_" in line]
    names = ["sn_d", "sn_gd", "sn_gd_ttur", "attention_16", "residual_16"]  # each once, all with seed 0 first
    assert [row[0] for row in rows] == [f"{name}/seed_{seed}" for seed in (0, 1) for name in names]
    assert {row[4] for row in rows} == {"7,200"} and {row[7] for row in rows} == {"not begun"}
    first = rows[0]
    assert first[6] == "0.2"  # 7,200 steps at 10 a second
    gflop = float(first[3])
    assert float(first[5]) == pytest.approx(gflop * 2 * 7200 / 1e3, rel=0.01)  # two images a step
    assert "measured: sn_d, 10 steps/s" in out


def test_runs_are_as_the_flagfiles_say_and_scored_alike(tmp_path):
    options = Options(experiment=("table1",), scale="small", output=str(tmp_path), steps=500)
    runs = reproduce._runs(options, reproduce.flagfiles(["table1"], "small"))
    assert len(runs) == 10 and {run.config.train_steps for run in runs} == {500}
    assert {run.config.evaluate_every_steps for run in runs} == {50}
    assert {run.config.on_divergence for run in runs} == {"ignore"}
    assert {run.config.evaluate_samples for run in runs} == {2000}
    by_name = {run.name: run.config for run in runs}
    assert by_name["attention_8/seed_1"].generator_attention == (8,)
    assert by_name["attention_8/seed_1"].seed == 1
    assert by_name["attention_8/seed_1"].workdir == str(tmp_path / "attention_8" / "seed_1")


def test_what_was_run_before_stays_in_the_report(tmp_path):
    for row in ("sn_d", "sn_gd", "sn_gd_ttur"):
        (tmp_path / row / "seed_5").mkdir(parents=True)
        (tmp_path / row / "seed_5" / "config.cfg").touch()
    options = Options(experiment=("table1",), scale="digits", output=str(tmp_path), seeds=(0,))
    assert reproduce._reported(options) == ["figure3", "table1"]
    runs = reproduce._runs(options, reproduce.flagfiles(["figure3", "table1"], "digits"))
    assert [run.name for run in runs] == [
        "sn_gd_ttur/seed_0",
        "attention_16/seed_0",
        "residual_16/seed_0",
        "sn_d/seed_5",
        "sn_gd/seed_5",
        "sn_gd_ttur/seed_5",
    ]


def test_a_run_is_as_far_as_its_metrics_say(tmp_path):
    (run,) = reproduce._runs(Options(output=str(tmp_path), scale="small", steps=5000, seeds=(0,)), ["sn_d"])
    scalars = {"step": 1200, "loss/discriminator": 1.0, "loss/generator": -0.25}
    line = reproduce._at(scalars | {"speed/steps_per_second": 2.5}, run)
    assert line == "step 1,200/5,000  D 1.000  G -0.250  2.5 steps/s"


def test_mistakes_are_one_line(tmp_path, command):
    output = f"--output={tmp_path / 'out'}"
    assert "--output is missing" in refusal(command)
    assert "not at --scale=digits; allowed are figure3, table1, all" in refusal(
        command, output, "--scale=digits", "--experiment=ratios"
    )
    line = refusal(command, output, "--scale=digits", "--overrides=nowhere.cfg")
    assert "--overrides=nowhere.cfg: no such file" in line
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    assert "holds other files" in refusal(command, output, "--scale=digits")
    assert sorted(os.listdir(tmp_path / "out")) == ["mine"]


def test_runs_that_cannot_be_run_are_told_of_before_the_first(tmp_path, command):
    (tmp_path / "images").mkdir()
    (tmp_path / "mine.cfg").write_text("--split=train\n--evaluate_reference=folder:gone\n")
    arguments = [f"--output={tmp_path / 'out'}", "--experiment=figure3,few_images"]
    images, overrides = f"--dataset=folder:{tmp_path}/images", f"--overrides={tmp_path}/mine.cfg"
    for more, expected in (
        (["--dataset=folder:gone"], "sn_d/seed_0 cannot be run: --dataset=folder:gone: no such folder"),
        ([images], "few_images/seed_0 cannot be run: --split=train[:1000]: folder:"),
        ([images, overrides], "sn_d/seed_0 cannot be run: --evaluate_reference=folder:gone: no such"),
    ):
        line = refusal(command, *arguments, *more)
        assert expected in line
    assert not (tmp_path / "out").exists()


def test_without_the_flagfiles_it_says_where_they_are(tmp_path, command, monkeypatch):
    monkeypatch.setattr(reproduce, "ROOT", str(tmp_path))
    assert "has no flags/" in refusal(command, "--output=out", "--scale=digits", "--dry_run")


@pytest.mark.slow
def test_a_killed_sweep_goes_on_and_a_failed_run_stops_nothing(tmp_path, tiny):
    """Real processes on digits."""
    classifier = tmp_path / "classifier"
    python = [sys.executable, "-m"]
    made = [*python, "sagan_tf.train_classifier", "--dataset=digits", "--epochs=1", f"--output={classifier}"]
    subprocess.run(made, check=True, cwd=ROOT)
    output = tmp_path / "out"
    command = [sys.executable, "-m", "sagan_tf.reproduce", "--scale=digits", "--steps=40"]
    command += [f"--output={output}", f"--inception={classifier}", tiny, "--seeds=0", "--num_samples=120"]
    command += ["--curve_samples=50", "--metrics=fid,agreement", "--curve_metrics=fid"]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in first.stdout:
        if "step" in line and "/40" in line:
            break
    deadline = time.monotonic() + 300
    while not list(output.glob("sn_d/seed_0/checkpoints/0*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    (output / "sn_gd").mkdir()
    (output / "sn_gd" / "seed_0").touch()  # in the place of a directory: the run cannot begin
    second = subprocess.run(command, capture_output=True, text=True)
    assert second.returncode == 1, second.stdout + second.stderr
    assert "sn_d/seed_0: at step" in second.stdout and "failed: sn_gd/seed_0" in second.stdout
    report = (output / "report.md").read_text()
    assert "- sn_gd/seed_0: failed after step 0 (exit code 2)" in report
    assert report.count("| 1 of 1 |") == 2 and "| 0 of 1 |" in report
    (output / "sn_gd" / "seed_0").unlink()
    third = subprocess.run([*command, "--retry_failed"], capture_output=True, text=True)
    assert third.returncode == 0, third.stdout + third.stderr
    assert (output / "report.md").read_text().count("| 1 of 1 |") == 3
