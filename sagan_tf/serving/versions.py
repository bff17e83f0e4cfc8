"""The versions of a model, a directory each, as TF Serving watches them: there whole or not at all."""

import contextlib
import os
import re
import shutil

from sagan_tf.system import files
from sagan_tf.system.errors import UserError

_PARTIAL = ".partial"  # TF Serving reads only directories whose name is a number


def versions(export_dir: str) -> list[int]:
    """The numbers of the versions in a directory, rising."""
    return sorted(int(name) for name in os.listdir(export_dir) if re.fullmatch("[0-9]+", name))


@contextlib.contextmanager
def new_version(export_dir: str):
    """Yields a directory to write the next version into; it appears under its number when the block ends.

    The number is one more than the highest there is. A block that fails leaves nothing, a process that is
    killed a directory `N.partial`, which the next export deletes.

    Args:
      export_dir: made if it does not exist.

    Yields: the number and the directory.

    Raises:
      UserError: it cannot be written to, or another export is at work there.
    """
    with _explained(export_dir):
        os.makedirs(export_dir, exist_ok=True)
        lock = os.open(export_dir, os.O_RDONLY)
    try:
        with _explained(export_dir):
            files.lock(lock)
            for name in os.listdir(export_dir):
                if re.fullmatch(f"[0-9]+{re.escape(_PARTIAL)}", name):
                    shutil.rmtree(os.path.join(export_dir, name))
            number = max(versions(export_dir), default=0) + 1
            final = os.path.join(export_dir, str(number))
            partial = final + _PARTIAL
            os.mkdir(partial)
        try:
            yield number, partial
            _flush_all(partial)
            with _explained(export_dir):
                os.rename(partial, final)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        os.fsync(lock)
    finally:
        os.close(lock)


@contextlib.contextmanager
def _explained(export_dir: str):
    try:
        yield
    except BlockingIOError:
        raise UserError(f"--export_dir={export_dir}: another export is writing into it") from None
    except OSError as error:
        raise UserError(f"--export_dir={export_dir}: cannot be written to ({error.strerror})") from error


def _flush_all(directory: str) -> None:
    """Waits until everything below a directory is on the disk."""
    for folder, _, names in os.walk(directory, topdown=False):
        for path in [*(os.path.join(folder, name) for name in names), folder]:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
