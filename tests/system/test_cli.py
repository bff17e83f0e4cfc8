"""What every command does around its work, and that each entry point does it."""

import ast
import dataclasses
import importlib
import json
import os
import subprocess
import sys

import pytest

import sagan_tf
from sagan_tf.system import cli
from sagan_tf.system.errors import UserError
from sagan_tf.system.options import option
from tests.conftest import ROOT

ENTRY_POINTS = sorted(
    path.stem
    for path in (ROOT / "sagan_tf").glob("*.py")
    if any(getattr(node, "name", "") == "console" for node in ast.parse(path.read_text()).body)
)


@dataclasses.dataclass(frozen=True)
class Example:
    steps: int = option(64, "Steps of the run.", minimum=1)


def run(capsys, main, *argv, tensorflow=False):
    """The exit code, standard output and standard error of a command."""
    with pytest.raises(SystemExit) as ended:
        cli.run(main, Example, "Says it.", program="sagan_tf.say", argv=list(argv), tensorflow=tensorflow)
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def test_main_gets_options_and_what_was_given(capsys):
    def main(options, given):
        print(options.steps, *given)
        return 3

    assert run(capsys, main, "--steps=5") == (3, "5 steps\n", "")
    assert run(capsys, lambda options, given: None) == (None, "", "")


def test_no_work_starts_after_a_mistake(capsys):
    def main(options, given):
        pytest.fail("called")

    expected = "say: error: --steps=0: must be at least 1\n"
    assert run(capsys, main, "--steps=0") == (2, "", expected)
    code, out, err = run(capsys, main, "--step=1")
    assert (code, out) == (2, "") and err.startswith("say: error: ") and err.count("\n") == 1


def test_places_are_checked_before_tensorflow_is_imported(capsys, monkeypatch):
    def missing(options, given):
        raise UserError(f"nothing is there for {options.steps} steps, given: {', '.join(given)}")

    monkeypatch.setattr(cli.runtime, "import_tensorflow", lambda: pytest.fail("imported"))
    with pytest.raises(SystemExit) as ended:
        cli.run(None, Example, "", program="sagan_tf.say", argv=["--steps=5"], check_places=missing)
    assert ended.value.code == 2
    assert capsys.readouterr().err == "say: error: nothing is there for 5 steps, given: steps\n"


def test_user_error_from_the_work(capsys):
    def main(options, given):
        raise UserError("the folder is empty")

    assert run(capsys, main) == (2, "", "say: error: the folder is empty\n")


def test_other_errors_keep_their_traceback():
    def main(options, given):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cli.run(main, Example, "", program="sagan_tf.say", argv=[], tensorflow=False)


def test_interrupt(capsys):
    def main(options, given):
        raise KeyboardInterrupt

    assert run(capsys, main) == (130, "", "say: interrupted\n")


@pytest.mark.parametrize("word", ["--help", "-h", "-help", "--helpfull", "--helpshort"])
def test_help_comes_before_everything(capsys, word):
    code, out, err = run(capsys, None, "--unknown=1", word, tensorflow=True)
    assert (code, err) == (0, "")
    assert out.startswith("Says it.\n\nusage: python -m sagan_tf.say ") and "--steps" in out


def test_version(capsys):
    assert run(capsys, None, "--version") == (0, f"sagan_tf {sagan_tf.__version__}\n", "")


def python(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


FAKE_TENSORFLOW = """
import os, types
os.write(2, b"chatter ")
def list_physical_devices(kind):
    os.write(2, b"no CUDA ")
    return {gpus}
config = types.SimpleNamespace(list_physical_devices=list_physical_devices)
"""


def import_with(tmp_path, tensorflow_source, nvidia_device=None):
    """Runs `import_tensorflow` in a process that finds the given source for TensorFlow."""
    (tmp_path / "tensorflow.py").write_text(tensorflow_source)
    code = (
        "from sagan_tf.system import runtime;"
        f"runtime._NVIDIA_DEVICE = {str(nvidia_device or tmp_path / 'none')!r};"
        "runtime.import_tensorflow(); import os; os.write(2, b'after')"
    )
    return python("-c", code, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}", TF_CPP_MIN_LOG_LEVEL="2")


def test_notices_at_import_are_swallowed(tmp_path):
    result = import_with(tmp_path, FAKE_TENSORFLOW.format(gpus=[]))
    assert (result.returncode, result.stderr) == (0, "after")
    result = import_with(tmp_path, FAKE_TENSORFLOW.format(gpus=["GPU:0"]), nvidia_device=tmp_path)
    assert (result.returncode, result.stderr) == (0, "after")


def test_notices_about_a_gpu_that_cannot_be_used_are_kept(tmp_path):
    result = import_with(tmp_path, FAKE_TENSORFLOW.format(gpus=[]), nvidia_device=tmp_path)
    assert (result.returncode, result.stderr) == (0, "chatter no CUDA after")


def test_notices_of_a_failing_import_are_kept(tmp_path):
    result = import_with(tmp_path, "import os; os.write(2, b'chatter'); raise ImportError('no such library')")
    assert result.returncode != 0
    assert result.stderr.startswith("chatter") and "no such library" in result.stderr


def test_entry_points_are_found():
    assert "train" in ENTRY_POINTS


EVERY_ENTRY_POINT = """
import contextlib, io, json, resource, runpy, sys
def call(name, flag):
    sys.argv = [name, flag]
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            runpy.run_module(f"sagan_tf.{name}", run_name="__main__")
        except SystemExit as stop:
            heavy = sorted({"tensorflow", "keras"} & set(sys.modules))
            return stop.code, out.getvalue(), error.getvalue(), heavy
answers = {name: [call(name, "--help"), call(name, "--no_such_flag=1")] for name in sys.argv[1:]}
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([used.ru_utime + used.ru_stime, answers]))
"""


def test_every_entry_point_helps_quickly_without_tensorflow_and_refuses_unknown_flags():
    """As `python -m sagan_tf.NAME`, one after the other in one process."""
    seconds, answers = json.loads(python("-c", EVERY_ENTRY_POINT, *ENTRY_POINTS).stdout)
    for name, (helps, refuses) in answers.items():
        code, out, error, heavy = helps
        assert (code, error, heavy) == (0, "", [])
        assert f"usage: python -m sagan_tf.{name} " in out
        code, out, error, heavy = refuses
        assert (code, out, error.count("\n"), heavy) == (2, "", 1, [])
        assert error.startswith(f"{name}: error: Unknown command line flag 'no_such_flag'")
    assert list(answers) == ENTRY_POINTS and seconds < 1.5  # of the CPU, for all of them


def test_console_of_an_entry_point(monkeypatch, capsys):
    """The function that a console script calls: the same as `python -m`."""
    for name in ENTRY_POINTS:
        monkeypatch.setattr(sys, "argv", [f"sagan-{name}", "--help"])
        with pytest.raises(SystemExit) as ended:
            importlib.import_module(f"sagan_tf.{name}").console()
        assert ended.value.code == 0 and f"usage: python -m sagan_tf.{name} " in capsys.readouterr().out


def test_without_docstrings():
    """As `python -OO` drops them."""
    helped = python("-OO", "-m", "sagan_tf.sample", "--help")
    assert helped.returncode == 0 and helped.stdout.startswith("\n\nusage: ") and "--workdir" in helped.stdout
    refused = python("-OO", "-m", "sagan_tf.sample")
    assert refused.returncode == 2 and refused.stderr.startswith("sample: error: give either --workdir")


def test_without_a_place_for_temporary_files(tmp_path):
    """As where not even /tmp can be written: TensorFlow is imported with its notices."""
    (tmp_path / "tensorflow.py").write_text(FAKE_TENSORFLOW.format(gpus=[]))
    code = (
        "import tempfile\n"
        "def refuse(*_, **__): raise FileNotFoundError(2, 'No usable temporary directory found')\n"
        "tempfile.TemporaryFile = refuse\n"
        "from sagan_tf.system import runtime; runtime.import_tensorflow()"
    )
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    ended = python("-c", code, PYTHONPATH=path, TF_CPP_MIN_LOG_LEVEL="2")
    assert (ended.returncode, ended.stderr) == (0, "chatter ")
