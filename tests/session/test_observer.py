"""The observers: a worker that writes nothing has the same methods as the chief."""

import inspect

import pytest

from sagan_tf.monitoring.guards import Diverged
from sagan_tf.session.observer import Chief, Observer


def public(cls):
    return {name for name, _ in inspect.getmembers(cls, inspect.isfunction) if name[0] != "_"}


def test_the_chief_replaces_every_method_and_adds_none():
    assert public(Chief) == public(Observer)
    assert all(getattr(Chief, name) is not getattr(Observer, name) for name in public(Observer))


def test_other_workers_have_no_events_and_cannot_go_back():
    observer = Observer()
    assert observer.events == ()
    with pytest.raises(Diverged, match="lost"):
        observer.go_back(Diverged("won", "lost", 3))
