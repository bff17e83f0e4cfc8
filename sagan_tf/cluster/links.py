"""A connection between two workers: lines of JSON, and the signs of life between them."""

import contextlib
import json
import os
import select
import socket
import stat
import threading
import time

_LONGEST_LINE = 1 << 20  # bytes


class Link:
    """One end of a connection.

    Attributes:
      heard: when something came over it, by `time.monotonic`.
    """

    def __init__(self, connection: socket.socket):
        self._connection, self._file = connection, connection.makefile("rb")
        self._lock = threading.Lock()
        self.heard = time.monotonic()

    def send(self, **message) -> None:
        """Sends an object. What cannot be sent is dropped: the reader of this link sees that it is broken."""
        line = json.dumps(message).encode() + b"\n"
        with self._lock, contextlib.suppress(OSError):
            self._connection.sendall(line)

    def receive(self) -> dict | None:
        """The next object; None when the other end is gone, or says what is no object."""
        try:
            line = self._file.readline(_LONGEST_LINE)
            message = json.loads(line) if line.endswith(b"\n") else None
        except (OSError, ValueError):
            return None
        self.heard = time.monotonic()
        return message if isinstance(message, dict) else None

    def set_timeout(self, seconds: float | None) -> None:
        """How long `receive` waits before it says that the other end is gone; None: for ever."""
        self._connection.settimeout(seconds)

    @property
    def is_gone(self) -> bool:
        """Whether the other end has closed the connection, and nothing is left to receive."""
        try:
            readable, _, _ = select.select([self._connection], [], [], 0)
            return bool(readable) and not self._connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()


def listen(port: int) -> socket.socket:
    """A socket that takes connections at a port of every address of this host. Raises OSError."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def connect(host: str, seconds: float) -> Link | None:
    """A link to "host:port"; None if nobody answers there within some seconds, or nobody yet."""
    name, _, port = host.rpartition(":")
    try:
        return Link(socket.create_connection((name.strip("[]"), int(port)), timeout=seconds))
    except OSError:
        return None


def bear_silence(seconds: float) -> None:
    """Lets TensorFlow's connections live on without an answer for some seconds: gRPC closes them after 20.

    Changes those connections of this process that have such a limit.
    """
    for number in os.listdir("/proc/self/fd") if hasattr(socket, "TCP_USER_TIMEOUT") else ():
        with contextlib.suppress(OSError):  # closed meanwhile, or not of TCP
            copy = os.dup(int(number))
            if not stat.S_ISSOCK(os.fstat(copy).st_mode):
                os.close(copy)
                continue
            with socket.socket(fileno=copy) as connection:
                if connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT):
                    limit = round(1000 * seconds)
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limit)
