"""What every command does around its work: flags, help, version, one line for a mistake, exit codes."""

import dataclasses
import sys

import sagan_tf
from sagan_tf.system import files, help, keras_settings, options, output, runtime
from sagan_tf.system.errors import failure_of_the_system, printable

_EXIT_USER_ERROR = 2
_EXIT_INTERRUPTED = 130


_HELP = ("--help", "-h", "-help", "--helpshort", "--helpfull", "-helpfull")


def run(
    main,
    cls,
    description: str | None,
    *,
    program: str,
    argv=None,
    tensorflow: bool = True,
    check_places=None,
) -> None:
    """Parses the command line, calls `main` and ends the process.

    Args:
      main: called as `main(options, given)`, `given` being the set of names set on the command line.
      cls: dataclass of the command's options (see `sagan_tf.system.options`).
      description: first lines of `--help`; None under `python -OO`, which drops docstrings.
      program: the module's name, as after `python -m`.
      argv: arguments without the program's name; those of the process by default.
      tensorflow: whether `main` needs TensorFlow; it is then imported without its start-up chatter.
      check_places: called as `check_places(options, given)` before TensorFlow is imported, which takes
        seconds; it raises UserError for a file or folder that is missing.
    """
    name = program.rpartition(".")[2]
    argv = sys.argv[1:] if argv is None else argv
    with output.outlasting(name):
        code = _answer_at_once(cls, description or "", program, name, argv)
        if code is None:
            code = _run(main, cls, name, argv, tensorflow, check_places)
        sys.exit(code)


def _answer_at_once(cls, description: str, program: str, name: str, argv) -> int | None:
    """Refuses Windows, or prints the version or help. Returns the exit code; None if there is work to do."""
    if not files.CAN_LOCK:
        print(
            f"{name}: error: Windows itself is not supported; run this in WSL2 (wsl --install)",
            file=sys.stderr,
        )
        return _EXIT_USER_ERROR
    if argv == ["--version"]:
        print(f"sagan_tf {sagan_tf.__version__}")
        return 0
    if any(argument in _HELP for argument in argv):
        full = "--helpfull" in argv or "-helpfull" in argv
        print(help.help_text(cls, program, description, full), end="")
        return 0
    return None


def _run(main, cls, name: str, argv, tensorflow: bool, check_places) -> int:
    """Returns the exit code."""
    try:
        parsed, given = options.parse(cls, argv)
        if check_places:
            check_places(parsed, given)
        if tensorflow:
            runtime.import_tensorflow()
            keras_settings.reset()
        return main(parsed, given)
    except options.UserError as error:
        known = {field.name for field in dataclasses.fields(cls)}
        error.remedy = {option: value for option, value in error.remedy.items() if option in known}
        print(f"{name}: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return _EXIT_INTERRUPTED
    except Exception as error:
        reason = failure_of_the_system(error)
        if not reason:
            raise
        print(f"{name}: error: {printable(reason)}", file=sys.stderr)
        return _EXIT_USER_ERROR
