"""Runs commands one after the other in this process, and says how each of them ended.

Usage: every_command.py FILE. FILE is JSON: a list of [module, arguments]. The last line of standard output
is JSON too: for each command [module, exit code, lines of standard error, seconds of CPU time].
"""

import contextlib
import importlib
import io
import json
import sys
import time
import traceback


def run(name, arguments):
    """Runs one command as its console script or its file does. Returns its exit code and standard error."""
    errors = io.StringIO()
    sys.argv = [name, *arguments]
    with contextlib.redirect_stderr(errors):
        try:
            module = importlib.import_module(name)
            if name == "sagan_tf.reproduce":
                module._try = lambda run: 1.0  # instead of 60 steps of training in a process of its own
            if hasattr(module, "console"):
                module.console()
            else:
                module.cli.run(module.main, module.Options, module.__doc__, program=name)
            code = None
        except SystemExit as ended:
            code = ended.code
        except Exception:
            code = "exception"
            traceback.print_exc()
    return code, errors.getvalue().splitlines()


def trace_no_graphs():
    """What a later command computes is computed step by step: the same code of ours, without compiling it."""
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].config.run_functions_eagerly(True)


def main():
    """Runs them all."""
    with open(sys.argv[1], encoding="utf-8") as file:
        commands = json.load(file)
    ends = []
    for name, arguments in commands:
        start = time.process_time()
        code, errors = run(name, arguments)
        trace_no_graphs()
        ends.append([name, code, errors, round(time.process_time() - start, 1)])
    print("\n" + json.dumps(ends))


if __name__ == "__main__":
    main()
