"""The report: means over seeds, the paper's figures beside, failures, curves as data."""

import csv

import numpy as np
import pytest

from sagan_tf.reproduction import report
from sagan_tf.reproduction.experiments import EXPERIMENTS, PAPER, SCALES, flagfiles, paper_scores
from tests.conftest import ROOT


@pytest.fixture
def swept(make_sweep, tmp_path):
    """Two rows with two seeds, of which one run has failed."""
    sweep = make_sweep(rows=("sn_d", "sn_gd_ttur"))
    for run in sweep.runs:
        (tmp_path / run.row).mkdir(exist_ok=True)
        if run.name == "sn_d/seed_1":
            (tmp_path / run.row / "fail").touch()
        sweep.perform(run, lambda line: None)
    return sweep


def test_report(swept, tmp_path):
    report.write(swept, ["figure3"], "small", 10, "python -m sagan_tf.reproduce --x=1")
    text = (tmp_path / "report.md").read_text()
    # 100 - 4 steps + the seed; training took 2 s a step.
    assert "| SN on D | 1 of 2 | 96 | 98.5 at 2 | 0.00222 |  |" in text
    assert "| SN on G/D | 0 of 0 |  |  |  |  |" in text
    assert "| SN on G/D + TTUR | 2 of 2 | 96.5 [96, 97] | 96.5 at 4 | 0.00222 | FID 22.96, IS 42.87 |" in text
    for line in (
        "Command: `python -m sagan_tf.reproduce --x=1`",
        "- network: Inception (abc)",
        "- real images: real",
        "- machine: a machine;",
        "20 images of the averaged weights, last step; curves: 10",
        "- sn_d/seed_1: failed after step 2 (exit code 3): train: diverged at step 3",
        "- sn_d/seed_0: step 3: the generator has collapsed (ignored)",
        "![Figure 3",
    ):
        assert line in text
    assert "do not compare them" not in text and "no Inception" not in text
    with open(tmp_path / "report.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == dict(row="sn_d", seed="0", step="2", metric="fid", value="98.0", samples="10")
    assert len(rows) == 3 + 3 + 1 + 3
    for name in ("report_figure3.png", "report_figure3_curves.png"):
        assert f"]({name})" in text and (tmp_path / name).stat().st_size > 1000


def test_curves_are_of_the_seeds_that_got_so_far(swept):
    curve = report.SweepReport(swept, "small", 10).curve("sn_d", "fid")
    np.testing.assert_array_equal(curve.steps, [2, 4])
    np.testing.assert_array_equal(curve.mean, [98.5, 96])
    np.testing.assert_array_equal(curve.low, [98, 96])
    np.testing.assert_array_equal(curve.high, [99, 96])
    assert report.SweepReport(swept, "small", 11).curve("sn_d", "fid") is None


def test_figure_draws_what_the_curves_are(swept):
    reporter = report.SweepReport(swept, "small", 10)
    (axis,) = reporter.curves("figure3").axes
    drawn = {line.get_label(): line.get_ydata() for line in axis.lines}
    assert set(drawn) == {"SN on D", "SN on G/D + TTUR"}
    np.testing.assert_array_equal(drawn["SN on G/D + TTUR"], [98.5, 96.5])
    assert reporter.curves("keys") is None


def test_bars_are_the_means_of_the_final_scores_with_each_seed_beside(swept):
    reporter = report.SweepReport(swept, "small", 10)
    (axis,) = reporter.bars("figure3").axes
    assert [label.get_text() for label in axis.get_yticklabels()] == [
        "SN on D",
        "SN on G/D",
        "SN on G/D + TTUR",
    ]
    assert [(bar.get_y() + bar.get_height() / 2, bar.get_width()) for bar in axis.patches] == [
        (0, 96),
        (2, 96.5),
    ]
    dots = [list(line.get_xdata()) for line in axis.lines if line.get_marker() == "o"]
    assert dots == [[96], [96, 97]]
    assert reporter.bars("keys") is None


def test_scores_measured_in_two_ways_are_not_passed_over(swept, tmp_path):
    path = tmp_path / "sn_d" / "seed_0" / "scores" / "scores.jsonl"
    path.write_text(path.read_text().replace("abc", "xyz"))
    report.write(swept, ["figure3"], "small", 10, "")
    assert "do not compare them" in (tmp_path / "report.md").read_text()


def test_scores_by_another_network_are_said_to_be(swept, tmp_path):
    for path in tmp_path.glob("*/*/scores/scores.jsonl"):
        path.write_text(path.read_text().replace("Inception", "digits classifier"))
    report.write(swept, ["figure3"], "small", 10, "")
    assert "no Inception" in (tmp_path / "report.md").read_text()


def test_papers_figures():
    """The tables, written down once more from SPEC's sentences about them."""
    fid = {name: scores["fid"] for name, scores in PAPER.items() if "fid" in scores}
    assert [fid[f"attention_{n}"] for n in (8, 16, 32, 64)] == [22.98, 22.14, 18.28, 18.65]
    assert [fid[f"residual_{n}"] for n in (8, 16, 32, 64)] == [42.13, 22.40, 27.33, 28.82]
    inception = {name: scores["is"] for name, scores in PAPER.items()}
    assert [inception[f"attention_{n}"] for n in (8, 16, 32, 64)] == [43.15, 45.94, 51.43, 52.52]
    assert [inception[f"residual_{n}"] for n in (8, 16, 32, 64)] == [23.17, 44.49, 38.50, 38.96]
    assert PAPER["sn_gd_ttur"] == {"fid": 22.96, "is": 42.87}
    assert PAPER["acgan"] == {"is": 28.5, "intra_fid": 260.0}
    assert PAPER["sngan_projection"] == {"is": 36.8, "intra_fid": 92.4, "fid": 27.62}
    assert paper_scores("attention_8", "small") == PAPER["attention_32"]
    assert paper_scores("attention_8", "full") == PAPER["attention_8"]
    assert paper_scores("sn_d", "small") == {}


def test_every_experiment_has_its_rows():
    for scale in SCALES:
        for row in flagfiles(EXPERIMENTS, scale):
            assert (ROOT / "flags" / SCALES[scale].folder / f"{row}.cfg").is_file()
    assert flagfiles(["figure3", "table1"], "digits") == [
        "sn_d",
        "sn_gd",
        "sn_gd_ttur",
        "attention_16",
        "residual_16",
    ]


def test_means_of_three_seeds_and_the_later_of_two_measurements(make_sweep, tmp_path):
    sweep = make_sweep(rows=("sn_gd_ttur",), seeds=(0, 1, 5))
    for run in sweep.runs:
        sweep.perform(run, lambda line: None)
    curve = report.SweepReport(sweep, "small", 10).curve("sn_gd_ttur", "fid")
    np.testing.assert_array_equal(curve.mean, [100, 98])
    path = tmp_path / "sn_gd_ttur" / "seed_0" / "scores" / "scores.jsonl"
    last = path.read_text().splitlines()[-1]
    path.write_text(path.read_text() + last.replace("96.0", "90.0") + "\n")
    report.write(sweep, ["figure3"], "small", 10, "")
    assert "| 3 of 3 | 96 [90, 101] |" in (tmp_path / "report.md").read_text()


def test_scores_of_a_shorter_run_are_not_final(make_sweep, tmp_path):
    shorter = make_sweep(rows=("sn_gd_ttur",), seeds=(0,))
    shorter.perform(shorter.runs[0], lambda line: None)
    report.write(make_sweep(rows=("sn_gd_ttur",), seeds=(0,), steps=6), ["figure3"], "small", 10, "")
    assert "| 0 of 1 |  | 96 at 4 |" in (tmp_path / "report.md").read_text()


def test_the_legend_of_one_panel_fits_into_the_picture(make_sweep):
    """Six rows, one metric: as wide as the narrowest picture allows."""
    sweep = make_sweep(rows=flagfiles(["few_images"], "small"), seeds=(0,))
    for run in sweep.runs:
        sweep.perform(run, lambda line: None)
    figure = report.SweepReport(sweep, "small", 10).curves("few_images")
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert len(figure.legends[0].get_texts()) == 6
    assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
