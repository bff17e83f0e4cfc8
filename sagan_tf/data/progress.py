"""The progress of long work, in lines."""

import time


class Progress:
    """A line now and then: images done, speed, time to go."""

    def __init__(self, total: int, report, seconds_between_lines: float = 5.0):
        self._total, self._report, self._between = total, report, seconds_between_lines
        self._start, self._first = time.monotonic(), None
        self._next = self._start + seconds_between_lines

    def advance_to(self, done: int) -> None:
        """Notes that `done` images are done."""
        now = time.monotonic()
        if self._first is None:
            self._first, self._start = done, now  # of a continued preparation, the first come for free
        if now < self._next or done == self._first:
            return
        self._next = now + self._between
        speed = (done - self._first) / (now - self._start)
        left = int((self._total - done) / speed)
        self._report(
            f"{done:,} of {self._total:,} images  {speed:,.0f} images/s"
            f"  {left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} to go"
        )
