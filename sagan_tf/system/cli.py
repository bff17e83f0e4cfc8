"""What every command does around its work: flags, help, version, one line for a mistake, exit codes."""

import sys

import sagan_tf
from sagan_tf.system import files, keras_settings, options, runtime

_EXIT_USER_ERROR = 2
_EXIT_INTERRUPTED = 130


def run(main, cls, description: str, *, program: str, argv=None, tensorflow: bool = True) -> None:
    """Parses the command line, calls `main` and ends the process.

    Args:
      main: called as `main(options, given)`, `given` being the set of names set on the command line.
      cls: dataclass of the command's options (see `sagan_tf.system.options`).
      description: first lines of `--help`.
      program: the module's name, as after `python -m`.
      argv: arguments without the program's name; those of the process by default.
      tensorflow: whether `main` needs TensorFlow; it is then imported without its start-up chatter.
    """
    name = program.rpartition(".")[2]
    if not files.CAN_LOCK:
        print(
            f"{name}: error: Windows itself is not supported; run this in WSL2 (wsl --install)",
            file=sys.stderr,
        )
        sys.exit(_EXIT_USER_ERROR)
    argv = sys.argv[1:] if argv is None else argv
    if argv == ["--version"]:
        print(f"sagan_tf {sagan_tf.__version__}")
        sys.exit(0)
    if any(argument in ("--help", "-h", "-help", "--helpfull", "--helpshort") for argument in argv):
        print(options.help_text(cls, program, description), end="")
        sys.exit(0)
    try:
        parsed, given = options.parse(cls, argv)
        if tensorflow:
            runtime.import_tensorflow()
            keras_settings.reset()
        sys.exit(main(parsed, given))
    except options.UserError as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        sys.exit(_EXIT_INTERRUPTED)
