"""`--help`: common options and all of them, types, defaults and choices; examples of each command."""

import dataclasses
import importlib
import re
import shlex

import pytest

from sagan_tf.runs.config import Config
from sagan_tf.system import options
from sagan_tf.system.help import help_text
from sagan_tf.system.options import option
from tests.system.test_cli import ENTRY_POINTS


@dataclasses.dataclass(frozen=True)
class Example:
    steps: int = option(64, "Steps.", section="Run", common=True)
    runs: tuple[str, ...] = option((), "Runs.", section="Run", positional=True, is_path=True)
    workdir: str = option("", "Directory.", section="Run", common=True, required=True, is_path=True)
    rates: tuple[float, ...] = option((1e-4,), "Rates.", section="Training")
    loss: str = option("hinge", "Loss.", section="Training", choices=("hinge", "kl"))
    size: int = option(8, "Size.", section="Training", choices=(8, 16))
    what: tuple[str, ...] = option(("grid",), "Kind.", choices={"grid": "a grid", "npz": "a file"})
    flip: bool = option(False, "Mirror.")
    data: str = option("", "Images.", placeholder="KIND:PATH")


def test_all_options():
    assert (
        help_text(Example, "sagan_tf.say", "Says.\n\nMore.\n", full=True)
        == """Says.

More.

usage: python -m sagan_tf.say RUNS ... [--flagfile=FILE] [--OPTION=VALUE ...]

Common options:
  --workdir=PATH  [required]
      Directory.
  --steps=INT  [default: 64]
      Steps.

Run:
  --runs=PATH,PATH,...
      Runs.

Training:
  --rates=NUMBER,NUMBER,...  [default: 0.0001]
      Rates.
  --loss=NAME  [default: hinge]
      Loss. One of: hinge, kl.
  --size=INT  [default: 8]
      Size. One of: 8, 16.

Options:
  --what=NAME,NAME,...  [default: grid]
      Kind. Any of, comma separated:
        grid: a grid
        npz: a file
  --flip or --noflip  [default: false]
      Mirror.
  --data=KIND:PATH
      Images.
"""
    )


def test_common_options_only():
    text = help_text(Example, "tools/say", "Says.")
    assert text.startswith("Says.\n\nusage: python tools/say.py RUNS ... [")
    assert re.findall(r"^  --(\w+)", text, re.MULTILINE) == ["workdir", "steps"]
    assert text.endswith("\n7 more options are shown by --helpfull.\n")


def _options(name):
    return Config if name == "train" else importlib.import_module(f"sagan_tf.{name}").Options


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_help_of_a_command(name):
    """It fits a terminal; --helpfull has every option once, --help a few, the required among them."""
    module, cls = importlib.import_module(f"sagan_tf.{name}"), _options(name)
    fields = {field.name: field.metadata for field in dataclasses.fields(cls)}
    full = help_text(cls, f"sagan_tf.{name}", module.__doc__, full=True)
    assert sorted(re.findall(r"^  --(\w+)", full, re.MULTILINE)) == sorted(fields)
    assert max(map(len, full.splitlines())) <= 110
    shown = re.findall(r"^  --(\w+)", help_text(cls, f"sagan_tf.{name}", module.__doc__), re.MULTILINE)
    assert len(shown) <= 30 and {name for name, about in fields.items() if about["required"]} <= {*shown}


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_examples_of_a_command_can_be_read(name, monkeypatch):
    """Each sets options that exist to values of their types. Whether places exist is not looked at."""
    monkeypatch.setattr(options, "check", lambda read: None)
    examples = importlib.import_module(f"sagan_tf.{name}").__doc__.partition("\nExamples:\n")[2]
    commands = re.findall(r"^  python -m (.*)$", examples.replace("\\\n", ""), re.MULTILINE)
    assert len(commands) >= 2
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == f"sagan_tf.{name}"
        read, given = options.parse(_options(name), arguments)
        missing = {field.name for field in dataclasses.fields(read) if field.metadata["required"]} - given
        assert not missing or (name, missing) == ("train", {"dataset"}), command  # a run or a preset has it
