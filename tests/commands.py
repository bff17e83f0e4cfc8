"""Runs commands in this process, and reads what they refuse."""

import sys
from unittest import mock

import pytest


def run_command(module, *arguments):
    """Runs `python -m MODULE ARGUMENTS` in this process. Returns the exit code."""
    argv = [module.__name__, *map(str, arguments)]
    with pytest.raises(SystemExit) as stop, mock.patch.object(sys, "argv", argv):
        module.console()
    return stop.value.code


def refused(name, code, error):
    """The one line by which a command refuses what it was given, from its exit code and standard error."""
    lines = [line for line in error.splitlines() if line.startswith(f"{name}: error: ")]
    assert code == 2 and len(lines) == 1 and "Traceback" not in error, error
    return lines[0]
