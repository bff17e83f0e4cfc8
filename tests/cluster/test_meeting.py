"""Workers meet, agree, and say who was lost: each a thread here, at addresses of this machine."""

import concurrent.futures
import contextlib
import os
import socket
import threading
import time

import pytest

from sagan_tf.cluster import Cluster, LostWorkerError, meet, meeting
from sagan_tf.cluster.links import bear_silence
from sagan_tf.system.errors import UserError


@pytest.fixture
def hosts():
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(3)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return tuple(f"127.0.0.1:{each.getsockname()[1]}" for each in sockets)


def each(hosts, work, numbers=(0, 1, 2), seconds=20):
    """What `work(meeting)` gives, or raises, at each worker; and the lines that they were told at the end."""
    ends = {}

    def run(index):
        def end(line, code):
            ends[index] = (line, code)

        try:
            with meet(Cluster(hosts, index), seconds, lambda line: None, end) as met:
                return work(met)
        except UserError as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(len(numbers)) as pool:
        return list(pool.map(run, numbers)), ends


def test_values_come_in_the_order_of_the_workers(hosts):
    results, ends = each(hosts, lambda met: [met.gather(10 * met.cluster.index + i) for i in range(2)])
    assert results == [[[0, 10, 20], [1, 11, 21]]] * 3 and not ends


def test_the_chief_is_first(hosts):
    order = []

    def work(met):
        if met.is_chief:
            time.sleep(0.2)
        return met.chief_first(lambda: order.append(met.cluster.index), "")

    each(hosts, work)
    assert order[0] == 0 and sorted(order) == [0, 1, 2]


def test_differences_end_all_with_one_line(hosts):
    def work(met):
        met.compare({"--seed": 3})
        met.compare({"--seed": 3, "--loss": "kl" if met.cluster.index == 1 else "hinge"})

    results, ends = each(hosts, work)
    line = f"the workers differ: --loss is hinge on {hosts[0]}, {hosts[2]} but kl on {hosts[1]}"
    assert [str(error) for error in results] == [line] * 3 and not ends


def test_who_does_not_come_is_named(hosts, monkeypatch):
    monkeypatch.setattr(meeting, "_LINE_SECONDS", 0.2)
    said = []

    def run(index):
        with pytest.raises(LostWorkerError, match=rf"in vain for .*({hosts[2]}|{hosts[0]})") as caught:
            meet(Cluster(hosts, index), 1.5, said.append)
        return caught.value.exit_code

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, (0, 1))) == [75, 75]
    assert sum(f"waiting for 1 of 3 workers: {hosts[2]}" in line for line in said) >= 2


def test_a_worker_waits_for_the_chief(hosts, monkeypatch):
    monkeypatch.setattr(meeting, "_LINE_SECONDS", 0.2)
    said = []
    with pytest.raises(LostWorkerError, match=f"in vain for worker 0, {hosts[0]}"):
        meet(Cluster(hosts, 1), 1, said.append)
    assert f"waiting for worker 0, {hosts[0]}" in said[0]


def test_who_ends_without_a_word_is_named_to_all(hosts):
    done = threading.Barrier(3)

    def work(met):
        if met.cluster.index == 1:
            met._closed.set()
            for link in met._links.values():
                link.close()  # what the system does to the connections of a process that was killed
        done.wait()
        time.sleep(0.5)

    _, ends = each(hosts, work)
    line = f"worker 1, {hosts[1]}: has ended without a word (killed?)"
    assert ends == {0: (line, 75), 2: (line, 75)}


def test_who_is_silent_is_named_to_all(hosts, monkeypatch):
    monkeypatch.setattr(meeting, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(meeting, "SILENCE_SECONDS", 1.0)

    def work(met):
        if met.cluster.index == 2:
            met._closed.set()  # no more signs of life, but the connection stays
        time.sleep(3)

    _, ends = each(hosts, work)
    assert ends.keys() == {0, 1} and {code for _, code in ends.values()} == {75}
    assert all(
        line.startswith(f"worker 2, {hosts[2]}: has not answered for 1 s") for line, _ in ends.values()
    )


def test_who_was_stopped_itself_gives_the_others_their_time_again(hosts, monkeypatch):
    monkeypatch.setattr(meeting, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(meeting, "SILENCE_SECONDS", 1.0)

    def work(met):
        wait = met._closed.wait
        met._closed.wait = lambda seconds: wait(2.0 if not stopped.is_set() else seconds)
        time.sleep(1)
        stopped.set()
        time.sleep(3)

    stopped = threading.Event()
    assert each(hosts, work)[1] == {}


def test_connections_bear_silence():
    option = (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())
        connection, _ = server.accept()
        with connection, open(os.devnull):
            connection.setsockopt(*option, 20_000)  # what gRPC sets
            before = len(os.listdir("/proc/self/fd"))
            bear_silence(60)
            assert (connection.getsockopt(*option), client.getsockopt(*option)) == (60_000, 0)
            assert len(os.listdir("/proc/self/fd")) == before  # it leaves nothing open
            connection.sendall(b"a")
            assert client.recv(1) == b"a"


def test_an_error_of_one_ends_the_others_with_its_code(hosts, monkeypatch):
    monkeypatch.setattr(meeting, "_OWN_END_SECONDS", 0.1)

    def work(met):
        met.gather(None)
        if met.cluster.index == 1:
            raise UserError("this host has no disk")
        time.sleep(1)

    results, ends = each(hosts, work)
    line = f"worker 1, {hosts[1]}: has ended with exit code 2; its output says why"
    assert str(results[1]) == "this host has no disk" and ends == {0: (line, 2), 2: (line, 2)}


def test_after_a_signal_nobody_is_lost(hosts):
    def work(met):
        met.exit_code = 143
        time.sleep(0.1 * met.cluster.index)

    assert each(hosts, work)[1] == {}


def test_strangers_and_other_clusters_are_not_let_in(hosts):
    def stranger():
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", chief_port)) as link:
                link.sendall(b"GET / HTTP/1.1\r\n\r\n")
                return link.recv(1)
            time.sleep(0.05)

    chief_port = int(hosts[0].rpartition(":")[2])
    thread = threading.Thread(target=stranger)
    thread.start()
    time.sleep(0.2)
    results, _ = each(hosts, lambda met: met.gather(met.cluster.index))
    thread.join()
    assert results == [[0, 1, 2]] * 3


def test_two_workers_with_one_number(hosts):
    results, _ = each(hosts, lambda met: None, numbers=(0, 1, 1), seconds=5)
    line = f"two processes call themselves worker 1, {hosts[1]}"
    assert [str(error) for error in results] == [line] * 3


def test_another_list_of_workers(hosts):
    def run(index):
        theirs = hosts if index != 1 else (*hosts[:2], "z:1")
        with pytest.raises(UserError, match=rf"worker 1, {hosts[1]}: knows other workers"):
            meet(Cluster(theirs, index), 5)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(run, (0, 1)))
