"""Results in files."""

import csv
import json
import math

import pytest

from sagan_tf.evaluation import results
from sagan_tf.metrics.frechet import ClassDistance
from sagan_tf.metrics.metric import Score
from sagan_tf.system.errors import UserError

PROTOCOL = results.Protocol(
    source="runs/a",
    step=1000,
    weights="EMA weights",
    samples=50_000,
    seed=0,
    truncation=0.0,
    class_distribution="uniform",
    splits=10,
    reference="digits train, 1,442 images, 32x32",
    network="Inception",
    network_fingerprint="0123456789abcdef",
    resize="to 299x299",
)
SCORE = Score("is", 51.25, 0.5, "standard deviation over 10 splits")


def test_record_has_everything():
    line = results.record(SCORE, PROTOCOL)
    needed = "metric value spread samples reference network resize weights step seed version"
    assert set(needed.split()) <= set(line)
    assert (line["metric"], line["value"], line["spread"], line["step"]) == (
        "inception_score",
        51.25,
        0.5,
        1000,
    )


def test_lines_are_added_and_a_torn_one_does_no_harm(tmp_path):
    path = tmp_path / "deep" / "scores.jsonl"
    results.append(str(path), {"a": 1})
    with open(path, "a") as file:
        file.write('{"b": ')  # the process was killed here
    results.append(str(path), {"c": 3})
    assert results.read(str(path)) == [{"a": 1}, {"c": 3}]
    assert results.read(str(tmp_path / "none")) == []


def test_a_score_that_is_nan_is_null_in_the_file_and_nan_again_when_it_is_read(tmp_path):
    path = tmp_path / "scores.jsonl"
    results.append(str(path), results.record(Score("fid", math.nan, math.inf), PROTOCOL))
    assert json.loads(path.read_text(), parse_constant=pytest.fail)["value"] is None
    (line,) = results.read(str(path))
    assert math.isnan(results.find([line], "fid", PROTOCOL)["value"]) and line["spread"] is None


def test_lines_of_a_lost_run_are_set_aside(tmp_path):
    path = tmp_path / "scores.jsonl"
    lines = [{"step": step, "value": 1.5} for step in (10, 20, 15, None, 30)]
    for line in lines:
        results.append(str(path), line)
    results.set_aside(str(path), 30)
    assert results.read(str(path)) == lines and len(list(tmp_path.iterdir())) == 1
    results.set_aside(str(path), 15)
    assert results.read(str(path)) == [lines[0], lines[2], lines[3]]
    results.append(str(path), {"step": 20, "value": 1.0})
    results.set_aside(str(path), 10)
    assert results.read(str(path)) == [lines[0], lines[3]]
    aside = results.read(str(tmp_path / "scores.diverged.jsonl"))
    assert aside == [lines[1], lines[4], lines[2], {"step": 20, "value": 1.0}]


def _line(score=SCORE, protocol=PROTOCOL):
    return json.loads(json.dumps(results.record(score, protocol)))


def _is_done(lines, name, protocol):
    return results.missing(lines, [name], protocol) == []


def test_done_means_the_same_protocol():
    lines = [_line()]
    assert _is_done(lines, "is", PROTOCOL)
    assert _is_done(lines, "is", PROTOCOL.replace(reference=None))  # IS compares with none
    assert not _is_done(lines, "is", PROTOCOL.replace(network="digits classifier"))
    assert not _is_done(lines, "fid", PROTOCOL)
    for key, value in {
        "step": 2000,
        "precision": "float32",
        "batch_statistics": "estimated",
        "seed": 1,
        "truncation": 0.5,
        "class_distribution": "balanced",
        "splits": 1,
        "samples": 10,
        "network_fingerprint": "f",
        "weights": "raw",
        "resize": "to 299x299, not antialiased",
    }.items():
        assert not _is_done(lines, "is", PROTOCOL.replace(**{key: value})), key
    older = {key: value for key, value in lines[0].items() if not key.startswith("real_test")}
    assert _is_done([older], "is", PROTOCOL.replace(real_test="digits test", real_test_digest="d"))
    older["resize"] += ", antialiased"  # which made no difference, or today's protocol would say so
    assert _is_done([older], "is", PROTOCOL)
    recall = _line(Score("recall", 0.5))
    assert not _is_done([recall], "precision_recall", PROTOCOL)  # half of it
    nothing = _line(Score("precision", None))  # what was not a number
    assert _is_done([recall, nothing], "precision_recall", PROTOCOL)


def test_what_was_compared_with_counts_and_not_its_name():
    now = PROTOCOL.replace(reference_digest="1234", library="TF-GAN 2.1.0")
    line = _line(Score("fid", 7.0), now)
    assert _is_done([line], "fid", now.replace(reference="moved train", source="moved"))
    assert not _is_done([line], "fid", now.replace(reference_digest="5678"))
    earlier = _line(Score("fid", 7.0))  # names its reference, which may have been replaced since
    assert not _is_done([earlier], "fid", now) and results.measure(earlier) != results.measure(line)
    test = now.replace(real_test="digits test", real_test_digest="a, 15 epochs")
    assert _is_done([_line(Score("cas", 0.9), test)], "cas", test.replace(real_test="moved test"))
    assert not _is_done([_line(Score("cas", 0.9), test)], "cas", test.replace(real_test_digest="b"))


def test_other_weights_under_the_same_name_are_another_measurement():
    known = PROTOCOL.replace(source_digest="1")
    assert _is_done([_line(SCORE, known)], "is", known.replace(source="runs/moved"))
    assert not _is_done([_line(SCORE, known)], "is", known.replace(source_digest="2"))
    assert _is_done([_line()], "is", known)  # training wrote it: the run's own file says whose it is
    assert _is_done([_line(SCORE, known)], "is", PROTOCOL)


def test_only_scores_with_inception_are_called_by_inception_names():
    other = PROTOCOL.replace(network="digits classifier")
    scores = [Score(key, 1.0) for key in ("is", "fid", "intra_fid", "kid", "recall")]
    assert [PROTOCOL.title(score) for score in scores] == "inception_score fid intra_fid kid recall".split()
    titles = "classifier_score frechet_distance intra_frechet_distance kernel_distance recall".split()
    assert [results.record(score, other)["metric"] for score in scores] == titles


def test_a_line_says_only_what_concerns_its_metric():
    protocol = PROTOCOL.replace(real_test="digits test", library="TF-GAN 2.1.0")
    fields = ("splits", "reference", "real_test", "library")
    concerns = {
        key: [name for name in fields if results.record(Score(key, 1.0), protocol)[name] is not None]
        for key in ("is", "fid", "precision", "agreement", "cas")
    }
    assert concerns == {
        "is": ["splits", "library"],
        "fid": ["reference", "library"],
        "precision": ["reference"],
        "agreement": [],
        "cas": ["real_test"],
    }


def test_table_shows_value_and_protocol():
    text = results.table([SCORE, Score("fid", 18.6512345)], PROTOCOL)
    for part in (
        "51.25",
        "+/- 0.5",
        "18.651",
        "step 1,000",
        "EMA",
        "50,000 images",
        "seed 0",
        "no truncation",
    ):
        assert part in text
    assert (
        "digits train, 1,442 images, 32x32" in text
        and "Inception (0123456789abcdef), images to 299x299" in text
    )


def test_classes_in_a_table_of_their_own(tmp_path):
    score = Score("intra_fid", 1.5, classes=(ClassDistance(0, 1.0, 7, 5), ClassDistance(1, 2.0, 8, 6)))
    first, second = (
        results.write_classes(str(tmp_path / "c"), score, "intra_fid", ("a", "b,c")) for _ in range(2)
    )
    assert (first, second) == (str(tmp_path / "c.csv"), str(tmp_path / "c-2.csv"))  # nothing is overwritten
    with open(first, newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["label", "class", "intra_fid", "generated_images", "real_images"]
    assert rows[1:] == [["0", "a", "1.0", "5", "7"], ["1", "b,c", "2.0", "6", "8"]]


def test_unwritable_places_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        results.append(str(tmp_path / "file" / "x.jsonl"), {})
    with pytest.raises(UserError, match="cannot be written"):
        results.write_classes(str(tmp_path / "none" / "x"), SCORE, "is", ())
