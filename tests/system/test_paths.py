"""What an option that names a place means, for every command."""

import ast
import dataclasses
import os

import pytest

from sagan_tf.system import options, output, paths
from sagan_tf.system.errors import UserError
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("~/x", "/home/me/x"),
        ("~", "/home/me"),
        ("runs/a/", "runs/a"),
        ("runs/a//", "runs/a"),
        ("./runs/a/.", "./runs/a"),
        ("/", "/"),
        (".", "."),
        ("..", ".."),
        ("", ""),
        ("a~b", "a~b"),
        ("a:b/", "a:b"),
        ("folder:~/c/", "folder:/home/me/c"),
        ("tfds:mnist", "tfds:mnist"),
        ("digits", "digits"),
        ("https://tfhub.dev/a/b/1/", "https://tfhub.dev/a/b/1/"),
    ],
)
def test_one_meaning(monkeypatch, given, meant):
    monkeypatch.setenv("HOME", "/home/me")
    assert paths.normal(given) == meant


def test_beside(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    monkeypatch.chdir(tmp_path / "images")
    beside = str(tmp_path / "images.scores")
    assert paths.beside(".", ".scores") == beside and paths.beside("./", ".scores") == beside
    assert paths.beside("a/b/", ".scores") == "a/b.scores"


def test_the_newest_version_of_an_export(tmp_path):
    for name in ("9", "10", "11", "x"):
        (tmp_path / name).mkdir()
    for name in ("9", "10", "x"):
        (tmp_path / name / "saved_model.pb").touch()
    assert paths.newest_version(str(tmp_path)) == f"{tmp_path}/10"
    assert paths.newest_version(f"{tmp_path}/11") == paths.newest_version(f"{tmp_path}/gone") == ""


def test_within(tmp_path, monkeypatch):
    (tmp_path / "c" / "cat").mkdir(parents=True)
    os.symlink(tmp_path / "c", tmp_path / "link")
    monkeypatch.chdir(tmp_path)
    for path in ("c", "c/new/file", "link/x", str(tmp_path / "c" / "cat")):
        assert paths.is_within(path, "c")
        with pytest.raises(UserError, match=f"--output={path}: lies within c"):
            output.check_not_within("output", path, "c")
    assert not paths.is_within("c2", "c") and not paths.is_within(".", "c")


def test_names_that_tensorflow_takes_for_patterns(tmp_path):
    assert paths.for_tensorflow(str(tmp_path)) == str(tmp_path)
    for name in ("lr[1]", "a*", "b?", "c\\d"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "file").write_text(name)
        plain = paths.for_tensorflow(str(folder))
        assert not set("*?[]\\") & set(plain) and plain == paths.for_tensorflow(f"{folder}/")
        with open(os.path.join(plain, "file")) as file:
            assert file.read() == name


@dataclasses.dataclass(frozen=True)
class Example:
    output: str = options.option("", "Where.", is_path=True, may_change=False)
    runs: tuple[str, ...] = options.option((), "Which.", positional=True, is_path=True)


def test_options_that_name_places(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/me")
    flagfile = tmp_path / "x.cfg"
    flagfile.write_bytes(b"\xef\xbb\xbf--output=~/out/\n")  # with a byte order mark
    parsed, _ = options.parse(Example, [f"--flagfile={flagfile}", "~/a/", "--runs=b/,~/c"])
    assert parsed.output == "/home/me/out" and set(parsed.runs) == {"/home/me/a", "b", "/home/me/c"}
    assert options.difference(Example("runs/x"), Example("runs/x/")) == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("caf\udce9", r"--output=caf\\xe9: is not text in UTF-8"),
        ("a\nb", "must be one line"),
        ("a ", "spaces"),
    ],
)
def test_places_that_cannot_stand_in_a_flagfile(value, message):
    with pytest.raises(UserError, match=message):
        options.parse(Example, [f"--output={value}"])
    assert options.parse(Example, ["--output=実験\u30001"])[0].output == "実験\u30001"


def test_every_option_that_names_a_place_says_so():
    """By the words of its help; `class_names` and the like included."""
    found = 0
    for path in [*(ROOT / "sagan_tf").rglob("*.py"), *(ROOT / "tools").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            call = getattr(node, "value", None)
            if not (isinstance(node, ast.AnnAssign) and isinstance(call, ast.Call)):
                continue
            if getattr(call.func, "id", "") != "option" or not call.args[1:]:
                continue
            text = ast.unparse(call.args[1])
            names_a_place = text.startswith(
                ("'Director", "'File", "'Folder", "'A flagfile", "'The checkpoint")
            )
            if names_a_place or "folder:PATH" in text or "TFDS keeps" in text or "TF-Hub handle" in text:
                found += 1
                assert any(keyword.arg == "is_path" for keyword in call.keywords), f"{path}: {node.target.id}"
    assert found > 25
