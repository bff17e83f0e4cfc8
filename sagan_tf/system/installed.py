"""Whether what the commands need is installed for the Python that runs them."""

import importlib.util
import os
import sys

_NEEDED = ("absl", "numpy", "tensorflow")


def missing() -> str:
    """The first package that is not there; "" if all are. None is imported."""
    return next((name for name in _NEEDED if importlib.util.find_spec(name) is None), "")


def check() -> None:
    """Ends a command, with exit code 2 and one line in the place of a traceback, if a package is missing."""
    if not (name := missing()):
        return
    environment = os.path.join(".venv", "bin", "activate")
    if os.path.isfile(environment):
        advice = f"activate the environment first (source {environment})"
    else:
        advice = "activate the environment it is installed in, or pip install -r requirements.txt"
    print(f"sagan_tf: error: {name} is not installed for {sys.executable}: {advice}", file=sys.stderr)
    raise SystemExit(2)
