"""How workers meet before TensorFlow joins them, agree on what they do, and notice that one is lost.

TensorFlow's own join waits without a word and without an end, and it compares nothing. So the workers meet
first: all connect to the chief, at the address that TensorFlow will use. These connections then stay. Over
them each worker shows every few seconds that it lives, and the chief tells all others who was lost.
"""

import contextlib
import threading
import time
import typing

from sagan_tf.cluster.environment import Cluster
from sagan_tf.cluster.joining import EXIT_LOST, ending_at_signals, leave
from sagan_tf.cluster.links import Link, bear_silence, connect, listen
from sagan_tf.system.devices import Workers, make_workers
from sagan_tf.system.errors import UserError

BEAT_SECONDS, SILENCE_SECONDS = 5.0, 45.0  # TCP sends again 26 s after a cut: cuts of 20 s end nothing
# TensorFlow gives up after half of this at the earliest: the end that is told here is first and says why.
_TENSORFLOWS_SILENCE_SECONDS = 120
_OWN_END_SECONDS, _OTHERS_END_SECONDS = 2.0, 10.0
_LINE_SECONDS = 10.0  # between two lines about who is waited for
_CONNECT_SECONDS, _RETRY_SECONDS = 5.0, 0.5


class Alone:
    """The meeting of a process that trains alone."""

    exit_code = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def compare(self, facts: dict) -> None:
        """Nobody has other facts."""

    def chief_first(self, action: typing.Callable, line: str):
        del line
        return action()

    def join(self, devices: str, seconds: float) -> Workers:
        del seconds
        return make_workers(devices)

    def await_end(self) -> None:
        """Nobody can be lost."""


class LostWorkerError(UserError):
    """Another worker is not there (any more)."""

    exit_code = EXIT_LOST


class Meeting:
    """The workers of a run, once all are there. Make it with `meet`.

    Use it as a context: at the end it tells the other workers how this one ended.

    Args:
      cluster: who they are.
      links: at the chief, the links to all others by their numbers; elsewhere, that to the chief, number 0.
      end: called as end(line, exit code) in a thread when the run cannot go on. It must end the process.

    Attributes:
      exit_code: what this worker tells the others at the end, unless an exception ends it.
    """

    def __init__(self, cluster: Cluster, links: dict[int, Link], end: typing.Callable):
        self.cluster, self.exit_code = cluster, 0
        self._links, self._end, self._left = links, end, set()
        self._values, self._answer, self._news = {}, None, threading.Condition()
        self._closed = threading.Event()
        for index in links:
            threading.Thread(target=self._read, args=(index,), daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        del error
        code = self.exit_code if kind is None else 2 if issubclass(kind, UserError) else 1
        self._closed.set()
        for link in self._links.values():
            link.send(bye=code)
        if self.is_chief and kind is None:  # the others need the chief's part of TensorFlow while they end
            with self._news:
                self._news.wait_for(lambda: self._left >= self._links.keys(), _OTHERS_END_SECONDS)

    @property
    def is_chief(self) -> bool:
        return self.cluster.index == 0

    def gather(self, value) -> list:
        """The values of all workers, in their order. Each worker must call it; it waits for all.

        Args:
          value: anything that JSON has.
        """
        with self._news:
            if not self.is_chief:
                self._links[0].send(value=value)
                self._news.wait_for(lambda: self._answer is not None)
                answer, self._answer = self._answer, None
                return answer
            self._news.wait_for(lambda: len(self._values) == len(self._links))
            answer = [value] + [self._values[index] for index in sorted(self._values)]
            self._values = {}
        for link in self._links.values():
            link.send(all=answer)
        return answer

    def compare(self, facts: dict) -> None:
        """Raises UserError, in all workers, if one of them has other facts than the chief.

        Args:
          facts: values that JSON has, by what they are called in the message.
        """
        everybody = self.gather(facts)
        names = sorted(set().union(*everybody))
        differences = [
            f"{name} is " + " but ".join(self._who_has(values))
            for name in names
            if len(values := self._by_value(everybody, name)) > 1
        ]
        if differences:
            self._closed.set()  # all end with this line, and not with that another has ended
            raise UserError("the workers differ: " + "; ".join(differences))

    @staticmethod
    def _by_value(everybody: list[dict], name: str) -> dict:
        """The numbers of the workers that have each value of a fact."""
        values = {}
        for index, facts in enumerate(everybody):
            values.setdefault(str(facts.get(name)), []).append(index)
        return values

    def _who_has(self, values: dict) -> list[str]:
        return [
            f"{value} on {', '.join(self.cluster.hosts[index] for index in workers)}"
            for value, workers in values.items()
        ]

    def chief_first(self, action: typing.Callable, line: str):
        """What `action` returns: the chief calls it, and then the others, which print a line and wait."""
        if self.is_chief:
            result = action()
            self.gather(None)
            return result
        print(line, flush=True)
        self.gather(None)
        return action()

    def join(self, devices: str, seconds: float) -> Workers:
        """Lets TensorFlow join the workers, see `make_workers`; signals end the process at once meanwhile."""
        with ending_at_signals("waiting for TensorFlow to join the workers", seconds):
            return make_workers(devices, self.cluster.hosts, self.cluster.index, _TENSORFLOWS_SILENCE_SECONDS)

    def await_end(self) -> None:
        """Gives the news time to come who was lost, which ends the process; returns if there is none."""
        time.sleep(SILENCE_SECONDS + BEAT_SECONDS)

    def _read(self, index: int) -> None:
        link = self._links[index]
        while (message := link.receive()) is not None:
            with self._news:
                if "value" in message:
                    self._values[index] = message["value"]
                elif "all" in message:
                    self._answer = message["all"]
                self._news.notify_all()
            if "lost" in message:
                self._stop(message["lost"], message["code"])
            if "bye" in message:
                self._leave(index)
                self._take_leave(index, message["bye"])
        if index not in self._left:
            self._leave(index)
            self._stop(f"{self.cluster.name(index)}: has ended without a word (killed?)", EXIT_LOST)

    def _leave(self, index: int) -> None:
        with self._news:
            self._left.add(index)
            self._news.notify_all()

    def _take_leave(self, index: int, code: int) -> None:
        # All end together after a signal to one of them, or with one line about what is wrong in all.
        if code and code < 128 and not self._closed.wait(_OWN_END_SECONDS):
            self._stop(
                f"{self.cluster.name(index)}: has ended with exit code {code}; its output says why", code
            )

    def _watch(self) -> None:
        looked = time.monotonic()
        while not self._closed.wait(BEAT_SECONDS):
            bear_silence(_TENSORFLOWS_SILENCE_SECONDS)
            before, looked = looked, time.monotonic()
            for index, link in self._links.items():
                link.send(beat=True)
                if looked - before > 2 * BEAT_SECONDS:  # this process was stopped, maybe all of them
                    link.heard = looked
                if index not in self._left and time.monotonic() - link.heard > SILENCE_SECONDS:
                    name, silence = self.cluster.name(index), f"{SILENCE_SECONDS:.0f} s"
                    why = "its host or the network is down, or it was stopped"
                    self._stop(f"{name}: has not answered for {silence} ({why})", EXIT_LOST)

    def _stop(self, line: str, code: int) -> None:
        """Tells all others, and ends this process."""
        with self._news:
            if self._closed.is_set():
                return
            self._closed.set()
        for link in self._links.values() if self.is_chief else ():
            link.send(lost=line, code=code)
        self._end(line, code)


def meet(cluster: Cluster | None, seconds: float, say=print, end=None) -> Meeting | Alone:
    """Waits until all workers are there.

    Args:
      cluster: who they are; None: this process alone.
      seconds: how long to wait.
      say: prints a line for the user.
      end: see `Meeting`; by default it prints the line as an error and ends the process.

    Raises:
      UserError: they did not come, or the chief's port is taken.
    """
    if cluster is None:
        return Alone()
    wait = _wait_for_all if cluster.index == 0 else _wait_for_chief
    return Meeting(cluster, wait(cluster, time.monotonic(), seconds, say), end or leave)


def _wait_for_all(cluster: Cluster, start: float, seconds: float, say) -> dict[int, Link]:
    """The chief's links to all others."""
    links, due = {}, _LINE_SECONDS
    try:
        server = listen(int(cluster.hosts[0].rpartition(":")[2]))
    except OSError as error:
        raise UserError(f"{cluster.name(0)}: cannot listen at its port ({error.strerror})") from error
    with server:
        server.settimeout(_RETRY_SECONDS)
        while len(links) < len(cluster.hosts) - 1:
            with contextlib.suppress(TimeoutError):
                _greet(cluster, Link(server.accept()[0]), links)
            passed = time.monotonic() - start
            missing = [cluster.hosts[i] for i in range(1, len(cluster.hosts)) if i not in links]
            text = f"{len(missing)} of {len(cluster.hosts)} workers: {', '.join(missing)}"
            if missing and passed > seconds:
                _refuse(links, LostWorkerError(f"waited {passed:.0f} s in vain for {text}"))
            if missing and passed > due:
                due += _LINE_SECONDS
                say(f"waiting for {text}, {passed:.0f} s")
                for link in links.values():
                    link.send(say=f"waiting for {text}, {passed:.0f} s")
    for link in links.values():
        link.send(begin=True)
        link.set_timeout(None)
    return links


def _greet(cluster: Cluster, link: Link, links: dict[int, Link]) -> None:
    """Adds the link of a worker that has come; closes any other."""
    link.set_timeout(_CONNECT_SECONDS)
    message = link.receive() or {}
    index, others = message.get("hello"), [i for i in range(1, len(cluster.hosts))]
    if index not in others:
        link.close()  # nobody of ours
        return
    if message.get("hosts") != list(cluster.hosts):
        links[index] = link
        _refuse(links, UserError(f"{cluster.name(index)}: knows other workers: {message.get('hosts')}"))
    if index in links and not links[index].is_gone:
        link.send(lost=f"two processes call themselves {cluster.name(index)}", code=2)
        _refuse(links, UserError(f"two processes call themselves {cluster.name(index)}"))
    links[index] = link


def _refuse(links: dict[int, Link], error: UserError) -> None:
    """Tells those who have come why nothing will come of it, and raises the error."""
    for link in links.values():
        link.send(lost=str(error), code=error.exit_code)
        link.close()
    raise error


def _wait_for_chief(cluster: Cluster, start: float, seconds: float, say) -> dict[int, Link]:
    """The link to the chief, once it has all workers together."""
    due = _LINE_SECONDS
    while (passed := time.monotonic() - start) < seconds:
        if passed > due:
            due += _LINE_SECONDS
            say(f"waiting for {cluster.name(0)}, {passed:.0f} s")
        link = connect(cluster.hosts[0], _CONNECT_SECONDS)
        if link and _enter(cluster, link, seconds - passed, say):
            link.set_timeout(None)
            return {0: link}
        time.sleep(_RETRY_SECONDS)
    raise LostWorkerError(f"waited {passed:.0f} s in vain for {cluster.name(0)}, or for others there")


def _enter(cluster: Cluster, link: Link, seconds: float, say) -> bool:
    """Whether the chief let this worker in; it may have been gone, or too old, before all had come."""
    link.set_timeout(seconds + _CONNECT_SECONDS)
    link.send(hello=cluster.index, hosts=list(cluster.hosts))
    while (message := link.receive()) is not None:
        if "say" in message:
            say(message["say"])
        if "lost" in message:
            raise (UserError if message["code"] == 2 else LostWorkerError)(message["lost"])
        if "begin" in message:
            return True
    link.close()
    return False
