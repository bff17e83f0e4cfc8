"""The shape of the package: arrows between its parts, sizes, where flags are named, no dead option."""

import ast
import functools
import re

import pytest

from sagan_tf.__main__ import commands
from tests.conftest import ROOT

PACKAGE = ROOT / "sagan_tf"
SOURCES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
TOOLS = sorted((ROOT / "tools").glob("*.py"))
COMMANDS = commands()

# Rooms (folders of the package) from the lowest up. A room may import those of lower floors alone.
FLOORS = [
    {"system", "pictures"},
    {"layers"},
    {"networks"},
    {"training", "data", "metrics", "cluster"},
    {"monitoring"},
    {"runs"},
    {"evaluation"},
    {"inspection", "serving", "importing", "session"},
    {"reproduction"},
    {"library"},
]
PUBLIC = {"layers", "networks", "runs", "library"}
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


@functools.cache
def tree(path):
    return ast.parse((ROOT / path).read_text(), filename=str(path))


def part(source):
    return source.parts[0].removesuffix(".py")


def imports(path):
    """Full names of what a file imports, wherever in the file: `from a import b` gives `a.b`."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_parts(path):
    """Rooms and files at the root of sagan_tf that a file imports; `sagan_tf.__version__` is neither."""
    parts = {(name + ".").split(".")[1] for name in imports(path) if name.split(".")[0] == "sagan_tf"}
    return parts & {part(source) for source in SOURCES}


def wrong_arrows(source):
    """The rooms and commands that a file imports and must not, of `imported_parts`."""
    own, reached = part(source), imported_parts(PACKAGE / source)
    if own == "__init__":  # of the package: it names the public interface, and imports it when it is used
        return reached - FLOORS[0] - PUBLIC
    if own == "library":  # it calls commands as functions
        return reached - {own} - set(FLOOR_OF) - set(COMMANDS)
    if len(source.parts) == 1:  # a command: all rooms, but no other command
        return reached - {own, "__init__"} - set(FLOOR_OF)
    return {room for room in reached - {own} if FLOOR_OF.get(room, len(FLOORS)) >= FLOOR_OF[own]}


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_arrows_go_down(source):
    assert len(source.parts) == 1 or part(source) in FLOOR_OF, f"{source}: a new room needs a floor in FLOORS"
    assert not wrong_arrows(source), f"{source} must not import {wrong_arrows(source)}"


def test_every_room_has_a_docstring_and_is_there():
    rooms = {path.parent.name: path for path in PACKAGE.glob("*/__init__.py")}
    assert set(rooms) == set(FLOOR_OF)
    assert [name for name, path in rooms.items() if not ast.get_docstring(tree(path))] == []


def test_tests_mirror_the_package():
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
    assert folders - {"earlier_files", "golden"} == {*FLOOR_OF, "tools"}


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("[!_]*.py")), ids=lambda path: path.name)
def test_a_file_at_the_root_is_a_command(path):
    """It has options, `main` and `console`, and a sentence in the list of commands."""
    names = {getattr(node, "name", "") for node in tree(path).body}
    assert {"main", "console"} <= names
    assert "Options" in names or any(name.endswith(".Config") for name in imports(path))
    assert path.stem in COMMANDS and 10 < len(COMMANDS[path.stem]) < 110


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_flags_are_named_in_options_only(source):
    named = [name for name in imports(PACKAGE / source) if name.startswith(("absl.flags", "absl.app"))]
    assert not named or str(source) == "system/options.py"


# The rooms below the commands. Those not listed see the options themselves, or write command lines.
NAME_NO_FLAGS = set().union(*FLOORS[1:5], {"pictures", "evaluation", "inspection"})
LOW_ROOMS = [source for source in SOURCES if part(source) in NAME_NO_FLAGS]
LOW_ROOMS += [source for source in SOURCES if str(source) in ("system/devices.py", "system/paths.py")]


@pytest.mark.parametrize("source", LOW_ROOMS, ids=str)
def test_no_flag_is_named_in_low_rooms(source):
    """They say what is wrong; the command, which knows its flags, adds the flag (`errors.naming`)."""
    texts = {
        node.value
        for node in ast.walk(tree(PACKAGE / source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    named = [text for text in texts if re.search(r"(?<![\w`-])--[a-z]", text)]
    assert not named


@pytest.mark.parametrize("path", [PACKAGE / source for source in SOURCES] + TOOLS, ids=lambda path: path.name)
def test_sizes(path):
    """Functions under 40 lines (less the docstring), constructors under 9 arguments."""
    assert path.name != "utils.py"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef):
            first = node.body[min(1, len(node.body) - 1) if ast.get_docstring(node) else 0]
            assert node.end_lineno - first.lineno < 40, f"{path.name}: {node.name} is too long"
            if node.name == "__init__":
                arguments = node.args.args[1:] + node.args.kwonlyargs
                # The arguments of a network or a layer are its whole description, which it is saved by.
                limit = 16 if path.parent.name in ("networks", "layers") else 9
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


def test_the_table_of_the_paper_names_what_is_there():
    """README: every `path:name` of the table is a function or class of that file."""
    named = re.findall(r"`([a-z_/]+\.py):(\w+)`", (ROOT / "README.md").read_text())
    assert len(named) >= 12
    for path, name in named:
        assert name in {getattr(node, "name", "") for node in tree(PACKAGE / path).body}, f"{path}:{name}"
