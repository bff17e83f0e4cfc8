"""The one line that a user sees: the option, what is wrong, the options that help."""

import pytest

from sagan_tf.system.errors import UserError, as_flag, naming, with_remedy, writing


def test_options_as_the_command_line_has_them():
    assert as_flag("steps") == as_flag("steps", True) == "--steps"
    assert as_flag("steps", False) == "--nosteps"
    assert (as_flag("steps", 0), as_flag("steps", "a b")) == ("--steps=0", "--steps=a b")
    assert with_remedy("too large") == "too large"
    assert with_remedy("too large", steps=3, size=None) == "too large (--steps=3, --size)"


def test_line_of_an_error():
    assert str(UserError("no such thing")) == "no such thing"
    error = UserError("too large", option="size", value=9, remedy={"steps": 3})
    assert str(error) == "--size=9: too large (--steps=3)" and error.problem == "too large"


def test_an_option_is_blamed_once():
    with pytest.raises(UserError, match="^--dataset=x: gone$"), naming("other", 1), naming("dataset", "x"):
        raise UserError("gone")
    with pytest.raises(UserError, match="^--split: gone$"), naming("dataset", "x"):
        raise UserError("gone", option="split")


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match="^--output=a/b: cannot be written .No such file or directory.$"):
        with writing("output", "a/b"):
            open(tmp_path / "a" / "b", "w")
