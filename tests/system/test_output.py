"""Output that outlasts its readers, and places that are checked before the work."""

import dataclasses
import errno
import os
import subprocess
import sys

import pytest

from sagan_tf.system import cli, files, output
from sagan_tf.system.errors import UserError, failure_of_the_system, printable
from sagan_tf.system.options import option
from tests.conftest import ROOT


@dataclasses.dataclass(frozen=True)
class Example:
    steps: int = option(1, "Steps.")


class Broken:
    """A stream whose reader has gone."""

    def __init__(self, number):
        self._number = number

    def write(self, text):
        raise OSError(self._number, os.strerror(self._number))

    flush = lambda self: self.write("")  # noqa: E731


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO, errno.ENOSPC])
def test_text_that_nobody_reads_is_dropped_with_one_line(number, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Broken(number))
    done = []

    def main(options, given):
        for line in range(3):
            print(line, flush=True)
            done.append(line)
        return 5

    with pytest.raises(SystemExit) as ended:
        cli.run(main, Example, "", program="sagan_tf.say", argv=[], tensorflow=False)
    assert ended.value.code == 5 and done == [0, 1, 2]
    reason = os.strerror(number)
    assert capsys.readouterr().err == f"say: warning: standard output is lost ({reason}); the work goes on\n"


PRINTING = """
import dataclasses, sys
from sagan_tf.system import cli
def main(options, given):
    for line in range(100_000):
        print(line, "größe 猫 \\udce9")
    print("done", file=sys.stderr)
@dataclasses.dataclass(frozen=True)
class Options:
    pass
cli.run(main, Options, "", program="sagan_tf.say", argv=[], tensorflow=False)
"""


def test_a_pipe_that_is_closed_and_an_encoding_with_few_letters():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = f'"{sys.executable}" -c "$0" | head -1; exit "${{PIPESTATUS[0]}}"'
    ended = subprocess.run(
        ["bash", "-c", command, PRINTING], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0 and ended.stdout.startswith("0 gr") and "Traceback" not in ended.stderr
    assert ended.stderr.endswith("done\n") and ended.stderr.count("is lost") == 1


WRITING = """
import dataclasses, sys
from sagan_tf.system import cli
def main(options, given):
    with open(sys.argv[1], "wb", buffering=0) as file:
        print("text", flush=True)
        print("text", file=sys.stderr, flush=True)
        file.write(b"data")
@dataclasses.dataclass(frozen=True)
class Options:
    pass
cli.run(main, Options, "", program="sagan_tf.say", argv=[], tensorflow=False)
"""


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_descriptors_end_nothing_and_are_not_taken_by_files(tmp_path, closed):
    path = tmp_path / "file"
    command = f'"{sys.executable}" -c "$0" "$1" {closed}'
    ended = subprocess.run(["bash", "-c", command, WRITING, path], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0 and "Traceback" not in ended.stderr
    assert path.read_bytes() == b"data"
    assert (ended.stdout == "text\n") == (closed in ("2>&-", "<&-"))


def test_every_error_of_the_system_is_one_line(capsys):
    def fails(error):
        def main(options, given):
            raise error

        with pytest.raises(SystemExit) as ended:
            cli.run(main, Example, "", program="sagan_tf.say", argv=[], tensorflow=False)
        err = capsys.readouterr().err
        assert ended.value.code == 2 and err.count("\n") == 1
        return err

    assert fails(OSError(errno.EFBIG, "File too large", "a\nb")) == "say: error: a\\nb: File too large\n"
    import tensorflow as tf

    for number in (errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ENOSPC, errno.EACCES):
        error = tf.errors.UnknownError(None, None, f"x/state.data; {os.strerror(number)}")
        assert fails(error) == f"say: error: x/state.data; {os.strerror(number)}\n"
    error = tf.errors.UnknownError(None, None, "{{function_node __x_device_/y:0}} x; File too large\nmore")
    assert fails(error) == "say: error: x; File too large\n"
    with pytest.raises(tf.errors.InvalidArgumentError):
        fails(tf.errors.InvalidArgumentError(None, None, "shapes do not match"))
    assert failure_of_the_system(ValueError("Input/output error")) == ""


def test_text_for_any_terminal():
    assert printable("größe 猫 a\u3000b") == "größe 猫 a\u3000b"
    assert printable("caf\udce9\n\u2028\x1b[0m") == r"caf\xe9\n\u2028\x1b[0m"
    assert str(UserError("caf\udce9")) == r"caf\xe9"


def test_remedies_are_options_of_the_command(capsys):
    def main(options, given):
        raise UserError("too many", remedy={"steps": 3, "bad_images": "skip"})

    with pytest.raises(SystemExit):
        cli.run(main, Example, "", program="sagan_tf.say", argv=[], tensorflow=False)
    assert capsys.readouterr().err == "say: error: too many (--steps=3)\n"


def test_places_are_checked_before_the_work(tmp_path):
    output.check_new("output", str(tmp_path / "new" / "file"))
    for folder in ("new", "none", "none/below"):
        output.check_directory("output", str(tmp_path / folder))
    assert os.listdir(tmp_path) == ["new"] and os.listdir(tmp_path / "new") == []
    (tmp_path / "file").write_text("kept")
    for check in (output.check_directory, output.check_new):
        for path in ("file/below", "file/below/it"):
            with pytest.raises(UserError, match=f"^--output=.*{path}: cannot be written .Not a directory"):
                check("output", str(tmp_path / path))
        with pytest.raises(UserError, match="file: (is no directory|exists already); name"):
            check("output", str(tmp_path / "file"))
        for path in ("/proc/none/x", "/proc/x"):  # even where permissions allow all
            with pytest.raises(UserError, match="cannot be written"):
                check("output", path)
    with pytest.raises(IsADirectoryError):
        files.check_writable(str(tmp_path / "new"))
    files.check_writable(str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "kept"
