"""Progress in lines, as where there is no terminal."""

import pytest

from sagan_tf.system import progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds, in a list of one."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_lines_tell_speed_and_time_to_go(clock):
    """Work that is continued at 100 of 1,000: the first hundred cost no time."""
    lines = []
    with progress.Progress("photos", 1000, report=lines.append, seconds_between_lines=5.0) as done:
        for second in range(0, 12):
            clock[0] = float(second)
            done(100 + 10 * second)
    assert lines == [
        "photos: 150 of 1,000  10 images/s  0:01:25 to go",
        "photos: 200 of 1,000  10 images/s  0:01:20 to go",
    ]


def test_nothing_is_said_of_work_that_does_not_move(clock):
    lines = []
    done = progress.Progress("photos", 10, report=lines.append, seconds_between_lines=1.0)
    for second in (0.0, 5.0, 10.0):
        clock[0] = second
        done(3)
    assert lines == []


def test_the_speed_is_that_since_the_line_before(clock):
    lines = []
    done = progress.Progress("photos", 100, report=lines.append, seconds_between_lines=5.0)
    for second, count in ((100.0, 10), (105.0, 20), (115.0, 80)):
        clock[0] = second
        done(count)
    assert lines == [
        "photos: 20 of 100  2 images/s  0:00:40 to go",
        "photos: 80 of 100  6 images/s  0:00:03 to go",
    ]


def test_first_and_last_call_speak_where_that_is_asked_for(clock):
    lines = []
    done = progress.Progress("steps", 30, "step", first=5, report=lines.append, ends=True)
    for second, count in ((1.0, 10), (2.0, 20), (3.0, 30)):
        clock[0] = second
        done(count, f"D {count}")
    assert lines == ["steps: 10 of 30  D 10", "steps: 30 of 30  D 30  10 steps/s  0:00:00 to go"]


def test_hours():
    assert [progress.hours(seconds) for seconds in (0, 59.9, 3661, 360_000)] == [
        "0:00:00",
        "0:00:59",
        "1:01:01",
        "100:00:00",
    ]


def test_lines_go_to_standard_output_or_where_they_should(capsys):
    progress.write_line("a")
    assert capsys.readouterr().out == "a\n"
