"""The text of `--help`, made from a command's options."""

import dataclasses
import textwrap
import typing

from sagan_tf.system.options import format_value

_WIDTH = 96
_TYPES = {int: "INT", float: "NUMBER", str: "TEXT"}


def help_text(cls, program: str, description: str, full: bool = False) -> str:
    """Says what a command does, with examples, and what its options are.

    Args:
      cls: the dataclass of the options.
      program: as after `python -m`, or the path of a file without `.py`.
      description: what it does, and examples.
      full: whether to show all options, the common ones first; otherwise only the common ones, if the
        command has any.
    """
    fields = dataclasses.fields(cls)
    common = [field for field in fields if field.metadata["common"]]
    common.sort(key=lambda field: not field.metadata["required"])
    others = [field for field in fields if not field.metadata["common"]]
    lines = [description.strip(), "", _usage(fields, program)]
    hints = typing.get_type_hints(cls)
    if common:
        lines += ["", "Common options:", *_descriptions(common, hints)]
    if full or not common:
        lines += _sections(others, hints)
    else:
        lines += ["", f"{len(others)} more options are shown by --helpfull."]
    return "\n".join(lines) + "\n"


def _usage(fields, program: str) -> str:
    command = f"{program}.py" if "/" in program else f"-m {program}"
    named = [f"{field.name.upper()} ..." for field in fields if field.metadata["positional"]]
    return " ".join(["usage: python", command, *named, "[--flagfile=FILE] [--OPTION=VALUE ...]"])


def _sections(fields, hints) -> list[str]:
    lines, sections = [], {}
    for field in fields:
        sections.setdefault(field.metadata["section"] or "Options", []).append(field)
    for section, members in sections.items():
        lines += ["", f"{section}:", *_descriptions(members, hints)]
    return lines


def _descriptions(fields, hints) -> typing.Iterator[str]:
    for field in fields:
        yield f"  {_head(field, hints[field.name])}"
        text, choices = field.metadata["help"], field.metadata["choices"]
        is_list = bool(typing.get_args(hints[field.name]))
        if choices:
            names = "" if isinstance(choices, dict) else " " + ", ".join(map(str, choices)) + "."
            text += f" {'Any of, comma separated:' if is_list else 'One of:'}{names}"
        yield from _wrapped(text, 6, 6)
        if isinstance(choices, dict):
            for name, meaning in choices.items():
                yield from _wrapped(f"{name}: {meaning}", 8, 12)


def _head(field: dataclasses.Field, hint) -> str:
    """`--name=TYPE  [default: value]`."""
    default = format_value(field.default)
    shown = f"  [default: {default}]" if default else ""
    shown = "  [required]" if field.metadata["required"] else shown
    if hint is bool:
        return f"--{field.name} or --no{field.name}{shown}"
    elements = typing.get_args(hint)
    kind = _TYPES[elements[0] if elements else hint]
    kind = "NAME" if field.metadata["choices"] and kind == "TEXT" else kind
    kind = field.metadata["placeholder"] or ("PATH" if field.metadata["is_path"] else kind)
    return f"--{field.name}={f'{kind},{kind},...' if elements else kind}{shown}"


def _wrapped(text: str, indent: int, further: int) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * further,
        break_on_hyphens=False,
    )
