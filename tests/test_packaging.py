"""Requirements, console scripts, the built package, and the set-up that the two commands share."""

import importlib
import importlib.metadata
import os
import subprocess
import sys
import zipfile

import pytest
from packaging.requirements import Requirement

from tests.conftest import ROOT
from tests.system.test_cli import ENTRY_POINTS
from tests.test_architecture import PACKAGE, SOURCES, imports

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # comes with pytest there

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
DISTRIBUTIONS = {"PIL": "pillow", "absl": "absl-py", "sklearn": "scikit-learn"}  # where the name differs


def requirements(name):
    lines = [line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    return {requirement.name: requirement for requirement in map(Requirement, filter(None, lines))}


PACKAGE_DATA = [f"inspection/explorer.{ending}" for ending in ("css", "html", "js")]
PACKAGE_DATA += [str(page.relative_to(PACKAGE)) for page in PACKAGE.rglob("README.md")] + ["py.typed"]
FILES = [f"requirements{suffix}.txt" for suffix in ("", "-test", "-serving", "-onnx")]
REQUIRED = {name: bounds for file in FILES for name, bounds in requirements(file).items()}


@pytest.mark.parametrize("name", REQUIRED)
def test_bounds(name):
    """Every requirement is bounded on both sides, and what these tests run with is inside."""
    specifier = REQUIRED[name].specifier
    assert {"<", ">="} <= {part.operator for part in specifier} or "==" in str(specifier)
    assert importlib.metadata.version(name) in specifier


def test_what_is_imported_is_required():
    names = {name.partition(".")[0] for source in SOURCES for name in imports(PACKAGE / source)}
    third_party = names - set(sys.stdlib_module_names) - {"sagan_tf"}
    distributions = {DISTRIBUTIONS.get(name, name.replace("_", "-")) for name in third_party}
    optional = {"tf2onnx"}  # imported where it is used
    assert optional <= set(requirements("requirements-onnx.txt"))
    assert distributions <= set(requirements("requirements.txt")) | optional


def test_a_console_script_for_each_entry_point():
    expected = {f"sagan-{name.replace('_', '-')}": f"sagan_tf.{name}:console" for name in ENTRY_POINTS}
    assert PROJECT["scripts"] == expected
    for target in expected.values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_files_that_are_no_modules_are_package_data():
    files = (path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    others = {str(path.relative_to(PACKAGE)) for path in files if path.suffix != ".py"}
    declared = PYPROJECT["tool"]["setuptools"]["package-data"]
    packages = [".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("__init__.py")]
    chosen = [
        (name, each)
        for key, value in declared.items()
        for name in packages
        for each in value
        if key in ("*", name)
    ]
    found = {path for name, each in chosen for path in (ROOT / name.replace(".", "/")).glob(each)}
    assert others == {str(path.relative_to(PACKAGE)) for path in found} == set(PACKAGE_DATA)


@pytest.mark.slow  # and needs the network: the build makes an environment of its own
def test_source_distribution_and_wheel(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path)]
    subprocess.run([*build, str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith("/METADATA"))
        (scripts,) = (archive.read(name).decode() for name in names if name.endswith("/entry_points.txt"))
    assert {name for name in names if name.startswith("sagan_tf/")} == {
        f"sagan_tf/{source}" for source in [*SOURCES, *PACKAGE_DATA]
    }
    declared = [
        Requirement(line.partition(": ")[2]) for line in metadata.splitlines() if "Requires-Dist" in line
    ]
    assert {r.name: r.specifier for r in declared} == {name: r.specifier for name, r in REQUIRED.items()}
    assert all(f"{name} = {target}" in scripts for name, target in PROJECT["scripts"].items())


# The set-up, with an interpreter that is a shell script: it says it is of a given version, makes
# environments of copies of itself, and notes what it is asked to install.
FAKE_PYTHON = """#!/bin/bash
case "$*" in
  *"sys.exit("*) exit {unfit} ;;
  *"sys.prefix"*) dirname "$(dirname "$0")" ;;
  "--version") echo "Python {version}" ;;
  *ensurepip*) exit {no_venv} ;;
  "-m venv"*) mkdir -p "${{@: -1}}/bin"; cp "$0" "${{@: -1}}/bin/python" ;;
  "-m pip"*) echo "$*" >> "{log}"; [ ! -e "{log}.fail" ] ;;
esac
"""


class Project:
    """A copy of the set-up in a directory of its own, whose path has a space, with fake interpreters."""

    def __init__(self, directory):
        self.root = directory / "a project"
        self.log = directory / "installed"
        (self.root / "tools").mkdir(parents=True)
        (self.root / "tools" / "setup.sh").write_bytes((ROOT / "tools" / "setup.sh").read_bytes())
        self.require("tensorflow")
        self.python = self.interpreter(directory / "base" / "bin")

    def require(self, text):
        (self.root / "requirements.txt").write_text(text + "\n")

    def interpreter(self, directory, version="3.11.1", unfit=0, no_venv=0):
        directory.mkdir(parents=True)
        path = directory / "python"
        path.write_text(FAKE_PYTHON.format(unfit=unfit, version=version, no_venv=no_venv, log=self.log))
        path.chmod(0o755)
        return path

    def setup(self, **environment):
        command = (
            f'set -euo pipefail; source "{self.root}/tools/setup.sh" requirements.txt; echo "$python"; pwd'
        )
        kept = {"PATH": os.environ["PATH"], "PYTHON": str(self.python)}
        return subprocess.run(
            ["bash", "-c", command],
            cwd="/",
            env=kept | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def installs(self):
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return sum("--requirement=requirements.txt" in line for line in lines)


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_setup_makes_an_environment_and_installs_once(project):
    for _ in range(2):
        result = project.setup()
        assert result.stderr == "" and result.returncode == 0
        assert result.stdout.splitlines()[-2:] == [f"{project.root}/.venv/bin/python", str(project.root)]
        assert project.installs() == 1
    assert not (project.root / ".venv" / "unfinished").exists()


def test_setup_installs_again_what_changed_or_failed(project):
    project.setup()
    project.require("numpy")
    failure = project.log.with_suffix(".fail")
    failure.touch()
    result = project.setup()
    assert (result.returncode, project.installs()) == (2, 2)
    assert "setup: error: pip failed" in result.stderr
    failure.unlink()
    project.require("tensorflow")  # as at first, but the failure may have left half of the other
    assert (project.setup().returncode, project.installs()) == (0, 3)
    project.require("numpy")
    assert (project.setup().returncode, project.installs()) == (0, 4)
    assert (project.setup().returncode, project.installs()) == (0, 4)


def test_setup_makes_an_unfinished_environment_anew_and_leaves_a_users_own(project):
    (project.root / ".venv").mkdir()
    (project.root / ".venv" / "unfinished").touch()
    assert project.setup().returncode == 0
    (project.root / ".venv" / "bin" / "python").unlink()
    (project.root / ".venv" / "precious").touch()
    result = project.setup()
    assert result.returncode == 2 and "setup: error: .venv has no Python 3.10 to 3.13" in result.stderr
    assert (project.root / ".venv" / "precious").exists()


def test_setup_uses_the_active_environment(project, tmp_path):
    active = project.interpreter(tmp_path / "active" / "bin")
    result = project.setup(VIRTUAL_ENV=str(tmp_path / "active"))
    assert result.stdout.splitlines()[-2] == str(active)
    assert project.installs() == 1 and not (project.root / ".venv").exists()
    result = project.setup(VIRTUAL_ENV=str(tmp_path / "gone"))
    assert result.returncode == 2 and f"the active environment {tmp_path}/gone has no Python" in result.stderr


def test_setup_says_what_is_wrong_with_python(project, tmp_path):
    old = project.interpreter(tmp_path / "old", version="3.9.18", unfit=1)
    bare = project.interpreter(tmp_path / "bare", no_venv=1)
    for python, reason in [
        (
            old,
            f"needs Python 3.10, 3.11, 3.12 or 3.13, but {old} is Python 3.9.18; name another with PYTHON=",
        ),
        (tmp_path / "none", f"but {tmp_path}/none is missing; name another with PYTHON="),
        (bare, "cannot make virtual environments (on Debian and Ubuntu: apt install python3-venv)"),
    ]:
        result = project.setup(PYTHON=str(python))
        assert result.returncode == 2 and not (project.root / ".venv").exists()
        assert reason in result.stderr and result.stderr.count("\n") == 1
