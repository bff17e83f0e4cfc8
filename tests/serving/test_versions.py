"""Versions appear whole, rise, and are never touched again; whatever stops an export in between."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from sagan_tf.serving.versions import new_version, versions
from sagan_tf.system.errors import UserError
from tests.conftest import ROOT


def _export(directory, text="x"):
    with new_version(str(directory)) as (number, partial):
        (directory / f"{number}.partial" / "model").write_text(text)
        assert os.path.samefile(partial, directory / f"{number}.partial")
        assert number not in versions(str(directory))
    return number


def test_numbers_rise_and_nothing_is_overwritten(tmp_path):
    directory = tmp_path / "new" / "model"
    assert [_export(directory, text) for text in "abc"] == [1, 2, 3]
    (directory / "41").mkdir()
    (directory / "1000.scores.jsonl").touch()
    assert _export(directory, "d") == 42
    assert versions(str(directory)) == [1, 2, 3, 41, 42]
    assert [(directory / str(n) / "model").read_text() for n in (1, 2, 3, 42)] == list("abcd")


def test_failure_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), new_version(str(tmp_path)) as (_, partial):
        with open(os.path.join(partial, "half"), "w"):
            raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_one_export_at_a_time_and_leftovers_are_deleted(tmp_path):
    (tmp_path / "5.partial" / "variables").mkdir(parents=True)
    (tmp_path / "notes.partial").touch()
    with new_version(str(tmp_path)):
        with pytest.raises(UserError, match="another export is writing"), new_version(str(tmp_path)):
            pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "notes.partial"]


def test_version_that_somebody_else_made_meanwhile_stays(tmp_path):
    with pytest.raises(UserError, match="cannot be written"), new_version(str(tmp_path)) as (number, _):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "model").write_text("other")
    assert (tmp_path / "1" / "model").read_text() == "other" and len(list(tmp_path.iterdir())) == 1


def test_directory_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "model"):
        with pytest.raises(UserError, match="cannot be written"), new_version(str(place)):
            pass


CHILD = """
import os, sys
sys.path.insert(0, sys.argv[1])
from sagan_tf.serving.versions import new_version
os.fsync = lambda descriptor: None  # which would take most of the time, and no power is cut here
print("ready", flush=True)
while True:
    with new_version(sys.argv[2]) as (number, directory):
        for name in range(200):
            with open(f"{directory}/{name}", "w") as file:
                file.write(str(number) * 100)
"""


def test_kill_at_any_moment_leaves_whole_versions(tmp_path):
    def check(number):
        files = {path.name: path.read_text() for path in (tmp_path / str(number)).iterdir()}
        assert files == {str(name): str(number) * 100 for name in range(200)}

    chance, found = random.Random(0), []
    for _ in range(10):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(ROOT), str(tmp_path)], stdout=subprocess.PIPE
        )
        child.stdout.readline()
        before, deadline = found, time.monotonic() + 60
        while len(found) == len(before) and time.monotonic() < deadline:
            found = versions(str(tmp_path))
        check(found[-1])  # as a server sees it that was waiting for it
        time.sleep(chance.uniform(0.0, 0.05))
        child.kill()
        assert child.wait() == -signal.SIGKILL
        child.stdout.close()
        found = versions(str(tmp_path))
    assert found == list(range(1, len(found) + 1)) and len(found) >= 10
    for number in found:
        check(number)


@pytest.mark.slow
def test_kill_during_export_leaves_none_or_a_whole_version(workdir, tmp_path):
    """Ten kills at random between the first file that is written and the end of the command."""
    directory = tmp_path / "model"
    directory.mkdir()
    command = [sys.executable, "-m", "sagan_tf.export", f"--workdir={workdir}", f"--export_dir={directory}"]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1"}

    def start():
        """The command, at the moment when it begins to write, and when that is."""
        child = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        partial = directory / f"{max(versions(str(directory)), default=0) + 1}.partial"
        shutil.rmtree(partial, ignore_errors=True)  # of the one before
        while not partial.exists() and child.poll() is None:
            time.sleep(0.001)
        return child, time.monotonic()

    child, begin = start()
    assert child.wait() == 0
    duration = time.monotonic() - begin
    names, chance, left = set(os.listdir(directory / "1")), random.Random(1), []
    assert "saved_model.pb" in names and "MODEL_CARD.md" in names
    for _ in range(10):
        child, _ = start()
        time.sleep(chance.uniform(0.0, 1.1) * duration)
        child.kill()
        child.wait()
        left.append({path.name: sorted(os.listdir(path)) for path in directory.glob("*.partial")})
        for number in versions(str(directory)):
            assert set(os.listdir(directory / str(number))) == names
    print(left)
    assert any(left)
    before = versions(str(directory))
    assert start()[0].wait() == 0
    assert versions(str(directory)) == [*before, before[-1] + 1] and not list(directory.glob("*.partial"))
