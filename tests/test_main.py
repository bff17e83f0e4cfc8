"""`python -m sagan_tf`: the list of the commands."""

import subprocess
import sys

import sagan_tf
from sagan_tf import __main__ as listing
from tests.conftest import ROOT
from tests.system.test_cli import ENTRY_POINTS


def test_every_command_has_its_line(capsys):
    assert listing.main([]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == ENTRY_POINTS
    assert any(line.split()[0] == "compare" and line.endswith("as a picture and a table") for line in lines)


def test_version_and_mistake(capsys):
    assert listing.main(["--version"]) == 0
    assert capsys.readouterr().out == f"sagan_tf {sagan_tf.__version__}\n"
    assert listing.main(["trian"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("sagan_tf: error: trian: ")
    assert captured.err.count("\n") == 1


def test_the_list_needs_no_tensorflow():
    code = "import runpy, sys\ntry: runpy.run_module('sagan_tf', run_name='__main__', alter_sys=True)\n"
    code += "except SystemExit as end: print(end.code, {'tensorflow', 'keras'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.stdout.splitlines()[-1] == "0 set()", ended.stderr
