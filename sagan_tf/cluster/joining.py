"""What happens to signals and to time while a process waits for others, inside TensorFlow's C++ too."""

import contextlib
import os
import signal
import sys
import threading
import time

EXIT_LOST = 75  # EX_TEMPFAIL of <sysexits.h>: the same command may well succeed
_LOOK_SECONDS = 0.2


@contextlib.contextmanager
def ending_at_signals(what: str, seconds: float):
    """Ends the process at SIGINT, SIGTERM or SIGHUP, and after a time, wherever its main thread stands.

    Python's own handlers run only between two lines of Python: while TensorFlow waits for other processes
    they do not.

    Args:
      what: what the process does, for the message, e.g. "waiting for the other workers".
      seconds: how long it may take.
    """
    if not hasattr(signal, "sigtimedwait"):  # macOS
        yield
        return
    numbers = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    numbers = {number for number in numbers if signal.getsignal(number) != signal.SIG_IGN}  # nohup
    done = threading.Event()
    watcher = threading.Thread(
        target=_watch, args=(numbers, done, what, time.monotonic() + seconds), daemon=True
    )
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _watch(numbers: set[int], done: threading.Event, what: str, end: float) -> None:
    while not done.is_set():
        came = signal.sigtimedwait(numbers, _LOOK_SECONDS)
        if came is not None:
            leave(f"{signal.Signals(came.si_signo).name} while {what}", 128 + came.si_signo)
        if time.monotonic() > end:
            leave(f"{what} took too long", EXIT_LOST)


def leave(line: str, code: int) -> None:
    """Ends the process from any thread: the main one may stand still inside TensorFlow."""
    print(f"train: error: {line}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(code)
