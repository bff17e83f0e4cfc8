"""The command `compare`: curves over steps and hours, scores apart by protocol, a table; mistakes."""

import dataclasses
import json
import xml.etree.ElementTree

import numpy as np
import pytest
from PIL import Image

from sagan_tf import compare
from sagan_tf.inspection import comparison
from sagan_tf.runs import run_files
from sagan_tf.runs.config import Config
from tests.commands import refused, run_command


def make_run(workdir, speeds=(2.0, 4.0, 1.0), scores=(), **options):
    """A run that has reported every 100 steps; `scores` are (metric, step, value, samples)."""
    workdir.mkdir(parents=True)
    run_files.write_description(dataclasses.replace(Config(workdir=str(workdir)), **options), ["all"])
    with open(workdir / "metrics.jsonl", "w") as file:
        for number, speed in enumerate(speeds, 1):
            line = {"step": 100 * number, "loss/generator": 10.0 * number, "gamma/generator_32": 0.1}
            file.write(json.dumps(line | {"speed/steps_per_second": speed}) + "\n")
            file.write(json.dumps({"step": 100 * number, "scores/fid": 1.0}) + "\n")  # as training does
        file.write('{"step": 4')  # a run that goes on is just writing
    if scores:
        (workdir / "scores").mkdir()
    for metric, step, value, samples in scores:
        line = {"metric": metric, "value": value}
        line |= {
            "network": "Inception",
            "network_fingerprint": "abc",
            "step": step,
            "samples": samples,
            "weights": "EMA weights",
            "source": str(workdir),
        }
        with open(workdir / "scores" / "scores.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")
    return str(workdir)


@pytest.fixture
def command(capfd):
    """Runs the command in this process: exit code, standard output, standard error."""

    def call(*arguments):
        return run_command(compare, *arguments), *capfd.readouterr()

    return call


def refusal(command, *arguments):
    code, _, error = command(*arguments)
    return refused("compare", code, error)


def test_hours_are_those_of_the_steps():
    lines = [
        {"step": step, "speed/steps_per_second": speed} for step, speed in ((100, 2), (200, 4), (250, 1))
    ]
    np.testing.assert_allclose(comparison.training_hours(lines), np.array([50, 75, 125]) / 3600)


def test_hours_of_an_imported_run_begin_where_it_began(tmp_path):
    """Its weights came with the steps of another training, which this run has not done."""
    workdir = make_run(tmp_path / "a", scores=[("fid", 80, 9.0, 10), ("fid", 90, 8.0, 10)])
    path = tmp_path / "a" / "environment.jsonl"
    path.write_text('{"step": 80}\n{"step": 200}\n')
    (run,) = comparison.read_runs([workdir])
    np.testing.assert_allclose(run.hours, np.array([10, 35, 135]) / 3600)
    (scores,) = comparison.panels([run], ["scores"])
    np.testing.assert_allclose(scores.curves["a"][1], np.array([0, 5]) / 3600)
    path.write_text('{"step": 200}\n')  # an earlier version began it, which wrote no such file
    (run,) = comparison.read_runs([workdir])
    np.testing.assert_allclose(run.hours, np.array([50, 75, 175]) / 3600)


def test_a_single_line_of_metrics_is_seen(tmp_path):
    runs = comparison.read_runs([make_run(tmp_path / "a", speeds=(2.0,)), make_run(tmp_path / "b")])
    figure = comparison.figure(runs, comparison.panels(runs, ["loss"]))
    for axis in figure.axes:
        assert {line.get_label(): line.get_marker() for line in axis.lines} == {"a": "o", "b": "None"}


def test_short_names_tell_runs_apart():
    assert comparison.short_names(["runs/a", "runs/b/"]) == ["a", "b"]
    assert comparison.short_names(["x/run", "y/run", "b"]) == ["x/run", "y/run", "b"]


def test_curves_over_steps_and_hours(tmp_path):
    runs = comparison.read_runs([make_run(tmp_path / "a"), make_run(tmp_path / "b", speeds=(1.0, 1.0))])
    loss, gamma = comparison.panels(runs, ["loss", "gamma/generator_32"])
    assert (loss.title, gamma.title) == ("loss/generator", "gamma/generator_32")
    steps, hours, values = loss.curves["a"]
    np.testing.assert_array_equal(steps, [100, 200, 300])
    np.testing.assert_allclose(hours, np.array([50, 75, 175]) / 3600)
    np.testing.assert_array_equal(values, [10, 20, 30])
    assert len(loss.curves["b"][0]) == 2
    figure = comparison.figure(runs, [loss, gamma])
    assert len(figure.axes) == 4
    drawn = {line.get_label(): line.get_xydata() for line in figure.axes[1].lines}
    np.testing.assert_allclose(drawn["a"], np.stack([hours, values], axis=1))
    assert len({line.get_color() for line in figure.axes[0].lines}) == 2


def test_scores_against_replaced_images_do_not_share_a_panel(tmp_path):
    """Nor do they part where only the name has changed."""
    run = make_run(tmp_path / "a", scores=[("fid", step, 9.0, 1000) for step in (100, 200, 300)])
    path = tmp_path / "a" / "scores" / "scores.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line, digest, name in zip(lines, ("1", "1", "2"), ("x", "moved", "x"), strict=True):
        line |= {"reference_digest": digest, "reference": name, "source": name}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    first, second = comparison.panels(comparison.read_runs([run]), ["scores"])
    assert first.curves["a"][0].tolist() == [100, 200] and second.curves["a"][0].tolist() == [300]
    assert "digest 1" in first.note and "digest 2" in second.note


def test_scores_of_different_protocols_do_not_share_a_panel(tmp_path):
    first = [("fid", 200, 9.0, 1000), ("fid", 100, 8.0, 1000), ("fid", 300, 7.0, 5000)]
    first += [
        ("fid", 200, 5.0, 1000),
        ("inception_score", 100, 3.0, 1000),
        ("inception_score", 300, 2.0, 1000),
    ]
    runs = comparison.read_runs(
        [make_run(tmp_path / "a", scores=first), make_run(tmp_path / "b", scores=[("fid", 150, 6.0, 5000)])]
    )
    small, large, inception = comparison.panels(runs, ["scores"])
    assert (small.title, large.title, inception.title) == ("fid", "fid", "inception_score")
    assert "1,000 images" in small.note and "5,000 images" in large.note
    steps, hours, values = small.curves["a"]
    np.testing.assert_array_equal(steps, [100, 200])
    np.testing.assert_array_equal(values, [8, 5])  # of two measurements the later
    np.testing.assert_allclose(hours, np.array([50, 75]) / 3600)
    assert set(small.curves) == {"a"} and set(large.curves) == {"a", "b"}
    np.testing.assert_allclose(large.curves["b"][1], 62.5 / 3600)  # half-way from 50 s to 75 s
    table = comparison.table(runs, [small, large, inception])
    for line in (
        "| fid [1], best | 5 at 200 |  |",
        "| fid [1], last | 5 |  |",
        "| fid [2], last | 7 | 6 |",
        "| inception_score, best | 3 at 100 |  |",
        "| inception_score, last | 2 |  |",
        "- fid [2]: 5,000 images, EMA weights, Inception (abc)",
    ):
        assert line in table


def test_command_writes_pictures_and_a_table(tmp_path, command):
    runs = [
        make_run(tmp_path / "a", scores=[("fid", 100, 8.0, 1000)]),
        make_run(tmp_path / "b", speeds=(5.0,) * 20, batch_size=64, generator_attention=()),
    ]
    output = tmp_path / "out"
    code, out, error = command(*runs, f"--output={output}", "--curves=loss,gamma,scores")
    assert code == 0, error
    with Image.open(output / "compare.png") as image:
        colours = {tuple(pixel) for pixel in np.asarray(image.convert("RGB")).reshape(-1, 3)}
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)} <= colours
    assert xml.etree.ElementTree.parse(output / "compare.svg").getroot().tag.endswith("svg")
    table = (output / "compare.md").read_text()
    assert table in out
    for line in (
        "| --batch_size | 256 | 64 |",
        "| --generator_attention | 32 | (none) |",
        "| steps | 300 | 2,000 |",
        "| hours of training | 0.0486 | 0.111 |",
        "| loss/generator, last tenth | 30 | 190 |",  # steps 1,800 to 2,000
    ):
        assert line in table
    (output / "compare.png").write_bytes(b"old")
    assert command(*runs, f"--output={output}")[0] == 0  # the same runs: written anew
    assert (output / "compare.png").read_bytes() != b"old"
    assert "holds what other options made (--runs" in refusal(command, runs[0], f"--output={output}")


def test_mistakes_are_one_line(tmp_path, command):
    run = make_run(tmp_path / "a")
    output = f"--output={tmp_path / 'out'}"
    assert "no runs: name their directories" in refusal(command, output)
    assert "holds no run" in refusal(command, run, str(tmp_path), output)
    assert "is named twice" in refusal(command, run, run, output)
    (tmp_path / "link").symlink_to("a")
    for same in (f"{tmp_path}/link", f"{tmp_path}/./a", f"{tmp_path}/out/../a"):
        assert f"{same} is named twice, also as {run}" in refusal(command, run, same, output)
    line = refusal(command, run, "--curves=lost", output)
    assert "--curves=lost: no run has reported it; allowed are gamma, loss, scores, speed" in line
    assert "no run has been scored" in refusal(command, run, "--curves=scores", output)
    (tmp_path / "a" / "metrics.jsonl").unlink()
    assert "holds no metrics yet" in refusal(command, run, output)
    assert not (tmp_path / "out").exists()
