"""The training loop: calls the compiled function, stops at every event, shows progress, obeys signals."""

import contextlib
import signal
import time
import typing

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from sagan_tf.system.progress import hours


class Event(typing.NamedTuple):
    """An action for every `every_steps` steps, and for the last step."""

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


def run(
    train, iterator, *, first_step, last_step, steps_per_call, events, report, interrupt, agree, watch
) -> int:
    """Trains from `first_step` to `last_step`.

    Args:
      train: function of the iterator and an int32 number of steps. It returns means by tag.
      iterator: distributed batches.
      first_step: steps done so far.
      last_step: steps done at the end.
      steps_per_call: the most steps in one call. Calls end at every event.
      events: the `Event`s. Their `scalars` are means since the same event before, and the speed.
      report: writes one line to the user, e.g. `print`.
      interrupt: an `Interrupt`. When it has noted a signal, the loop ends after the call in progress.
      agree: makes all processes stop together, as `Workers.agree`. It takes whether this process wants to
        stop and how many steps it wants to do; it returns what all of them do.
      watch: called as watch(step, count, scalars) after each call of `train`. It may raise, which ends the
        loop.

    Returns:
      The steps done.
    """
    step, means = first_step, {event: Mean() for event in events}
    with contextlib.closing(Progress(first_step, last_step, report)) as progress:
        while True:
            next_events = [step - step % event.every_steps + event.every_steps for event in events]
            stop = min([last_step, *next_events])
            stopping, count = agree(interrupt.signal is not None, min(steps_per_call, stop - step))
            if stopping:
                interrupt.signal = interrupt.signal or signal.SIGTERM  # another process's
            if stopping or not count:
                break
            start = time.perf_counter()
            values = {tag: np.asarray(value) for tag, value in train(iterator, tf.constant(count)).items()}
            seconds = time.perf_counter() - start
            step += count
            scalars = {tag: float(value) for tag, value in values.items() if not value.ndim}
            watch(step, count, scalars)
            for event in events:
                means[event].add(values, count, seconds)
                if step % event.every_steps == 0 or step == last_step:
                    event.action(step, means[event].result())
                    means[event] = Mean()
            progress.update(step, scalars)
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


class Progress:
    """A progress bar on a terminal, otherwise a line every ten seconds: losses, speed, time to go."""

    def __init__(self, first_step: int, last_step: int, report, seconds_between_lines: float = 10.0):
        self._bar = tqdm(total=last_step, initial=first_step, unit="step", disable=None, smoothing=0.1)
        self._last_step, self._report = last_step, report
        self._between = seconds_between_lines
        self._next_line = 0.0

    def update(self, step: int, scalars: dict[str, float]) -> None:
        done = step - self._bar.n if not self._bar.disable else None
        losses = {"D": scalars["loss/discriminator"], "G": scalars["loss/generator"]}
        if done is not None:
            self._bar.set_postfix({name: f"{value:.3f}" for name, value in losses.items()}, refresh=False)
            self._bar.update(done)
            return
        now = time.monotonic()
        if now < self._next_line and step < self._last_step:
            return
        line = f"step {step}/{self._last_step}  " + "  ".join(f"{k} {v:.3f}" for k, v in losses.items())
        if self._next_line:
            rate = (step - self._line_step) / (now - self._line_time)
            line += f"  {rate:.2f} steps/s  {hours((self._last_step - step) / rate)} to go"
        self._report(line)
        self._line_step, self._line_time, self._next_line = step, now, now + self._between

    def close(self) -> None:
        self._bar.close()
