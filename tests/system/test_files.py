"""Whole files, the one lock, and that what only Linux or Unix has is named in few places."""

import ast
import errno
import hashlib
import os
import stat
import subprocess
import sys
import types

import pytest

from sagan_tf.data import tfrecord
from sagan_tf.system import files, processor
from tests.conftest import ROOT
from tools import ceilings

# Where each of these may be named. Every other place would need its own way out.
PLACES = {
    "fcntl": {"sagan_tf/system/files.py"},
    "flock": {"sagan_tf/system/files.py"},
    "fsync": {"sagan_tf/system/files.py"},
    "sched_getaffinity": {"sagan_tf/system/processor.py"},
    "cpu_count": {"sagan_tf/system/processor.py"},
    "preadv": {"sagan_tf/data/tfrecord.py"},
    "resource": {"sagan_tf/data/tfrecord.py", "tools/ceilings.py"},
    **dict.fromkeys(("sched_setaffinity", "pwritev", "posix_fadvise", "posix_fallocate"), set()),
    **dict.fromkeys(("copy_file_range", "memfd_create", "fdatasync", "fork", "epoll", "getrandom"), set()),
}


def names(path):
    """What a file imports, and every attribute that it reads."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Attribute):
            yield node.attr


def test_calls_that_not_every_system_has_are_made_in_few_places():
    found = {name: set() for name in PLACES}
    for path in [*(ROOT / "sagan_tf").rglob("*.py"), *(ROOT / "tools").glob("*.py")]:
        for name in set(names(path)) & set(PLACES):
            found[name].add(str(path.relative_to(ROOT)))
    assert found == PLACES


HOLDER = """
import sys
from sagan_tf.system import files
with open(sys.argv[1], "a") as file:
    files.lock(file)
    print(flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_kept_out_until_the_first_lets_go(tmp_path):
    path = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, path],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    holder.stdout.readline()
    with open(path, "a") as file:
        with pytest.raises(BlockingIOError):
            files.lock(file)
        holder.stdin.close()  # it ends
        files.lock(file, wait=True)
    assert holder.wait() == 0


def test_processors_without_affinity(monkeypatch):
    assert processor.usable_cpus() >= 1
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert processor.usable_cpus() == 3
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert processor.usable_cpus() == 1


def _no_such_file(*_, **__):
    raise FileNotFoundError


def test_peak_memory_is_in_bytes(monkeypatch):
    usage = types.SimpleNamespace(ru_maxrss=5)
    monkeypatch.setattr("resource.getrusage", lambda who: usage)
    monkeypatch.setattr(ceilings, "open", _no_such_file, raising=False)  # /proc, which only Linux has
    for system, expected in (("linux", 5 * 1024), ("darwin", 5)):
        monkeypatch.setattr(sys, "platform", system)
        assert ceilings.peak_memory() == expected


def test_records_are_read_without_preadv(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(bytes(range(10)))
    monkeypatch.delattr(os, "preadv", raising=False)
    reader, out = tfrecord.RecordReader([str(tmp_path / "file")]), bytearray(4)
    reader.read_into(0, 2, memoryview(out))
    assert out == bytes([2, 3, 4, 5])
    with pytest.raises(OSError, match="is shorter than before"):
        reader.read_into(0, 8, memoryview(out))


def test_a_file_is_the_old_one_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "file"
    files.write(str(path), "täxt\n")
    assert path.read_bytes() == "täxt\n".encode()
    with pytest.raises(ZeroDivisionError), files.whole(str(path)) as file:
        file.write("half")
        file.flush()
        assert path.read_text() == "täxt\n"
        raise ZeroDivisionError
    assert path.read_text() == "täxt\n" and os.listdir(tmp_path) == ["file"]
    files.write(str(path), b"\xff")
    assert path.read_bytes() == b"\xff" and os.listdir(tmp_path) == ["file"]


def test_what_is_published_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    flushed = []

    def fsync(descriptor):
        flushed.append((os.stat(descriptor).st_ino, os.path.exists(tmp_path / "whole")))

    monkeypatch.setattr(os, "fsync", fsync)
    (tmp_path / "partial" / "inner").mkdir(parents=True)
    (tmp_path / "partial" / "inner" / "file").write_text("x")
    files.publish(str(tmp_path / "partial"), str(tmp_path / "whole"))
    inside = [tmp_path / "whole" / "inner" / "file", tmp_path / "whole" / "inner", tmp_path / "whole"]
    assert flushed == [*((path.stat().st_ino, False) for path in inside), (tmp_path.stat().st_ino, True)]


def test_file_systems_that_cannot_flush_a_directory(tmp_path, monkeypatch):
    fsync, number = os.fsync, errno.EINVAL

    def refuse(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) or number == errno.EIO:
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    files.write(str(tmp_path / "file"), "x")
    assert (tmp_path / "file").read_text() == "x"
    number = errno.EIO
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        files.write(str(tmp_path / "file"), "y")
    assert (tmp_path / "file").read_text() == "x" and os.listdir(tmp_path) == ["file"]


def test_hash_of_files(tmp_path):
    (tmp_path / "a").write_bytes(b"12" * (1 << 20))
    (tmp_path / "b").write_bytes(b"3")
    assert files.sha256(tmp_path / "a") == hashlib.sha256(b"12" * (1 << 20)).hexdigest()
    assert (
        files.sha256(tmp_path / "a", tmp_path / "b") == hashlib.sha256(b"12" * (1 << 20) + b"3").hexdigest()
    )


@pytest.mark.parametrize("name", ["ENOSYS", "ENOLCK", "EOPNOTSUPP", "EINVAL"])
def test_file_systems_without_locks_get_one_warning(tmp_path, monkeypatch, capsys, name):
    number = getattr(errno, name)

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    files._warn_once.cache_clear()
    for _ in range(2):
        with files.locked(str(tmp_path / "directory")), open(tmp_path / "file", "w") as file:
            files.lock(file)
    assert capsys.readouterr().err.count("this file system has no locks") == 1
    number = errno.EIO
    with pytest.raises(OSError, match=os.strerror(errno.EIO)), files.locked(str(tmp_path / "directory")):
        pytest.fail("not locked")


@pytest.mark.parametrize("name", ["EINVAL", "ENOSYS", "ENOTSUP"])
def test_file_systems_that_cannot_flush_anything(tmp_path, monkeypatch, capsys, name):
    number = getattr(errno, name)

    def refuse(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    files._warn_once.cache_clear()
    for content in ("x", "y"):
        files.write(str(tmp_path / "file"), content)
    assert (tmp_path / "file").read_text() == "y"
    assert capsys.readouterr().err.count("cannot say when a file is on the disk") == 1
