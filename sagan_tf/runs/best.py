"""Which checkpoints are the best by a score, and the file beside them that says so."""

import json
import os
import typing

from sagan_tf.system import files
from sagan_tf.system.errors import UserError

_FILE = "best.json"


class Entry(typing.NamedTuple):
    """A checkpoint's step and its score."""

    step: int
    value: float


class Best:
    """The K best steps seen so far. It moves no files: it says which to keep.

    Args:
      keep: K.
      larger_is_better: of the score.
      entries: what an earlier process had kept, in any order.
    """

    def __init__(self, keep: int, larger_is_better: bool, entries: typing.Iterable[Entry] = ()):
        self._keep, self._sign = keep, -1.0 if larger_is_better else 1.0
        self.entries = self._ranked(entries)

    def _ranked(self, entries) -> list[Entry]:
        """Best first; of equal scores the earlier step; NaN scores are dropped."""
        comparable = [Entry(*entry) for entry in entries if entry[1] is not None and entry[1] == entry[1]]
        return sorted(comparable, key=lambda entry: (self._sign * entry.value, entry.step))[: self._keep]

    def offer(self, step: int, value: float) -> tuple[bool, list[int]]:
        """Considers a checkpoint; a second score of a step replaces the first.

        Returns:
          Whether it is among the best, and the steps that no longer are.
        """
        before = {entry.step for entry in self.entries} - {step}
        others = [entry for entry in self.entries if entry.step != step]
        self.entries = self._ranked([*others, Entry(step, value)])
        after = {entry.step for entry in self.entries}
        return step in after, sorted(before - after)

    @property
    def best(self) -> Entry | None:
        """The best one, if there is any."""
        return self.entries[0] if self.entries else None


def write(folder: str, entries: typing.Iterable[Entry], measure: dict | None) -> None:
    """Writes which of a folder's checkpoints are best.

    Args:
      folder: where the checkpoints are.
      entries: best first.
      measure: what their scores have in common, as lines of `metrics.results` name it. Scores of another
        measure cannot be compared with them. None: not known.
    """
    content = {"measure": measure, "entries": [list(entry) for entry in entries]}
    files.write(os.path.join(folder, _FILE), json.dumps(content))


def read(folder: str, steps: typing.Container[int]) -> tuple[list[Entry], dict | None]:
    """Reads what `write` wrote, and keeps only the entries of these steps; no entries without a file.

    Earlier versions wrote the entries alone: then the measure is None. Raises UserError if it is damaged.
    """
    path = os.path.join(folder, _FILE)
    if not os.path.isfile(path):
        return [], None
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        if isinstance(content, list):
            content = {"measure": None, "entries": content}
        entries = [Entry(*entry) for entry in content["entries"]]
        return [entry for entry in entries if entry.step in steps], content["measure"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: is damaged ({error!r}); remove it: which are best is then open") from error
