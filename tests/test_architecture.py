"""The shape of the package: arrows between its parts, sizes, where flags are named, no dead option."""

import ast
import functools

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "sagan_tf"
SOURCES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
TOOLS = sorted((ROOT / "tools").glob("*.py"))

# Which parts (modules or subpackages of sagan_tf) a part may import, besides itself, `options` and `system`.
# An entry point, a module with a function `console`, may import everything but other entry points.
NETWORK_PARTS = {"augment", "layers", "losses", "networks", "original"}
ARROWS = {
    "__init__": set(),
    "attention_maps": {"pictures"},
    "augment": set(),
    "cli": set(),
    "class_choice": set(),
    "comparison": {"experiment", "metrics"},
    "config": set(),
    "data": set(),
    "distribution": set(),
    "estimate": {"layers", "networks"},
    "experiment": {"config", "data", "metrics", "training"} | NETWORK_PARTS,
    "layers": set(),
    "losses": set(),
    "metrics": {"data"},
    "networks": {"layers"},
    "options": set(),
    "original": set(),
    "original_checkpoint": {"original"},
    "output_folder": set(),
    "pictures": set(),
    "reproduction": {"comparison", "config", "estimate", "experiment", "metrics"},
    "run_attention": {"attention_maps", "config", "data", "experiment", "metrics", "pictures"},
    "run_scoring": {"experiment", "metrics", "training"},
    "system": set(),
    "serving": {"metrics", "networks"},
    "sampling": {"data", "experiment", "metrics", "networks", "output_folder", "pictures"},
    "training": {"attention_maps", "pictures"} | NETWORK_PARTS,
    "training_scores": {"config", "experiment", "metrics", "run_scoring", "training"},
}


@functools.cache
def tree(path):
    return ast.parse((ROOT / path).read_text(), filename=str(path))


def part(source):
    return source.parts[0].removesuffix(".py")


def is_entry_point(name):
    path = PACKAGE / f"{name}.py"
    return path.exists() and any(getattr(node, "name", "") == "console" for node in tree(path).body)


def imports(path):
    """Full names of what a file imports, wherever in the file: `from a import b` gives `a.b`."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_parts(path):
    parts = {(name + ".").split(".")[1] for name in imports(path) if name.split(".")[0] == "sagan_tf"}
    return parts & {part(source) for source in SOURCES}  # less what is no module: `sagan_tf.__version__`


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_arrows_go_down(source):
    own = part(source)
    reached = imported_parts(PACKAGE / source) - {own, "options", "system"}
    if is_entry_point(own):
        wrong = {name for name in reached if is_entry_point(name)}
    else:
        assert own in ARROWS, f"{source} is new: give it a row in ARROWS, and DESIGN's picture a place"
        wrong = reached - ARROWS[own]
    assert not wrong, f"{source} must not import {wrong}"


def test_arrows_have_no_circle_and_no_row_for_what_is_gone():
    assert set(ARROWS) <= {part(source) for source in SOURCES}
    below = dict(ARROWS)
    while below:
        bottom = {name for name, reached in below.items() if not reached & set(below)}
        assert bottom, f"a circle among {sorted(below)}"
        below = {name: reached for name, reached in below.items() if name not in bottom}


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_flags_are_named_in_options_only(source):
    named = [name for name in imports(PACKAGE / source) if name.startswith(("absl.flags", "absl.app"))]
    assert not named or str(source) == "options.py"


@pytest.mark.parametrize("path", [PACKAGE / source for source in SOURCES] + TOOLS, ids=lambda path: path.name)
def test_sizes(path):
    """Files under 300 lines, functions under 40 (less the docstring), constructors under 9 arguments."""
    assert path.name != "utils.py"
    lines = path.read_text().count("\n")
    assert lines < 300, f"{path.name} is too long"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef):
            first = node.body[min(1, len(node.body) - 1) if ast.get_docstring(node) else 0]
            assert node.end_lineno - first.lineno < 40, f"{path.name}: {node.name} is too long"
            if node.name == "__init__":
                arguments = node.args.args[1:] + node.args.kwonlyargs
                # A network's arguments are its whole description, which it is saved by.
                limit = 14 if path.parent.name == "networks" else 9
                assert len(arguments) < limit, f"{path.name}:{node.lineno}: too many arguments"


def option_fields(path):
    """Name of every dataclass field in a file that `option` makes."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ClassDef):
            for statement in node.body:
                value = getattr(statement, "value", None)
                if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "option":
                    yield statement.target.id


def fields_read(path):
    """Names N in every `config.N` and `options.N`, whatever stands before `config` and `options`."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            holder = getattr(node.value, "id", None) or getattr(node.value, "attr", "")
            if holder.strip("_") in ("config", "options"):
                yield node.attr


def test_no_option_is_dead():
    """Every option is read outside the class that declares and checks it."""
    read = {name for source in SOURCES for name in fields_read(PACKAGE / source)}
    fields = [(source, name) for source in SOURCES for name in option_fields(PACKAGE / source)]
    assert len(fields) > 20
    assert not [f"{source}: {name}" for source, name in fields if name not in read]
