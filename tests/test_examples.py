"""Every example of a public docstring and every recipe of sagan_tf/layers/README.md is run."""

import doctest

import keras
import numpy as np
import pytest

import sagan_tf
from tests import tiny_run
from tests.conftest import ROOT
from tests.earlier_files.test_earlier_files import HERE

PAGE = (ROOT / "sagan_tf" / "layers" / "README.md").read_text()
SECTIONS = [section.split("```python\n") for section in PAGE.split("\n## ")]
RECIPES = [(text.partition("\n")[0], code.partition("```")[0]) for text, *codes in SECTIONS for code in codes]
WITHOUT_EXAMPLE = {"Config", "Model", "prepare"}  # options; what `load` returns; its example is a new process


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A directory with the files that examples name."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "digits").symlink_to(HERE / "run")
    (tmp_path / "classifier").symlink_to(HERE / "classifier")
    (tmp_path / "digits.cfg").write_text("\n".join(tiny_run.PLAIN))
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)


def test_there_are_five_recipes():
    assert len(RECIPES) == PAGE.count("```python") == 5


@pytest.mark.parametrize(("title", "code"), RECIPES, ids=[title for title, _ in RECIPES])
def test_recipe(title, code, files):
    exec(compile(code, title, "exec"), {})


@pytest.mark.parametrize("name", sorted(set(sagan_tf.__all__) - WITHOUT_EXAMPLE))
def test_example(name, files, eagerly):
    documented = getattr(sagan_tf, name)
    if name in ("train", "evaluate"):  # the command's module; what is called is documented there
        from sagan_tf.library import commands

        documented = getattr(commands, name)
    names = {each: getattr(sagan_tf, each) for each in sagan_tf.__all__} | {"keras": keras, "np": np}
    examples = doctest.DocTestParser().get_doctest(documented.__doc__, names, name, None, None)
    assert examples.examples, f"{name} has no example"
    report = []
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.DocTestRunner(optionflags=flags).run(examples, out=report.append)
    assert result.failed == 0, "".join(report)
