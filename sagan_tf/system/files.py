"""The lock that keeps a second process out of a file or a directory."""

try:
    import fcntl
except ImportError:  # Windows has no such module
    fcntl = None

CAN_LOCK = fcntl is not None


def lock(file, wait: bool = False) -> None:
    """Locks an open file or directory, until it and every copy of its descriptor is closed.

    Args:
      file: an open file, or a descriptor.
      wait: whether to wait until another process lets go of its lock.

    Raises:
      BlockingIOError: another process holds the lock, and `wait` is False.
    """
    fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
