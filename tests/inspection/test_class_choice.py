"""Classes as users name them."""

import unicodedata

import pytest

from sagan_tf.inspection.class_choice import choose
from sagan_tf.system.errors import UserError

NAMES = ("cat", "dog", "0", "owl")


def test_names_and_numbers_in_the_order_asked_for():
    assert choose(("owl", "1", "owl"), NAMES, True) == [3, 1]
    assert choose(("0",), NAMES, True) == [2]  # a name first of all


def test_both_unicode_forms_of_a_name_are_one():
    assert choose(("cafe\u0301",), ("ant", "caf\u00e9"), True) == [1]


def test_without_a_wish_all_or_some_evenly_spaced():
    assert choose((), NAMES, True) == [0, 1, 2, 3]
    assert choose((), NAMES, True, limit=10) == [0, 1, 2, 3]
    assert choose((), [str(i) for i in range(1000)], True, limit=4) == [0, 333, 666, 999]


def test_unconditional():
    assert choose((), (), False) == [0]
    with pytest.raises(UserError, match="--classes=cat: the model is unconditional"):
        choose(("cat",), (), False)


@pytest.mark.parametrize("text", ["cow", "2", "4", "-1", "1.0"])
def test_classes_that_do_not_exist(text):
    """Allowed numbers are those that are taken: not that of a class which has a number for its name."""
    allowed = r"allowed are names \(cat, dog, 0, owl\) and the numbers 1, 3$"
    with pytest.raises(UserError, match=rf"--classes={text}: no such class; {allowed}"):
        choose((text,), NAMES, True)
    for number in (1, 3):
        assert choose((str(number),), NAMES, True) == [number]


def test_the_numbers_that_are_allowed():
    for names, allowed in (
        (("0", "1", "2"), r" and numbers from 0 to 2$"),
        (("cat", "dog"), r" and numbers from 0 to 1$"),
        (("0", "1", "10", "2"), r"names \(0, 1, 10, 2\)$"),
        ([f"a{number}" for number in range(50)] + ["7"], r" and the numbers 0, 1, 2, .*, 20, \.\.\.$"),
    ):
        with pytest.raises(UserError, match=f"no such class; allowed are .*{allowed}"):
            choose(("99",), names, True)


def test_names_in_both_unicode_forms():
    composed, decomposed = (unicodedata.normalize(form, "größe") for form in ("NFC", "NFD"))
    assert choose([decomposed, composed], ["cat", composed], True) == [1]
    assert choose([composed], ["cat", decomposed], True) == [1]
