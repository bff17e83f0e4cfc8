"""Classes as users name them."""

import typing

import numpy as np

from sagan_tf.runs.config import Config
from sagan_tf.system import class_names as names
from sagan_tf.system.class_names import label_of
from sagan_tf.system.errors import UserError
from sagan_tf.system.options import from_flagfile
from sagan_tf.system.run_directory import RunFiles

_NAMED = 20  # how many classes a message lists


def choose(
    asked: typing.Sequence[str],
    class_names: typing.Sequence[str],
    conditional: bool,
    limit: int | None = None,
) -> list[int]:
    """The labels of the classes that a user names, in that order, each once.

    Args:
      asked: names, or numbers counted from 0, see `class_names.label_of`. Empty: all classes.
      class_names: the names of all classes.
      conditional: whether the model has classes at all.
      limit: the most classes to take, evenly spaced, where `asked` is empty; None for all.

    Returns:
      Labels; [0] for an unconditional model.

    Raises:
      UserError: no such class, or an unconditional model.
    """
    if not conditional:
        if asked:
            raise UserError(
                "the model is unconditional, it has no classes", option="classes", value=",".join(asked)
            )
        return [0]
    count = len(class_names)
    if not asked:
        rows = count if limit is None else min(limit, count)
        return spread(count, rows)
    return list(dict.fromkeys(_label(text, class_names) for text in asked))


def check(workdir: str, asked: typing.Sequence[str]) -> None:
    """Raises UserError if a user names classes that a run does not have. Needs no TensorFlow."""
    if asked:
        paths = RunFiles(workdir)
        choose(asked, names.read(paths.classes), from_flagfile(Config, paths.config).conditional)


def spread(count: int, chosen: int) -> list[int]:
    """`chosen` of `count` labels, evenly spaced."""
    return np.linspace(0, count - 1, chosen).round().astype(int).tolist()


def _label(text: str, class_names) -> int:
    label = label_of(text, class_names)
    if label is not None:
        return label
    raise UserError(
        f"no such class; allowed are names ({_listed(class_names)}){_numbers(class_names)}",
        option="classes",
        value=text,
    )


def _numbers(class_names) -> str:
    """Which numbers name classes besides the names, for a message; see `class_names.label_of`."""
    texts, names = list(map(str, range(len(class_names)))), set(class_names)
    taken = [not name.isdecimal() or text in names for text, name in zip(texts, class_names, strict=True)]
    if all(taken):
        return f" and numbers from 0 to {len(class_names) - 1}"
    others = [text for text, is_taken in zip(texts, taken, strict=True) if is_taken and text not in names]
    return f" and the numbers {_listed(others)}" if others else ""


def _listed(texts) -> str:
    return ", ".join(texts[:_NAMED]) + (", ..." if len(texts) > _NAMED else "")
