"""Makes a run of a checkpoint of the 2018 release (brain-research/self-attention-gan).

Width, classes and attention are read from the checkpoint. What it cannot tell, how training is to go on, is
set here, by the options of sagan_tf.train; defaults are the release's. --dry_run shows the configuration.

Examples:
  # To sample, score and look at attention
  python -m sagan_tf.import_original --checkpoint=old/model.ckpt-1000000 --workdir=runs/original

  # To train further on images of one's own
  python -m sagan_tf.import_original --checkpoint=old/model.ckpt-1000000 --dataset=folder:photos \\
      --workdir=runs/original
"""

import dataclasses
import os

from sagan_tf.importing.release_2018 import DEFAULTS
from sagan_tf.runs.config import Config
from sagan_tf.system import cli
from sagan_tf.system.errors import UserError
from sagan_tf.system.options import option


@dataclasses.dataclass(frozen=True)
class _Source:
    checkpoint: str = option(
        "",
        "The checkpoint: its prefix (model.ckpt-1000000), its directory, or a .npz of arrays under the"
        " variables' names.",
        section="Import",
        is_path=True,
        common=True,
        required=True,
    )
    class_names: str = option(
        "",
        "File with the names of the classes, one a line, in the order of the labels; if empty they are"
        " numbers. Training takes the dataset's.",
        section="Import",
        is_path=True,
    )
    skip_surplus: bool = option(
        False, "Leave out variables that the release does not have, naming them.", section="Import"
    )


def _of_2018(name: str):
    """A run's option with the release's default."""
    metadata = {**Config.__dataclass_fields__[name].metadata, "required": False}
    return dataclasses.field(default=DEFAULTS[name], metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Options(Config, _Source):
    """Options of the command: the checkpoint, and those of a run."""

    dataset: str = _of_2018("dataset")
    beta2: float = _of_2018("beta2")
    reuse_fakes: bool = _of_2018("reuse_fakes")
    sync_batch_norm: bool = _of_2018("sync_batch_norm")
    ema_decay: float = _of_2018("ema_decay")

    def check(self) -> None:
        """Refuses what cannot work. Raises UserError."""
        if not self.checkpoint:
            raise UserError(
                "--checkpoint is missing: name what to import, e.g. --checkpoint=old/model.ckpt-1000000"
            )
        super().check()
        if self.workdir and os.path.lexists(self.workdir) and not self.dry_run:
            raise UserError(f"--workdir={self.workdir}: exists already; name another directory")


def main(options: Options, given) -> int:
    """Imports the checkpoint. Returns the exit code."""
    from sagan_tf.importing import release_2018

    return release_2018.import_release(options, given)


def console() -> None:
    """The command `sagan-import-original`."""
    cli.run(main, Options, __doc__, program="sagan_tf.import_original")


if __name__ == "__main__":
    console()
