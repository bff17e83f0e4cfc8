"""Every example of a public docstring and every block of Python in a page is run."""

import doctest
import shutil

import keras
import numpy as np
import pytest

import sagan_tf
from tests import tiny_run
from tests.earlier_files.test_earlier_files import HERE
from tests.test_pages import PAGES, code_blocks, name_of

RECIPES = [
    (f"{name_of(page)}: {section.partition(chr(10))[0]}", code)
    for page in PAGES
    for section in page.read_text().split("\n## ")
    for code in code_blocks(section, "python")
]
WITHOUT_EXAMPLE = {"Config", "Model", "prepare"}  # options; what `load` returns; its example is a new process


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A directory with the files that examples name."""
    (tmp_path / "runs").mkdir()
    shutil.copytree(HERE / "run", tmp_path / "runs" / "digits")  # examples write into it
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "digits").symlink_to(HERE / "export")
    (tmp_path / "classifier").symlink_to(HERE / "classifier")
    (tmp_path / "digits.cfg").write_text("\n".join(tiny_run.PLAIN))
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)


def test_pages_with_blocks_of_python():
    assert len(RECIPES) == sum(page.read_text().count("```python") for page in PAGES)
    assert {title.partition(": ")[0] for title, _ in RECIPES} >= {"README.md", "sagan_tf/layers/README.md"}


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
