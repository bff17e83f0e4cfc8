"""The versions of a model: one directory each, written whole or not at all, as TF Serving needs them."""

import contextlib
import os
import re
import shutil

from sagan_tf.system import files
from sagan_tf.system.errors import UserError, writing


def versions(export_dir: str) -> list[int]:
    """The numbers of the versions in a directory, lowest first."""
    return sorted(int(name) for name in os.listdir(export_dir) if re.fullmatch("[0-9]+", name))


@contextlib.contextmanager
def new_version(export_dir: str):
    """Yields a directory for the next version. When the block ends, it gets the version's number as its name.

    The number is one more than the highest existing one. A block that fails leaves nothing. A killed process
    leaves a directory `N.partial`, which the next export deletes.

    Args:
      export_dir: the model's directory; made if it does not exist.

    Yields: the number and the directory.

    Raises:
      UserError: `export_dir` cannot be written to, or another export writes to it.
    """
    with contextlib.ExitStack() as stack:
        with writing("export_dir", export_dir):
            try:
                stack.enter_context(files.locked(export_dir))
            except BlockingIOError:
                raise UserError(
                    "another export is writing into it", option="export_dir", value=export_dir
                ) from None
            for name in os.listdir(export_dir):
                if re.fullmatch(f"[0-9]+{re.escape(files.PARTIAL)}", name):
                    shutil.rmtree(os.path.join(export_dir, name))
            number = max(versions(export_dir), default=0) + 1
            final = os.path.join(export_dir, str(number))
            partial = final + files.PARTIAL  # TF Serving reads only directories whose name is a number
            os.mkdir(partial)
        try:
            yield number, partial
            with writing("export_dir", export_dir):
                files.publish(partial, final)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
