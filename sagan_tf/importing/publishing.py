"""The end of every import: refuses variables that do not fit, and writes the run whole or not at all."""

import json
import os
import shutil

from sagan_tf.runs.config import Config
from sagan_tf.system import class_names, files
from sagan_tf.system.errors import UserError, naming


def read_class_names(path: str, classes: int) -> list[str]:
    """The names in a file, one a line; numbers if `path` is empty. Raises UserError."""
    if not path:
        return [str(label) for label in range(classes)]
    try:
        with open(path, encoding="utf-8") as file:
            names = [line.strip() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--class_names={path}: cannot be read ({error})") from error
    names = names[: len(names) - (names[-1:] == [""])]
    if len(names) != classes or not all(names):
        raise UserError(f"--class_names={path}: has {len(names)} lines; the checkpoint has {classes} classes")
    with naming("class_names", path):
        return list(class_names.checked(names))


def check(found, whose: str, skip_surplus: bool) -> None:
    """Lists every variable that is missing, surplus or misshapen. Raises UserError if there are such.

    Args:
      found: an `original.Differences`.
      whose: the variables that are needed, for the message.
      skip_surplus: whether surplus ones do not matter.
    """
    for kind, lines in found._asdict().items():
        for line in lines:
            print(f"{kind}: {line}")
    numbers = {kind: len(lines) for kind, lines in found._asdict().items() if lines}
    if skip_surplus:
        numbers.pop("surplus", None)
    if numbers:
        counts = ", ".join(f"{number} {kind}" for kind, number in numbers.items())
        advice = " (--skip_surplus leaves them out)" if list(numbers) == ["surplus"] else ""
        raise UserError(
            f"--checkpoint: its variables are not those of {whose}: {counts}, listed above{advice}"
        )


def write(config: Config, class_names, checkpoint, step: int, record: dict | None = None) -> None:
    """Writes the run's directory so that it is there whole or not at all.

    Args:
      config: of the run.
      class_names: by label.
      checkpoint: the tf.train.Checkpoint to save.
      step: its number.
      record: where the weights come from and what was decided; kept in `import.json`.
    """
    import tensorflow as tf

    from sagan_tf.runs import run_files
    from sagan_tf.system.run_directory import RunFiles

    partial = f"{config.workdir.rstrip('/')}.partial-{os.getpid()}"
    try:
        os.makedirs(partial)
        run_files.checkpoints(partial).save(checkpoint, step)
        if record is not None:
            files.write(RunFiles(partial).imported, json.dumps(record, indent=1) + "\n")
        run_files.write_description(config, class_names, partial)
        files.publish(partial, config.workdir)  # fails where somebody has put files in the meantime
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "message", None)
        raise UserError(f"--workdir={config.workdir}: cannot be written ({reason})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
