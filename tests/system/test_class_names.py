"""When two lists of class names mean the same classes."""

import os
import unicodedata

import pytest

from sagan_tf.system import class_names
from sagan_tf.system.errors import UserError

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
    assert not class_names.agree(numbers, ("0", "1", "three"))
    assert not class_names.agree(animals, animals[::-1])


def test_numbers_become_the_names_that_they_agree_with():
    numbers, animals = ("0", "1", "2"), ("ant", "bee", "cat")
    assert class_names.better_known(numbers, animals) == animals
    for names in (animals, numbers[:2], ("2", "1", "0")):
        assert class_names.better_known(names, ("dog", "eel", "fox")) == names
    assert class_names.better_known(animals, numbers) == animals


AWKWARD = [*"/a/abbey .. . .hidden 100% 100%25 %2F a%2Fb Thumbs.db a:b back\\slash größe 猫 CON #1".split()]
AWKWARD += ["a b", "do\u2028g", "x" * 250]


@pytest.mark.parametrize("name", AWKWARD)
def test_what_is_written_as_a_folder_is_read_again(tmp_path, name):
    folder = class_names.to_folder(name)
    (tmp_path / folder).mkdir()
    (found,) = os.listdir(tmp_path)
    assert class_names.from_folder(found) == name and not class_names.is_clutter(found)


def test_names_of_folders_stay_names_of_classes():
    for folder in ("100%25", "a%2fb", "%zz", "cat"):
        assert class_names.from_folder(folder) == folder
    assert class_names.to_folder("x" * 256) is None


def test_what_is_written_as_lines_is_read_again(tmp_path):
    path = str(tmp_path / "names.txt")
    class_names.write(path, AWKWARD)
    assert class_names.read(path) == tuple(AWKWARD)
    (tmp_path / "names.txt").write_bytes("\ufeffcat\r\ndog".encode())
    assert class_names.read(path) == ("cat", "dog")
    with pytest.raises(UserError, match="none.txt: cannot be read .No such file"):
        class_names.read(str(tmp_path / "none.txt"))


@pytest.mark.parametrize(
    "names", [["caf\udce9"], ["a\nb"], ["a\rb"], [""], ["a", "a"], ["\u00e9", "e\u0301"]]
)
def test_names_that_cannot_be_written_are_refused(names):
    with pytest.raises(UserError, match="rename it|have the same name"):
        class_names.checked(names)


def test_differences_in_words():
    assert class_names.differences(["cat", "dog"], ["cat", "dog"]) == ""
    assert class_names.differences(["0", "1"], ["cat", "dog"]) == ""
    assert class_names.differences(["cat", "dog"], ["ant", "cat"]) == "classes dog before, ant now"
    assert class_names.differences(["cat"], ["ant", "cat"]) == "1 classes before, 2 now"
    assert class_names.differences(["a", "b"], ["b", "a"]) == "the same classes in another order"


def test_what_users_call_classes():
    assert [class_names.label_of(text, ["cat", "e\u0301"]) for text in ("\u00e9", "0", "2", "dog")] == [
        1,
        0,
        None,
        None,
    ]
    numbers = ["0", "1", "10", "2"]  # as folders are sorted
    assert [class_names.label_of(text, numbers) for text in ("2", "10", "3")] == [3, 2, None]
