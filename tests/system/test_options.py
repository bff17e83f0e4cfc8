"""Options: every type, bounds, flagfiles, what a mistake is answered with, what `--help` says."""

import dataclasses
import re

import pytest

from sagan_tf.system import options
from sagan_tf.system.errors import UserError
from sagan_tf.system.options import option


@dataclasses.dataclass(frozen=True)
class Example:
    workdir: str = option("", "Directory of the run.", section="Run", may_change=True)
    steps: int = option(64, "Steps of the run.", section="Run", minimum=1, maximum=1000)
    rate: float = option(1e-4, "Learning rate.", section="Training", minimum=0)
    shift: float = option(0.0, "Without bounds.", section="Training")
    loss: str = option("hinge", "Loss.", section="Training", choices=("hinge", "kl"))
    attention: tuple[int, ...] = option((32,), "Resolutions.", section="Networks", choices=(8, 16, 32))
    names: tuple[str, ...] = option((), "Names.", section="Networks")
    flip: bool = option(True, "Mirror.", section="Networks")

    def check(self):
        if self.loss == "kl" and self.flip:
            raise UserError("--loss=kl and --flip do not go together")


def parse(*argv):
    return options.parse(Example, list(argv))[0]


def message(*argv):
    with pytest.raises(UserError) as caught:
        parse(*argv)
    return str(caught.value)


def test_defaults():
    assert options.parse(Example, []) == (Example(), frozenset())


@pytest.mark.parametrize(
    ("argument", "name", "value"),
    [
        ("--workdir=runs/a b", "workdir", "runs/a b"),
        ("--workdir=tfds:größe", "workdir", "tfds:größe"),
        ("--workdir=a=b", "workdir", "a=b"),
        ("--steps=1", "steps", 1),
        ("--steps=1000", "steps", 1000),
        ("-steps=7", "steps", 7),
        ("--rate=2e-4", "rate", 2e-4),
        ("--rate=1", "rate", 1.0),
        ("--shift=-1.5", "shift", -1.5),
        ("--attention=8,16", "attention", (8, 16)),
        ("--attention=8, 16,", "attention", (8, 16)),
        ("--attention=16", "attention", (16,)),
        ("--attention=", "attention", ()),
        ("--names=a,b c", "names", ("a", "b c")),
        ("--flip", "flip", True),
        ("--noflip", "flip", False),
        ("--flip=false", "flip", False),
        ("--flip=True", "flip", True),
        ("--flip=0", "flip", False),
    ],
)
def test_each_type(argument, name, value):
    result, given = options.parse(Example, [argument])
    assert result == dataclasses.replace(Example(), **{name: value})
    assert type(getattr(result, name)) is type(value)
    assert given == {name}


def test_value_as_an_argument_of_its_own():
    assert parse("--steps", "7", "--workdir", "x") == Example(steps=7, workdir="x")


def test_given_tells_a_default_that_was_typed():
    assert options.parse(Example, ["--steps=64"]) == (Example(), frozenset({"steps"}))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--steps=x"], "--steps=x: must be a whole number"),
        (["--steps=1e3"], "--steps=1e3: must be a whole number"),
        (["--steps="], "--steps=: must be a whole number"),
        (["--steps=0"], "--steps=0: must be at least 1"),
        (["--steps=1001"], "--steps=1001: must be at most 1000"),
        (["--rate=fast"], "--rate=fast: must be a finite number"),
        (["--shift=nan"], "--shift=nan: must be a finite number"),
        (["--shift=inf"], "--shift=inf: must be a finite number"),
        (["--rate=-1"], "--rate=-1.0: must be at least 0"),
        (["--loss=wgan"], "--loss=wgan: allowed are hinge, kl"),
        (["--attention=8,7"], "--attention=7: allowed are 8, 16, 32"),
        (["--attention=8,x"], "--attention=8,x: must be a comma-separated list, each element a whole number"),
        (["--flip=perhaps"], "--flip=perhaps: must be true or false"),
        (["--workdir", "--steps=3"], "--workdir: has no value, --steps=3 follows"),
        (["--workdir=a\nb"], r"--workdir='a\nb': must be one line without spaces around it"),
        (["--workdir= a"], "--workdir=' a': must be one line without spaces around it"),
        (["--flagfile="], "--flagfile=: names no file"),
        (["--loss=kl"], "--loss=kl and --flip do not go together"),
    ],
)
def test_wrong_values(arguments, expected):
    assert message(*arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--stepz=3"], "Did you mean: steps?"),
        (["--unlike_any_other=3"], "'unlike_any_other'"),
        (["--nosteps"], "'nosteps'"),
        (["--noflip=true"], "--noflip=true"),
        (["--workdir"], "--workdir"),
        (["--flagfile"], "--flagfile"),
        (["steps=3"], "'steps=3'"),
        (["--flip", "false"], "'false'"),
        (["--", "--steps=3"], "'--steps=3'"),
    ],
)
def test_mistakes_with_flags_point_to_help(arguments, word):
    text = message(*arguments)
    assert word in text and "\n" not in text
    assert "--help" in text or "argument" in text


def test_two_mistakes_name_the_first_option_only():
    assert message("--steps=0", "--loss=wgan").startswith("--steps=0:")


CHANGED = Example("a b", 7, 0.1 + 0.2, -1e-30, "kl", (8, 16), ("x", "y z"), False)


@pytest.mark.parametrize("example", [Example(), CHANGED, Example(attention=(), workdir="ü/#x")])
def test_flagfile_round_trip(tmp_path, example):
    path = tmp_path / "with space.cfg"
    path.write_text(options.to_flagfile(example, "two\nlines"))
    assert path.read_text().startswith("# two\n# lines\n--workdir=")
    assert options.from_flagfile(Example, str(path)) == example
    result, given = options.parse(Example, ["--flagfile", str(path)])
    assert result == example and given == {field.name for field in dataclasses.fields(Example)}


def test_last_setting_wins(tmp_path):
    path = tmp_path / "a.cfg"
    path.write_text("--steps=5\n--noflip\n")
    flagfile = f"--flagfile={path}"
    assert parse(flagfile, "--steps=6") == Example(steps=6, flip=False)
    assert parse("--steps=6", flagfile) == Example(steps=5, flip=False)
    assert parse("--steps=6", "--steps=7").steps == 7


def test_flagfile_in_a_flagfile(tmp_path):
    (tmp_path / "base.cfg").write_text("# base\n\n--steps=5\n--rate=0.5\n")
    (tmp_path / "top.cfg").write_text(f"--flagfile={tmp_path}/base.cfg\n--steps=6\n")
    assert parse(f"--flagfile={tmp_path}/top.cfg") == Example(steps=6, rate=0.5)


def test_nested_flagfiles_are_relative_to_the_file_that_names_them(tmp_path, monkeypatch):
    (tmp_path / "rows").mkdir()
    (tmp_path / "base.cfg").write_text("// base\n--steps=5\n")
    (tmp_path / "rows" / "row.cfg").write_text("--flagfile=../base.cfg\n--rate=0.5\n")
    monkeypatch.chdir(tmp_path / "rows")
    assert parse("--flagfile=row.cfg") == Example(steps=5, rate=0.5)
    monkeypatch.chdir(tmp_path)
    assert parse("--flagfile", "rows/row.cfg") == Example(steps=5, rate=0.5)
    (tmp_path / "base.cfg").write_text("--flagfile=missing.cfg\n")
    assert message("--flagfile=rows/row.cfg") == "--flagfile=rows/../missing.cfg: No such file or directory"
    (tmp_path / "base.cfg").write_text("--flagfile=rows/row.cfg\n")
    assert message("--flagfile=base.cfg") == "--flagfile=rows/../base.cfg: leads to itself"


def test_flagfiles_that_cannot_be_used(tmp_path):
    missing = f"{tmp_path}/missing.cfg"
    assert message(f"--flagfile={missing}") == f"--flagfile={missing}: No such file or directory"
    assert message("--flagfile", missing) == f"--flagfile={missing}: No such file or directory"
    assert message(f"--flagfile={tmp_path}") == f"--flagfile={tmp_path}: Is a directory"
    (tmp_path / "nested.cfg").write_text(f"--flagfile={missing}\n")
    assert message(f"--flagfile={tmp_path}/nested.cfg") == f"--flagfile={missing}: No such file or directory"
    (tmp_path / "picture.cfg").write_bytes(b"--workdir=\xff\xd8\n")
    picture = f"--flagfile={tmp_path}/picture.cfg"
    assert message(picture) == f"{picture}: is not text"
    (tmp_path / "no_dashes.cfg").write_text("steps=3\n")
    assert message(f"--flagfile={tmp_path}/no_dashes.cfg").startswith("unexpected argument 'steps=3'")
    with pytest.raises(UserError, match=re.escape(f"{missing}: no such file")):
        options.from_flagfile(Example, missing)


def test_difference_names_what_must_not_change():
    new = dataclasses.replace(CHANGED, workdir="elsewhere", steps=8, attention=(), flip=True)
    assert options.difference(CHANGED, CHANGED) == []
    assert options.difference(CHANGED, dataclasses.replace(CHANGED, workdir="elsewhere")) == []
    assert options.difference(CHANGED, new) == [
        "--steps: '7' before, '8' now",
        "--attention: '8,16' before, '' now",
        "--flip: 'false' before, 'true' now",
    ]


def test_check_of_an_instance_made_in_python():
    with pytest.raises(UserError, match="--steps=0: must be at least 1"):
        options.check(Example(steps=0))


def test_help():
    text = options.help_text(Example, "sagan_tf.example", "Does something.\n\nAnd more.\n")
    assert text.startswith("Does something.\n\nAnd more.\n\nusage: python -m sagan_tf.example [")
    assert re.findall(r"^(\w+):$", text, re.MULTILINE) == ["Run", "Training", "Networks"]
    for field in dataclasses.fields(Example):
        assert text.count(f"--{field.name}\n") + text.count(f"--[no]{field.name}\n") == 1
        assert field.metadata["help"] in text
    assert "Loss. One of hinge, kl. [hinge]" in text and "Learning rate. [0.0001]" in text
    assert "Directory of the run.\n" in text  # an empty default is not shown
    assert max(map(len, text.splitlines())) <= 100


@dataclasses.dataclass(frozen=True)
class Positional:
    runs: tuple[str, ...] = option((), "Runs.", positional=True)
    seed: int = option(0, "Seed.")


def test_arguments_that_are_no_flags_go_to_the_positional_option():
    parsed, given = options.parse(Positional, ["a", "--seed=3", "b,c", "--runs=x,y"])
    assert parsed == Positional(("x", "y", "a", "b,c"), 3) and given == {"runs", "seed"}
    assert options.parse(Positional, ["--seed=1"]) == (Positional((), 1), {"seed"})
    with pytest.raises(UserError, match="sed"):
        options.parse(Positional, ["a", "--sed=3"])
    assert "usage: python -m sagan_tf.say RUNS ... [--flagfile=FILE]" in options.help_text(
        Positional, "sagan_tf.say", "Says it."
    )
