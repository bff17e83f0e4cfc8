"""A directory that a command writes to: what made it stands in it, and nothing else is overwritten."""

import dataclasses
import os

from sagan_tf.system import files, options, paths
from sagan_tf.system.errors import UserError, naming, writing

_PATHS = ("workdir", "runs", "output")  # options that never are KIND:PATH


class OutputFolder:
    """A directory that is new, empty, or was made with the same options.

    Args:
      path: the directory; made if need be.
      made_by: the command's options, complete; they have `output`, which is `path`. Those that `may_change`
        do not matter.
      record: name of the flagfile in it that says what made it.
      compared: the only options that must be the same; None for all.
      known_by: a file by which a folder is taken that an earlier version made without a record; "" for none.

    Raises:
      UserError: it holds something else, or cannot be written.
    """

    def __init__(
        self, path: str, made_by, record: str, compared: tuple[str, ...] | None = None, known_by: str = ""
    ):
        self.path = path
        given = {name: getattr(made_by, name) for name in _PATHS if hasattr(made_by, name)}
        # So that the record names the same places whatever the current directory is.
        made_by = dataclasses.replace(made_by, **{name: _absolute(place) for name, place in given.items()})
        with naming("output", path), writing("output", path):
            os.makedirs(path, exist_ok=True)
            self._check(made_by, record, compared, known_by)
            text = options.to_flagfile(made_by, "The options that made what is here: a flagfile.")
            files.write(self.file(record), text)

    def _check(self, made_by, record: str, compared, known_by: str) -> None:
        found = [name for name in os.listdir(self.path) if not name.endswith(files.PARTIAL)]
        if not found or (known_by in found and record not in found):
            return
        if record not in found:
            raise UserError("holds other files; name a new or empty directory")
        old = options.from_flagfile(type(made_by), self.file(record))

        def same_place(before: str, now: str) -> bool:
            """A run and the folder in it may have been moved or renamed together."""
            from_here = paths.seen_from(self.path, now)
            return paths.same(before, now) or paths.seen_from(old.output, before) == from_here

        now = dataclasses.replace(made_by, output=old.output)
        names = {field.name for field in dataclasses.fields(old)}
        ignored = names - set(names if compared is None else compared)
        changes = options.difference(old, now, ignored, same_place)
        if changes:
            raise UserError(f"holds what other options made ({'; '.join(changes)}); name another directory")

    def file(self, *names: str) -> str:
        """The path of a file in it."""
        return os.path.join(self.path, *names)


def _absolute(place):
    return tuple(map(paths.absolute, place)) if isinstance(place, tuple) else paths.absolute(place)
