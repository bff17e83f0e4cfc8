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
    """A progress bar on a terminal; otherwise a line now and then.

    It is called with the number of things done and, if there is more to say, a note, e.g. losses.

    Args:
      what: what is worked on, e.g. "training images".
      total: how many there are.
      unit: one of them.
      first: how many were done before.
      report: prints a line.
      seconds_between_lines: the least time from one line to the next.
      ends: whether the first and the last call print a line in any case, and the bar stays at the end.
    """

    def __init__(
        self,
        what: str,
        total: int,
        unit: str = "image",
        *,
        first: int = 0,
        report=write_line,
        seconds_between_lines: float = 30.0,
        ends: bool = False,
    ):
        self._what, self._total, self._unit, self._ends = what, total, unit, ends
        self._report, self._between = report, seconds_between_lines
        self._bar = tqdm(total=total, initial=first, unit=unit, desc=what, disable=None, leave=ends)
        self._mark = None  # what was done at the last line, or at the first call, and when that was
        self._next_line = time.monotonic() + seconds_between_lines

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._bar.close()

    def __call__(self, done: int, note: str = "") -> None:
        if not self._bar.disable:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(done - self._bar.n)
            return
        now, is_end = time.monotonic(), self._mark is None or done == self._total
        before, then = self._mark = self._mark or (done, now)
        moved = done > before and now > then
        if not (self._ends and is_end) and not (moved and now >= self._next_line):
            return
        parts = [f"{self._what}: {done:,} of {self._total:,}", *([note] if note else [])]
        if moved:
            speed = (done - before) / (now - then)
            parts += [f"{speed:,.3g} {self._unit}s/s", f"{hours((self._total - done) / speed)} to go"]
        self._report("  ".join(parts))
        self._mark, self._next_line = (done, now), now + self._between

    def line(self, text: str) -> None:
        """Prints a line without breaking the bar."""
        write_line(text)
