"""Files that are there whole or not at all, what makes sure of it, and the lock that keeps others out."""

import contextlib
import errno
import functools
import hashlib
import json
import os
import sys
import typing

try:
    import fcntl
except ImportError:  # Windows has no such module
    fcntl = None

CAN_LOCK = fcntl is not None
PARTIAL = ".partial"  # a file or directory has this at the end of its name until it is complete
_CHUNK_BYTES = 1 << 20
# What a file system says of a call that it does not have: Lustre, NFS, FUSE, mounted cloud storage.
_UNSUPPORTED = {
    getattr(errno, name)
    for name in ("EINVAL", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "ENOLCK", "ENOTTY", "EBADF", "EISDIR")
    if hasattr(errno, name)
}


@contextlib.contextmanager
def whole(path: str, mode: str = "w"):
    """Opens a file for writing that appears under its name only when the block ends well.

    Whatever happens, `path` is either the old file or the new one: the text or the bytes go to
    `path.partial`, which is flushed to the disk and then renamed. If the block fails, that file is removed.

    Args:
      path: the file; one that is there is replaced.
      mode: "w" for text in UTF-8, "wb" for bytes.

    Yields: the open file.
    """
    partial = path + PARTIAL
    try:
        with open(partial, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
        publish(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(partial)
        raise


def open_to_read(path: str) -> typing.BinaryIO:
    """Opens a file for reading bytes; a pipe that nobody writes to is empty, it is not waited for."""
    return open(path, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK))


def read_json(path: str) -> dict:
    """Reads a file that holds a JSON object. Raises OSError; ValueError if it holds anything else."""
    with open(path, encoding="utf-8") as file:
        content = json.load(file)
    if not isinstance(content, dict):
        raise ValueError(f"a JSON object was expected, not {type(content).__name__}")
    return content


def write(path: str, content: str | bytes) -> None:
    """Writes text or bytes as a file that is there whole or not at all. Raises OSError."""
    with whole(path, "wb" if isinstance(content, bytes) else "w") as file:
        file.write(content)


def check_writable(path: str) -> None:
    """Raises OSError if a file could not be written or added to.

    What is there stays as it is, and nothing is left behind. Of a path that is missing, the nearest folder
    above it is tried.
    """
    if os.path.exists(path):
        with open(path, "ab"):
            return
    folder = os.path.dirname(os.path.abspath(path))
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder)
    trial = os.path.join(folder, f".{os.getpid()}{PARTIAL}")
    try:
        with open(trial, "xb") as file:
            file.write(b"x")
    finally:
        with contextlib.suppress(OSError):
            os.remove(trial)


def publish(partial: str, path: str) -> None:
    """Gives a complete file or directory its name, after it has reached the disk.

    A file replaces what is there. A directory does so only if that is an empty directory. Raises OSError.
    """
    for folder, _, names in os.walk(partial, topdown=False):
        for name in names:
            sync(os.path.join(folder, name))
        sync(folder)
    if not os.path.isdir(partial):
        sync(partial)
    os.rename(partial, path)
    sync(os.path.dirname(path) or os.curdir)


def sync(path: str) -> None:
    """Waits until a file, or the list of names in a directory, is on the disk. Raises OSError.

    Some file systems cannot do this: a directory there has nothing to wait for, and for a file one warning
    is printed.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        if os.path.isdir(path):  # it may be written, not listed
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        if not os.path.isdir(path):
            _warn_once(
                "warning: this file system cannot say when a file is on the disk"
                f" ({error.strerror}): a power failure may cost what was written last"
            )
    finally:
        os.close(descriptor)


@functools.cache
def _warn_once(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def sha256(*paths: str) -> str:
    """SHA-256 of a file's contents, or of those of several files one after the other, in hexadecimal."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()


def lock(file, wait: bool = False) -> None:
    """Locks an open file or directory, until it and every copy of its descriptor is closed.

    Args:
      file: an open file, or a descriptor.
      wait: whether to wait until another process lets go of its lock.

    Raises:
      BlockingIOError: another process holds the lock, and `wait` is False.

    A file system without locks gets one warning, and the work goes on.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        _warn_once(
            f"warning: this file system has no locks ({error.strerror}): make sure that no other process"
            " writes to the same directory"
        )


def is_locked(path: str) -> bool:
    """Whether another process holds the lock of a file; False if there is no such file."""
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextlib.contextmanager
def locked(directory: str):
    """Makes a directory and keeps other processes out of it while the block runs.

    Raises:
      BlockingIOError: another process is in it.
      OSError: it cannot be made.
    """
    os.makedirs(directory, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        lock(descriptor)
        yield
    finally:
        os.close(descriptor)
