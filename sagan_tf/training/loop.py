"""The training loop: calls the compiled function, stops at every event, shows progress."""

import signal
import time
import typing

import numpy as np
import tensorflow as tf

from sagan_tf.system.progress import Progress


class Event(typing.NamedTuple):
    """An action that is due every `every_steps` steps and at the last step."""

    every_steps: int
    action: typing.Callable  # called as action(step, scalars)


# Asked for by the user, the system, a terminal that was closed, or the program that shares out a cluster.
_SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGXCPU")
    if hasattr(signal, name)
]


class Interrupt:
    """Notes the signals that would end the process, so that the run can be saved first.

    A signal that is ignored, as SIGHUP under nohup, stays ignored.

    A second signal of the same kind acts as it would without this class.

    Attributes:
      signal: the `signal.Signals` that came, or None.
    """

    def __init__(self):
        self.signal = None
        self._previous = {}

    def __enter__(self):
        for number in _SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._note)
        return self

    def _note(self, number, frame):
        del frame
        self.signal = signal.Signals(number)
        signal.signal(number, self._previous[number])

    def __exit__(self, *_):
        for number, handler in self._previous.items():
            signal.signal(number, handler)


class Pace:
    """How many steps a call of the compiled function does, so that a signal is heard in time.

    The numbers do not depend on it. The first call tells nothing, as it compiles.

    Args:
      most_steps: the most steps of a call.
      seconds: called without arguments, it returns how long a call may take.

    Attributes:
      seconds_per_step: as measured in the last call, or None.
    """

    def __init__(self, most_steps: int, seconds: typing.Callable[[], float]):
        self._most_steps, self._seconds, self._calls = most_steps, seconds, 0
        self.seconds_per_step = None

    @property
    def steps(self) -> int:
        """How many steps the next call may do, at least 1."""
        if self.seconds_per_step is None:
            return self._most_steps
        return max(1, min(self._most_steps, int(self._seconds() / self.seconds_per_step)))

    def add(self, steps: int, seconds: float) -> None:
        """Takes what a call has done."""
        self._calls += 1
        if self._calls > 1:
            self.seconds_per_step = seconds / steps


def run(train, iterator, *, first_step, last_step, pace, events, agree, watch) -> int:
    """Trains from `first_step` to `last_step`.

    Args:
      train: function of the iterator and an int32 number of steps. It returns means by tag.
      iterator: distributed batches.
      first_step: steps done so far.
      last_step: steps done at the end.
      pace: the `Pace` of the calls. They end at every event too.
      events: the `Event`s. Their `scalars` are means since the same event before, and the speed.
      agree: called with the number of steps that this process would do next. It returns how many all
        processes do; 0 ends the loop.
      watch: called as watch(step, count, scalars) after each call of `train`. It may raise, which ends the
        loop.

    Returns:
      The steps done.
    """
    step, means = first_step, {event: Mean() for event in events}
    with Progress("steps", last_step, "step", first=first_step, seconds_between_lines=10, ends=True) as show:
        while True:
            next_events = [step - step % event.every_steps + event.every_steps for event in events]
            stop = min([last_step, *next_events])
            count = agree(min(pace.steps, stop - step))
            if not count:
                break
            start = time.perf_counter()
            values = {tag: np.asarray(value) for tag, value in train(iterator, tf.constant(count)).items()}
            seconds = time.perf_counter() - start
            pace.add(count, seconds)
            step += count
            scalars = {tag: float(value) for tag, value in values.items() if not value.ndim}
            watch(step, count, scalars)
            for event in events:
                means[event].add(values, count, seconds)
                if step % event.every_steps == 0 or step == last_step:
                    event.action(step, means[event].result())
                    means[event] = Mean()
            show(step, f"D {scalars['loss/discriminator']:.3f}  G {scalars['loss/generator']:.3f}")
    return step


class Mean:
    """Means of scalars and histograms over steps, and the steps per second."""

    def __init__(self):
        self._totals, self._steps, self._seconds = {}, 0, 0.0

    def add(self, values: dict[str, np.ndarray], steps: int, seconds: float) -> None:
        for tag, value in values.items():
            self._totals[tag] = self._totals.get(tag, 0.0) + value * steps
        self._steps += steps
        self._seconds += seconds

    def result(self) -> dict:
        means = {tag: total / self._steps for tag, total in self._totals.items()}
        return means | {"speed/steps_per_second": self._steps / self._seconds}
