"""Scores are said to be kept only when they are."""

import types

import pytest

from sagan_tf.evaluation import pipeline, results
from sagan_tf.system.errors import UserError


@pytest.mark.parametrize(("room", "line"), [(2, "added to out.jsonl"), (1, "not all are added to out.jsonl")])
def test_what_could_not_be_written_is_not_said_to_be_added(monkeypatch, capsys, room, line):
    kept = []

    def append(path, record):
        if len(kept) == room:
            raise UserError("cannot be written (No space left on device)", option="output", value=path)
        kept.append(record)

    scores = [types.SimpleNamespace(classes=()) for _ in range(2)]
    scorer = types.SimpleNamespace(score=lambda images, progress, report: iter(scores))
    monkeypatch.setattr(results, "append", append)
    monkeypatch.setattr(results, "record", lambda score, protocol: score)
    monkeypatch.setattr(results, "table", lambda scores, protocol: f"{len(scores)} scores")
    images = types.SimpleNamespace(count=2)
    try:
        pipeline.score_and_keep(scorer, images, None, "out.jsonl", "classes")
    except UserError:
        assert room == 1
    assert f"2 scores\n{line}\n" in capsys.readouterr().out and len(kept) == room
