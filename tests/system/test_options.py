"""Options: every type, bounds, flagfiles, what a mistake is answered with."""

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
    key_ratio: int = option(8, "Ratio.", section="Networks")

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
        ("--no-flip", "flip", False),
        ("--key-ratio=7", "key_ratio", 7),
        ("-key-ratio=7", "key_ratio", 7),
        ("--loss=HINGE", "loss", "hinge"),
        ("--workdir=A-B", "workdir", "A-B"),
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
        (["--loss=hing"], "--loss=hing: allowed are hinge, kl; did you mean hinge?"),
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
        (["--step-z=3"], "'step_z'. Did you mean: steps?"),
        (["steps=3"], "'steps=3': did you mean --steps=3?"),
        (["flags/x.cfg"], "'flags/x.cfg': did you mean --flagfile=flags/x.cfg?"),
        (["--flip", "false"], "'false'"),
        (["--", "--steps=3"], "'--steps=3'"),
    ],
)
def test_mistakes_with_flags_point_to_help(arguments, word):
    text = message(*arguments)
    assert word in text and "\n" not in text
    assert "--help" in text or "argument" in text


def test_a_folder_is_probably_a_run(tmp_path):
    assert message(str(tmp_path)) == f"unexpected argument '{tmp_path}': did you mean --workdir={tmp_path}?"


def test_a_value_of_its_own_may_have_hyphens():
    assert parse("--key-ratio", "3", "--workdir", "a-b") == Example("a-b", key_ratio=3)


def test_two_mistakes_name_the_first_option_only():
    assert message("--steps=0", "--loss=wgan").startswith("--steps=0:")


CHANGED = Example("a b", 7, 0.1 + 0.2, -1e-30, "kl", (8, 16), ("x", "y z"), False, 4)


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
    assert message("--flagfile=rows/row.cfg") == (
        "rows/../base.cfg:1: --flagfile=rows/../missing.cfg: No such file or directory"
    )
    (tmp_path / "base.cfg").write_text("--flagfile=rows/row.cfg\n")
    assert message("--flagfile=base.cfg") == ("rows/row.cfg:1: --flagfile=rows/../base.cfg: leads to itself")


def test_flagfiles_that_cannot_be_used(tmp_path):
    missing = f"{tmp_path}/missing.cfg"
    assert message(f"--flagfile={missing}") == f"--flagfile={missing}: No such file or directory"
    assert message("--flagfile", missing) == f"--flagfile={missing}: No such file or directory"
    assert message(f"--flagfile={tmp_path}") == f"--flagfile={tmp_path}: Is a directory"
    (tmp_path / "nested.cfg").write_text(f"--flagfile={missing}\n")
    nested = f"{tmp_path}/nested.cfg"
    assert message(f"--flagfile={nested}") == f"{nested}:1: --flagfile={missing}: No such file or directory"
    (tmp_path / "picture.cfg").write_bytes(b"--workdir=\xff\xd8\n")
    picture = f"--flagfile={tmp_path}/picture.cfg"
    assert message(picture) == f"{picture}: is not text"
    with pytest.raises(UserError, match=re.escape(f"{missing}: no such file")):
        options.from_flagfile(Example, missing)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("steps=3", "'steps=3': an option begins with two dashes; write --steps=3"),
        ("--steps = 3", "'--steps = 3': an option has no spaces around =; write --steps=3"),
        ("--workdir= a", "'--workdir= a': an option has no spaces around =; write --workdir=a"),
        ("--steps 3", "'--steps 3': is no option; write --steps=3"),
        ("---", "'---': is no option; write --name=value"),
        ("--steps=x", "--steps=x: must be a whole number"),
        ("--steps=0", "--steps=0: must be at least 1"),
        ("--stepz=3", "Unknown command line flag 'stepz'. Did you mean: steps? (--help lists the flags)"),
        ("--loss=wgan", "--loss=wgan: allowed are hinge, kl"),
        ("--loss=kl", "--loss=kl and --flip do not go together"),
    ],
)
def test_a_mistake_in_a_flagfile_names_its_line(tmp_path, line, expected):
    path = tmp_path / "a.cfg"
    path.write_text(f"# mine\n--rate=0.5\n\n{line}\n--names=a\n")
    assert message(f"--flagfile={path}", "--shift=1") == f"{path}:4: {expected}"


def test_the_line_is_that_of_the_setting_that_won(tmp_path):
    (tmp_path / "base.cfg").write_text("--steps=0\n")
    (tmp_path / "top.cfg").write_text("--flagfile=base.cfg\n--rate=1\n")
    assert (
        message(f"--flagfile={tmp_path}/top.cfg") == f"{tmp_path}/base.cfg:1: --steps=0: must be at least 1"
    )
    assert message(f"--flagfile={tmp_path}/top.cfg", "--steps=-1") == "--steps=-1: must be at least 1"
    assert parse(f"--flagfile={tmp_path}/top.cfg", "--steps=2").steps == 2


def test_a_missing_flagfile_suggests_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flags" / "cifar10").mkdir(parents=True)
    for name in ("digits", "cifar10", "cifar10/sn_d"):
        (tmp_path / "flags" / f"{name}.cfg").write_text("--steps=5\n")
    for given, near in {
        "flags/digit.cfg": "flags/digits.cfg",
        "flag/digits.cfg": "flags/digits.cfg",
        "digits.cfg": "flags/digits.cfg",
        "sn_d.cfg": "flags/cifar10/sn_d.cfg",
        "flags/cifar10": "flags/cifar10.cfg",
    }.items():
        assert message(f"--flagfile={given}").endswith(f"; did you mean {near}?"), given
    assert "did you mean" not in message("--flagfile=unlike_any.txt")


@dataclasses.dataclass(frozen=True)
class Fitting:
    """`kind` may do without `size`, or has one that fits."""

    kind: str = option("large", "Kind.", choices=("large", "small"))
    size: int = option(9, "Size.")

    def with_fitting_defaults(self, given):
        return dataclasses.replace(self, size=3) if self.kind == "small" and "size" not in given else self


def test_defaults_that_do_not_fit_are_replaced():
    assert options.parse(Fitting, ["--kind=small"]) == (Fitting("small", 3), {"kind"})
    assert options.parse(Fitting, ["--kind=small", "--size=9"])[0].size == 9


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
