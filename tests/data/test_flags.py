"""The sources of images do not know the command line: their errors say what is wrong, and carry options."""

import ast
import re

import pytest

from sagan_tf import data
from sagan_tf.data.folder import FolderExamples
from sagan_tf.system.errors import UserError
from tests.conftest import ROOT

SOURCES = sorted((ROOT / "sagan_tf" / "data").glob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_string_names_a_flag(path):
    """Neither a message nor a docstring."""
    texts = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
    assert [text for text in texts if isinstance(text, str) and re.search("--[a-z]", text)] == []


def test_errors_carry_what_is_wrong_and_the_option_apart(tmp_path):
    with pytest.raises(UserError) as raised:
        FolderExamples(f"{tmp_path}/gone")
    assert (str(raised.value), raised.value.option) == ("no such folder", "")
    spec = f"folder:{tmp_path}/gone"
    with pytest.raises(UserError) as raised:
        data.open_examples(spec)
    assert str(raised.value) == f"--dataset={spec}: no such folder"
    (tmp_path / "bad.png").touch()
    with pytest.raises(UserError) as raised:
        data.open_dataset(f"folder:{tmp_path}", image_size=8)
    assert raised.value.remedy == {"bad_images": "skip"} and "bad.png: empty file" in raised.value.problem
