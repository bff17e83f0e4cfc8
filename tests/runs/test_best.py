"""Which checkpoints are kept for their scores, and the file that says so."""

import pytest

from sagan_tf.runs import best
from sagan_tf.runs.best import Best, Entry
from sagan_tf.system.errors import UserError


def test_best_keeps_the_best():
    best = Best(2, larger_is_better=False)
    assert best.best is None
    assert best.offer(10, 5.0) == (True, [])
    assert best.offer(20, 4.0) == (True, [])
    assert best.offer(30, 6.0) == (False, [])
    assert best.offer(40, 3.0) == (True, [10])
    assert best.entries == [Entry(40, 3.0), Entry(20, 4.0)] and best.best.step == 40


def test_best_by_a_score_that_should_be_large():
    best = Best(1, larger_is_better=True, entries=[(10, 5.0), (20, 7.0)])
    assert best.best == Entry(20, 7.0)
    assert best.offer(30, 6.0) == (False, []) and best.offer(40, 8.0) == (True, [20])


def test_best_with_ties_repeats_and_no_numbers():
    best = Best(1, larger_is_better=True)
    assert best.offer(10, float("nan")) == (False, [])
    assert best.offer(20, 1.0) == (True, [])
    assert best.offer(30, 1.0) == (False, [])  # the earlier one stays
    assert best.offer(20, 0.5) == (True, [])  # measured again, e.g. after a restart
    assert best.offer(40, 0.7) == (True, [20])


def test_the_file_of_the_best_tells_the_measure(tmp_path):
    folder = str(tmp_path)
    assert best.read(folder, [10]) == ([], None)
    entries, measure = [Entry(20, 4.0), Entry(10, 5.0)], {"metric": "fid", "samples": 60}
    best.write(folder, entries, measure)
    assert best.read(folder, [10, 20]) == (entries, measure)
    assert best.read(folder, [10]) == ([Entry(10, 5.0)], measure)  # a checkpoint is gone
    (tmp_path / "best.json").write_text("[[20, 4.0], [10, 5.0]]")  # of an earlier version
    assert best.read(folder, [10, 20]) == (entries, None)


@pytest.mark.parametrize("text", ["", "3", "{}", '{"entries": 3, "measure": null}', "[3]", "[[1]]"])
def test_a_damaged_file_of_the_best_is_named(tmp_path, text):
    (tmp_path / "best.json").write_text(text)
    with pytest.raises(UserError, match="best.json: is damaged .*; remove it"):
        best.read(str(tmp_path), [1, 3])
