"""Checkpoints: written whole or not at all, and verified when read.

Each checkpoint is a directory `checkpoints/STEP/` with TensorFlow's files and `manifest.json`, which holds
the size and the SHA-256 of every file. It is written under another name and renamed when it is complete: a
directory whose name is a number was complete once.
"""

import json
import os
import shutil
import typing

import tensorflow as tf

from sagan_tf.system.errors import UserError
from sagan_tf.system.files import read_json, sha256, sync
from sagan_tf.system.paths import for_tensorflow
from sagan_tf.system.run_directory import steps_in

MANIFEST = "manifest.json"
_PREFIX = "state"
_PARTIAL = ".partial"


class DamagedCheckpointError(Exception):
    """The files of a checkpoint have changed since they were written."""


class Checkpoints:
    """The checkpoints of a run.

    Args:
      directory: their folder, made if it does not exist.
      keep: how many of the newest are kept; None for all.
      keep_every: multiples of this step are kept too, and do not count towards `keep`; 0 for none.
    """

    def __init__(self, directory: str, keep: int | None = None, keep_every: int = 0):
        self.directory = directory
        self.keep, self.keep_every = keep, keep_every

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, lowest first."""
        return steps_in(self.directory)

    def path(self, step: int) -> str:
        """The directory of a checkpoint."""
        return os.path.join(self.directory, f"{step:08d}")

    def save(self, checkpoint: tf.train.Checkpoint, step: int, good_until: typing.Iterable[int] = ()) -> None:
        """Writes a checkpoint and deletes old ones.

        Args:
          checkpoint: the objects to save.
          step: its number.
          good_until: steps after which the run may have gone wrong. For each, the newest checkpoint up to
            it is not deleted.

        Raises:
          OSError, tf.errors.OpError: it cannot be written. Its files are removed; older checkpoints stay.
        """
        final = self.path(step)
        temporary = f"{final}{_PARTIAL}"
        self._remove_partial()
        try:
            self._write(checkpoint, step, temporary)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        self.delete(step)
        os.rename(temporary, final)
        sync(self.directory)
        if self.keep is not None:
            latest = [step for step in self.steps() if not self.keep_every or step % self.keep_every]
            good = {self.newest(until) for until in good_until}
            for old in latest[: -self.keep]:
                if old not in good:
                    self.delete(old)

    def newest(self, until: int) -> int | None:
        """The step of the newest checkpoint up to step `until`, or None."""
        return max((step for step in self.steps() if step <= until), default=None)

    def set_aside(self, after: int) -> list[int]:
        """Renames checkpoints after a step to STEP.diverged: no run reads them. Returns their steps."""
        newer = [step for step in self.steps() if step > after]
        for step in newer:
            shutil.rmtree(f"{self.path(step)}.diverged", ignore_errors=True)
            os.rename(self.path(step), f"{self.path(step)}.diverged")
        return newer

    def _write(self, checkpoint, step: int, directory: str) -> None:
        os.makedirs(directory)
        checkpoint.write(os.path.join(directory, _PREFIX))
        files = {name: _fingerprint(os.path.join(directory, name)) for name in sorted(os.listdir(directory))}
        with open(os.path.join(directory, MANIFEST), "w") as file:
            json.dump({"step": step, "files": files}, file, indent=1)
        for name in os.listdir(directory):
            sync(os.path.join(directory, name))

    def delete(self, step: int) -> None:
        """Deletes a checkpoint, if it is there."""
        if os.path.isdir(self.path(step)):
            # Renamed first: if this is interrupted, the rest must not look like a complete checkpoint.
            deleted = f"{self.path(step)}.deleted{_PARTIAL}"
            os.rename(self.path(step), deleted)
            shutil.rmtree(deleted, ignore_errors=True)

    def _remove_partial(self) -> None:
        os.makedirs(self.directory, exist_ok=True)
        for name in os.listdir(self.directory):
            if name.endswith(_PARTIAL):
                shutil.rmtree(os.path.join(self.directory, name), ignore_errors=True)

    def verify(self, step: int) -> None:
        """Raises DamagedCheckpointError, which names the file, if a checkpoint has changed."""
        directory = self.path(step)
        try:
            files = read_json(os.path.join(directory, MANIFEST)).get("files")
            if not files or not isinstance(files, dict):
                raise ValueError("it names no files")
        except (OSError, ValueError) as error:
            raise DamagedCheckpointError(f"{directory}/{MANIFEST}: {error}") from error
        for name, expected in files.items():
            path = os.path.join(directory, name)
            if not os.path.isfile(path):
                raise DamagedCheckpointError(f"{path}: missing")
            try:
                found = _fingerprint(path)
            except OSError as error:  # e.g. the process that trains has deleted it
                raise DamagedCheckpointError(f"{path}: {error.strerror}") from error
            if found != expected:
                raise DamagedCheckpointError(f"{path}: not the file that was written")

    def restore(self, checkpoint: tf.train.Checkpoint, step: int, *, partial: bool = False) -> None:
        """Reads a checkpoint into `checkpoint`.

        Args:
          checkpoint: the objects to fill.
          step: its number.
          partial: whether `checkpoint` may lack objects that were saved, e.g. the optimizers.

        Raises:
          DamagedCheckpointError: the files are damaged, or deleted while they are read.
          UserError: the files hold other variables, perhaps from another version of this program.
        """
        self.verify(step)
        try:
            status = checkpoint.read(os.path.join(for_tensorflow(self.path(step)), _PREFIX))
            status.assert_existing_objects_matched()
            if partial:
                status.expect_partial()
            else:
                status.assert_consumed()
        except (AssertionError, ValueError) as error:
            tf.get_logger().addFilter(_is_no_list_of_variables)
            raise UserError(
                f"{self.path(step)}: does not hold the variables of this run; its config.cfg was changed, or"
                f" another version of this program wrote the checkpoint ({str(error).splitlines()[0]})"
            ) from error
        except tf.errors.ResourceExhaustedError:  # the files are sound: memory is too small
            raise
        except (OSError, tf.errors.OpError) as error:
            line = str(error).partition("\n")[0]
            raise DamagedCheckpointError(f"{self.path(step)}: {line}") from error

    def restore_newest(self, checkpoint: tf.train.Checkpoint, report=print) -> int | None:
        """Reads the newest sound checkpoint and reports each damaged one.

        Returns:
          Its step; None if there are no checkpoints.

        Raises:
          UserError: there are checkpoints, and none can be read: what was learnt must not be overwritten.
        """
        steps = self.steps()
        for step in reversed(steps):
            try:
                self.restore(checkpoint, step)
                return step
            except DamagedCheckpointError as error:
                report(f"checkpoint of step {step} is damaged ({error})")
        if steps:
            raise UserError(
                f"{self.directory}: none of the {len(steps)} checkpoints can be read, and they are not to be"
                " overwritten: mend or move them, or name another directory for a new run"
            )
        return None


def _is_no_list_of_variables(record) -> bool:
    """False for TensorFlow's warnings, hundreds of lines, when what a failed read has left is deleted."""
    return not record.getMessage().startswith(("Detecting that an object", "Value in checkpoint could not"))


def _fingerprint(path: str) -> dict:
    return {"size": os.path.getsize(path), "sha256": sha256(path)}
