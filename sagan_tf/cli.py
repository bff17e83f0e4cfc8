"""What every command does around its work: flags, help, version, one line for a mistake, exit codes."""

import os
import sys
import tempfile

import sagan_tf
from sagan_tf import options

_EXIT_USER_ERROR = 2
_EXIT_INTERRUPTED = 130
_NVIDIA_DEVICE = "/dev/nvidiactl"


def run(main, cls, description: str, *, program: str, argv=None, tensorflow: bool = True) -> None:
    """Parses the command line, calls `main` and ends the process.

    Args:
      main: called as `main(options, given)`, `given` being the set of names set on the command line.
      cls: dataclass of the command's options (see `sagan_tf.options`).
      description: first lines of `--help`.
      program: the module's name, as after `python -m`.
      argv: arguments without the program's name; those of the process by default.
      tensorflow: whether `main` needs TensorFlow; it is then imported without its start-up chatter.
    """
    argv = sys.argv[1:] if argv is None else argv
    if argv == ["--version"]:
        print(f"sagan_tf {sagan_tf.__version__}")
        sys.exit(0)
    if any(argument in ("--help", "-h", "-help", "--helpfull", "--helpshort") for argument in argv):
        print(options.help_text(cls, program, description), end="")
        sys.exit(0)
    name = program.rpartition(".")[2]
    try:
        parsed, given = options.parse(cls, argv)
        if tensorflow:
            import_tensorflow()
        sys.exit(main(parsed, given))
    except options.UserError as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        sys.exit(_EXIT_USER_ERROR)
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        sys.exit(_EXIT_INTERRUPTED)


def import_tensorflow() -> None:
    """Imports TensorFlow without the notices that its C++ side prints whatever the log level.

    They say nothing that a user could act on (which instructions the CPU has, that there is no
    GPU). If the import fails, or if there is a GPU that TensorFlow cannot use, they are printed after all.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "tensorflow" in sys.modules or os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0":
        return
    sys.stderr.flush()
    saved = os.dup(2)
    useful = True
    with tempfile.TemporaryFile() as captured:
        try:
            os.dup2(captured.fileno(), 2)
            import tensorflow

            gpus = tensorflow.config.list_physical_devices("GPU")
            useful = not gpus and os.path.exists(_NVIDIA_DEVICE)
        finally:
            os.dup2(saved, 2)
            if useful:
                captured.seek(0)
                os.write(saved, captured.read())
            os.close(saved)
