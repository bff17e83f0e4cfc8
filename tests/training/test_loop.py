"""The loop: events at their steps, means, signals."""

import os
import signal

import numpy as np
import pytest

from sagan_tf.training import loop


class Calls:
    """Stands for the compiled function; the scalar of a step is its number."""

    def __init__(self):
        self.step, self.counts = 0, []

    def __call__(self, iterator, count):
        count = int(count)
        steps = range(self.step + 1, self.step + count + 1)
        self.step += count
        self.counts.append(count)
        return {"loss/discriminator": sum(steps) / count, "loss/generator": 0.0}


def run(
    calls,
    events,
    last_step=10,
    pace=None,
    agree=lambda count: count,
    watch=lambda *_: None,
):
    return loop.run(
        calls,
        None,
        first_step=0,
        last_step=last_step,
        pace=pace or loop.Pace(4, lambda: 1e9),
        events=events,
        agree=agree,
        watch=watch,
    )


def test_events_happen_at_their_steps_and_at_the_end():
    seen, calls = {3: [], 5: []}, Calls()
    events = [loop.Event(every, lambda step, _, every=every: seen[every].append(step)) for every in seen]
    assert run(calls, events) == 10
    assert seen == {3: [3, 6, 9, 10], 5: [5, 10]}
    assert calls.counts == [3, 2, 1, 3, 1]


def test_calls_are_as_short_as_the_measured_speed_asks():
    pace = loop.Pace(10, lambda: 12.0)
    steps = [pace.steps]
    # The first call compiles; later ones take 1, 2, 30 and 1 seconds a step.
    for count, seconds in ((10, 600.0), (10, 10.0), (10, 20.0), (6, 180.0), (1, 1.0)):
        pace.add(count, seconds)
        steps.append(pace.steps)
    assert steps == [10, 10, 10, 6, 1, 10]


def test_the_loop_keeps_the_pace(monkeypatch):
    calls, clock = Calls(), [0.0]

    def train(iterator, count):
        clock[0] += 2.0 * int(count)
        return calls(iterator, count)

    monkeypatch.setattr(loop.time, "perf_counter", lambda: clock[0])
    run(train, [], last_step=20, pace=loop.Pace(8, lambda: 5.0))
    assert calls.counts == [8, 8, 2, 2]


def test_scalars_are_means_since_the_event_before():
    means, calls = [], Calls()
    run(calls, [loop.Event(5, lambda step, scalars: means.append(scalars["loss/discriminator"]))])
    assert means == [pytest.approx(3.0), pytest.approx(8.0)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_noted_and_the_loop_ends_where_it_is_agreed(number, signals_are_heard):
    before = signal.getsignal(number)
    with loop.Interrupt() as interrupt:
        calls = Calls()
        event = loop.Event(4, lambda step, scalars: os.kill(os.getpid(), number))
        assert run(calls, [event], agree=lambda count: 0 if interrupt.signal else count) == 4
        assert interrupt.signal == number
    assert signal.getsignal(number) == before


def test_a_second_signal_ends_the_process_as_it_would_by_itself(signals_are_heard):
    with loop.Interrupt() as interrupt:
        signal.raise_signal(signal.SIGINT)
        assert interrupt.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_losses_are_told_at_the_first_call_and_at_the_end(capsys):
    run(Calls(), [], last_step=40, pace=loop.Pace(10, lambda: 1e9))
    first, last = capsys.readouterr().out.splitlines()
    assert first == "steps: 10 of 40  D 5.500  G 0.000"
    assert last.startswith("steps: 40 of 40  D 35.500  G 0.000  ") and last.endswith("0:00:00 to go")


def test_every_call_is_watched_and_what_the_watch_raises_ends_the_loop():
    seen, calls = [], Calls()

    def watch(step, count, scalars):
        seen.append((step, count, scalars["loss/discriminator"]))
        if step == 8:
            raise ZeroDivisionError

    events = [loop.Event(8, lambda step, _: pytest.fail("the event comes after the watch"))]
    with pytest.raises(ZeroDivisionError):
        run(calls, events, watch=watch)
    assert seen == [(4, 4, 2.5), (8, 4, 6.5)]


def test_histograms_are_averaged_as_scalars_are():
    mean = loop.Mean()
    mean.add({"h": np.array([0.0, 1.0])}, 1, 1.0)
    mean.add({"h": np.array([0.5, 0.5])}, 3, 1.0)
    np.testing.assert_allclose(mean.result()["h"], [0.375, 0.625])


def test_speed_is_of_all_steps_since_the_event_before():
    mean = loop.Mean()
    mean.add({}, 1, 2.0)
    mean.add({}, 5, 1.0)
    assert mean.result() == {"speed/steps_per_second": 2.0}
