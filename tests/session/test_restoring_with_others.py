"""What a worker restores is what the chief has, also a checkpoint of step 0."""

import types

import pytest

from sagan_tf.session.session import Session


@pytest.fixture
def worker(monkeypatch):
    """Worker 1 of two, which writes down what it does."""
    session = Session.__new__(Session)
    session.done = []
    session._config = types.SimpleNamespace(initialize_from="")
    session._state = types.SimpleNamespace(checkpoint=lambda: "checkpoint")
    session._saved = types.SimpleNamespace(restore=lambda _, step: session.done.append(f"restore {step}"))
    session._meeting = types.SimpleNamespace(compare=lambda about: session.done.extend(about))
    monkeypatch.setattr(Session, "_checksum", lambda session: 0)
    return session


@pytest.mark.parametrize(
    ("chief", "step", "done"),
    [
        (-1, 0, []),
        (0, 0, ["restore 0", "the checkpoint of step 0"]),
        (7, 7, ["restore 7", "the checkpoint of step 7"]),
    ],
)
def test_a_worker_restores_what_the_chief_has(worker, chief, step, done):
    worker._workers = types.SimpleNamespace(
        is_chief=False, count=2, index=1, agree=lambda stop, value: (stop, chief)
    )
    worker.step = 0
    worker.restore()
    assert (worker.step, worker.done) == (step, done)


@pytest.mark.parametrize(("newest", "told"), [(None, -1), (0, 0), (7, 7)])
def test_the_chief_tells_what_it_has(worker, newest, told):
    said = []
    worker._saved.restore_newest = lambda checkpoint, report: newest
    worker._workers = types.SimpleNamespace(
        is_chief=True, count=2, agree=lambda stop, value: (said.append(value), value)
    )
    worker.step = 0
    worker.restore()
    assert said == [told] and worker.step == (newest or 0)
    assert worker.done == ([] if newest is None else [f"the checkpoint of step {newest}"])
