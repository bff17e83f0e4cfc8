"""Folders that a command writes to: the same options may write again, however their paths are written."""

import dataclasses
import os

import pytest

from sagan_tf.system.errors import UserError
from sagan_tf.system.options import option
from sagan_tf.system.output_folder import OutputFolder


@dataclasses.dataclass(frozen=True)
class Options:
    workdir: str = option("", "A run.", is_path=True)
    runs: tuple[str, ...] = option((), "Runs.", is_path=True)
    dataset: str = option("digits", "Images.", is_path=True)
    seed: int = option(0, "Seed.")
    output: str = option("", "A folder.", is_path=True)


def write(output, **given):
    return OutputFolder(str(output), Options(output=str(output), **given), record="made.cfg")


def refused(output, **given):
    with pytest.raises(UserError, match="holds what other options made") as error:
        write(output, **given)
    return str(error.value)


def test_a_moved_run_s_own_folder_is_its_own(tmp_path, monkeypatch):
    run = tmp_path / "run"
    write(run / "pictures", workdir=str(run), runs=(str(run),))
    moved = run.rename(tmp_path / "renamed")
    write(moved / "pictures", workdir=str(moved), runs=(str(moved),))
    monkeypatch.chdir(tmp_path)
    write("renamed/pictures", workdir="renamed", runs=("renamed",))
    monkeypatch.chdir(moved)
    write("pictures", workdir=".", runs=(".",))
    assert "--seed" in refused("pictures", workdir=".", runs=(".",), seed=1)


def test_the_same_text_from_another_directory_is_another_run(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name / "run").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a")
    write(tmp_path / "out", workdir="run")
    monkeypatch.chdir(tmp_path)
    write("out", workdir="a/run")
    monkeypatch.chdir(tmp_path / "b")
    assert "--workdir" in refused(tmp_path / "out", workdir="run")


def test_places_are_compared_whatever_their_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    os.symlink("a", "link")
    write("out", workdir="a", runs=("a", "b"), dataset="folder:a")
    write("out", workdir=f"{tmp_path}/a", runs=("./a", "b/"), dataset=f"folder:{tmp_path}/a")
    write("out", workdir="link", runs=("b/../a", "b"), dataset="folder:link")
    assert "--workdir" in refused("out", workdir="b", runs=("a", "b"), dataset="folder:a")
    assert "--runs" in refused("out", workdir="a", runs=("a",), dataset="folder:a")
    assert "--dataset" in refused("out", workdir="a", runs=("a", "b"), dataset="folder:b")
    assert "--dataset" in refused("out", workdir="a", runs=("a", "b"), dataset="npz:a")
    url = "https://tfhub.dev/x/1"
    write("other", dataset=url)
    assert "--dataset" in refused("other", dataset="")
