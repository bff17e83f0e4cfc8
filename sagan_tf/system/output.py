"""Standard output and error that outlast their readers; checks of a place before it is written."""

import contextlib
import os
import sys

from sagan_tf.system import files, paths
from sagan_tf.system.errors import UserError, naming, writing


class Outlasting:
    """A text stream whose writes never raise OSError: once its reader is gone, text is dropped.

    A terminal is closed, `| head` has seen enough, the disk with the log is full: the work goes on.

    Args:
      stream: the stream, e.g. `sys.stdout`.
      complain: called with one line when text is dropped for the first time.
    """

    def __init__(self, stream, complain):
        self._stream, self._complain, self._is_lost = stream, complain, False
        with contextlib.suppress(AttributeError, ValueError):  # no file behind it, or used already
            stream.reconfigure(errors="backslashreplace")  # whatever the encoding is

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def _try(self, action) -> None:
        if self._is_lost:
            return
        try:
            action()
        except OSError as error:
            self._is_lost = True
            self._silence()
            self._complain(f"warning: standard output is lost ({error.strerror}); the work goes on")

    def _silence(self) -> None:
        """Lets what is in the stream's buffer go nowhere, or Python would complain when it ends."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            descriptor = os.open(os.devnull, os.O_WRONLY)
            os.dup2(descriptor, self._stream.fileno())
            os.close(descriptor)


@contextlib.contextmanager
def outlasting(name: str):
    """Makes this process's standard output and error outlast their readers while the block runs.

    `name` is the command's, for the line on standard error.
    """
    before = sys.stdout, sys.stderr
    _open_closed()
    # Python's own stream is None if its descriptor was closed.
    out, error = (stream or open(os.devnull, "w") for stream in before)
    sys.stderr = errors = Outlasting(error, lambda line: None)
    sys.stdout = Outlasting(out, lambda line: print(f"{name}: {line}", file=errors))
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout, sys.stderr = before


def _open_closed() -> None:
    """Opens what a shell has closed (`>&-`): otherwise the next file would get the number 1, and our text."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one


def check_directory(option: str, path: str) -> None:
    """Makes sure, before the work begins, that a directory can be written to. Raises UserError."""
    if os.path.lexists(path) and not os.path.isdir(path):
        raise UserError("is no directory; name a new or empty one", option=option, value=path)
    with writing(option, path):
        files.check_writable(os.path.join(path, "file"))


def check_new(option: str, path: str) -> None:
    """Makes sure that a file or directory that must not exist yet can be written, and makes its folder.

    Raises UserError.
    """
    if os.path.lexists(path):
        raise UserError("exists already; name another", option=option, value=path)
    with writing(option, path):
        files.check_writable(path)
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)


def check_not_within(option: str, path: str, folder: str) -> None:
    """Raises UserError if an output would lie in a folder of images, where it would be taken for images."""
    with naming(option, path):
        if paths.is_within(path, folder):
            raise UserError(f"lies within {folder}, among the images; name a place outside of it")
