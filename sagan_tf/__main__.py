"""`python -m sagan_tf` lists the commands; `python -m sagan_tf.COMMAND --help` explains one."""

import ast
import pathlib
import sys

import sagan_tf
from sagan_tf.system import suggestions

_LISTED = "python -m sagan_tf lists the commands; python -m sagan_tf.COMMAND --help explains one"


def commands() -> dict[str, str]:
    """The first sentence of every command's docstring, by the command's name. Nothing is imported."""
    found = {}
    for path in sorted(pathlib.Path(__file__).parent.glob("*.py")):
        if not path.name.startswith("__"):
            text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).partition("\n\n")[0]
            found[path.stem] = " ".join(text.split()).partition(". ")[0].rstrip(".")
    return found


def main(arguments: list[str]) -> int:
    """Prints the list, or the version. Returns the exit code."""
    if arguments == ["--version"]:
        print(f"sagan_tf {sagan_tf.__version__}")
        return 0
    if arguments and arguments[0] not in ("--help", "-h", "--helpfull"):
        near = suggestions.nearest(arguments[0].replace("-", "_"), commands())
        hint = f"did you mean python -m sagan_tf.{near}?" if near else _LISTED
        print(f"sagan_tf: error: {arguments[0]}: unknown argument; {hint}", file=sys.stderr)
        return 2
    print(f"sagan_tf {sagan_tf.__version__}. Commands (python -m sagan_tf.COMMAND --help explains one):")
    for name, text in commands().items():
        print(f"  {name:18}{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
