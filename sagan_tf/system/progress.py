"""The progress of long work: a bar on a terminal, otherwise lines with speed and time to go."""

import sys
import time

from tqdm import tqdm


def write_line(text: str, file=None) -> None:
    """Prints a line without breaking a progress bar, on standard output or in `file`."""
    tqdm.write(text, file=file or sys.stdout)
    (file or sys.stdout).flush()


def hours(seconds: float) -> str:
    """A duration as H:MM:SS."""
    seconds = int(seconds)
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


class Progress:
    """A progress bar on a terminal; otherwise a line now and then. Called with the number of things done.

    Args:
      what: what is worked on, e.g. "training images".
      total: how many there are.
      unit: one of them.
      report: prints a line.
      seconds_between_lines: the least time from one line to the next.
    """

    def __init__(
        self,
        what: str,
        total: int,
        unit: str = "image",
        report=write_line,
        seconds_between_lines: float = 30.0,
    ):
        self._what, self._total, self._unit = what, total, unit
        self._report, self._between = report, seconds_between_lines
        self._bar = tqdm(total=total, unit=unit, desc=what, disable=None, leave=False)
        self._first, self._start = None, 0.0  # what was done at the first call, and when that was
        self._next_line = time.monotonic() + seconds_between_lines

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._bar.close()

    def __call__(self, done: int) -> None:
        if not self._bar.disable:
            self._bar.update(done - self._bar.n)
            return
        now = time.monotonic()
        if self._first is None:  # of work that is continued the first part cost no time
            self._first, self._start = done, now
        if now < self._next_line or done == self._first or now == self._start:
            return
        self._next_line = now + self._between
        speed = (done - self._first) / (now - self._start)
        self._report(
            f"{self._what}: {done:,} of {self._total:,}  {speed:,.3g} {self._unit}s/s"
            f"  {hours((self._total - done) / speed)} to go"
        )

    def line(self, text: str) -> None:
        """Prints a line without breaking the bar."""
        write_line(text)
