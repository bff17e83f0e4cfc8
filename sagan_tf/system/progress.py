"""The progress of long work, as a bar or in lines."""

import sys
import time

from tqdm import tqdm


class Progress:
    """A progress bar on a terminal, otherwise a line now and then; called with the number of images done."""

    _SECONDS_BETWEEN_LINES = 30.0

    def __init__(self, what: str, total: int):
        self._what, self._total = what, total
        self._bar = tqdm(total=total, unit="image", desc=what, disable=None, leave=False)
        self._next_line = time.monotonic() + self._SECONDS_BETWEEN_LINES

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._bar.close()

    def __call__(self, done: int) -> None:
        if not self._bar.disable:
            self._bar.update(done - self._bar.n)
        elif time.monotonic() > self._next_line:
            self.line(f"{self._what}: {done:,} of {self._total:,}")
            self._next_line = time.monotonic() + self._SECONDS_BETWEEN_LINES

    def line(self, text: str) -> None:
        """Prints a line without breaking the bar."""
        tqdm.write(text)
        sys.stdout.flush()
