"""When two lists of class names mean the same classes."""

import unicodedata

from sagan_tf.system import class_names

CAFE = [unicodedata.normalize(form, "café") for form in ("NFC", "NFD")]


def test_both_unicode_forms_are_one_name():
    assert CAFE[0] != CAFE[1]
    assert class_names.same(["a", CAFE[0]], ("a", CAFE[1])) and class_names.agree(CAFE[:1], CAFE[1:])
    assert not class_names.same(["a", "b"], ["b", "a"])


def test_numbers_agree_with_as_many_names():
    numbers, animals = ("0", "1", "2"), ("ant", "bee", "cat")
    assert class_names.agree(numbers, animals) and class_names.agree(animals, numbers)
    assert not class_names.same(numbers, animals)
    assert not class_names.agree(numbers, animals[:2])
    assert not class_names.agree(numbers, ("2", "1", "0"))  # names that are numbers, in another order
    assert not class_names.agree(animals, animals[::-1])
