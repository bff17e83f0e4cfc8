"""Makes a run of weights that others have published: BigGAN-PyTorch, mmgeneration, StudioGAN, TF-Hub.

The source is recognized from the names in the file. Sizes are read from the shapes; what no file says is
decided by source and file name, printed, and can be set here. --dry_run shows all of it, and writes
nothing. Files are read as data: nothing in them is executed. `sagan_tf/importing/README.md` lists the files
that are known. Options of training are those of sagan_tf.train.

Examples:
  # What a file would become, then the import
  python -m sagan_tf.import_weights --checkpoint=G_ema.pth --workdir=runs/theirs --dry_run
  python -m sagan_tf.import_weights --checkpoint=G_ema.pth --discriminator=D.pth --workdir=runs/theirs
"""

import dataclasses
import glob
import os

from sagan_tf.runs.config import Config
from sagan_tf.system import cli, suggestions
from sagan_tf.system.errors import UserError
from sagan_tf.system.options import option

_RELEASE = "release_2018"
# Keys of `importing.names.SOURCES`, which a test compares; here, so that --help needs no TensorFlow.
_SOURCES = (
    "auto",
    "biggan_pytorch",
    "mmgeneration_sagan",
    "mmgeneration_biggan",
    "studiogan",
    "tfhub",
    "ivclab",
    "pfnet",
    _RELEASE,
)


@dataclasses.dataclass(frozen=True)
class _Files:
    checkpoint: str = option(
        "",
        "The generator, or a file of all networks: a .pth or .pt of PyTorch, a .npz of arrays under the"
        " same names, an unpacked module of TF-Hub, a checkpoint of the 2018 release, or BigGAN-PyTorch's"
        " folder of G.pth, D.pth and so on.",
        section="Files",
        is_path=True,
        common=True,
        required=True,
    )
    ema: str = option(
        "",
        "The average of the generator's weights, if it is a file of its own.",
        section="Files",
        is_path=True,
    )
    discriminator: str = option(
        "", "The discriminator, if it is a file of its own.", section="Files", is_path=True, common=True
    )
    generator_optimizer: str = option(
        "",
        "State of the generator's Adam (G_optim.pth), if it is a file of its own.",
        section="Files",
        is_path=True,
    )
    discriminator_optimizer: str = option(
        "",
        "State of the discriminator's Adam (D_optim.pth), if it is a file of its own.",
        section="Files",
        is_path=True,
    )
    class_names: str = option(
        "",
        "File with the names of the classes, one a line, in the order of the labels; if empty they are"
        " numbers. Training takes the dataset's.",
        section="Files",
        is_path=True,
    )
    skip_surplus: bool = option(
        False, "Leave out variables that the source does not have, naming them.", section="Files"
    )

    source: str = option(
        "auto",
        "Whose weights they are; auto: as the names say.",
        section="What no file says",
        choices=_SOURCES,
    )
    channel_order: str = option(
        "auto",
        "Order of the images' channels; auto: bgr for mmgeneration's own trainings, otherwise rgb.",
        section="What no file says",
        choices=("auto", "rgb", "bgr"),
    )
    batch_norm_epsilon: float = option(
        0.0, "Epsilon of batch norm; 0: as the source has it.", section="What no file says", minimum=0
    )
    gain_offset: str = option(
        "auto",
        "What is added to tables of gains: 1 or 0; auto: as the source does.",
        section="What no file says",
        choices=("auto", "0", "1"),
    )
    truncation: float = option(
        1.0,
        "The truncation whose batch statistics are taken, of files that have several (ivclab's).",
        section="What no file says",
        minimum=0.02,
        maximum=1.0,
    )
    estimate_statistics: bool = option(
        False,
        "Estimate the batch statistics anew from 6,400 samples ('standing statistics', with which some"
        " sources measured their scores) instead of taking the file's.",
        section="What no file says",
    )


def _not_required(name: str):
    """A run's option that an import can do without."""
    field = Config.__dataclass_fields__[name]
    return dataclasses.field(default=field.default, metadata={**field.metadata, "required": False})


@dataclasses.dataclass(frozen=True)
class Options(Config, _Files):
    """Options of the command: the files, and those of a run."""

    dataset: str = _not_required("dataset")

    def check(self) -> None:
        """Refuses what cannot work. Raises UserError."""
        if not self.checkpoint:
            raise UserError("--checkpoint is missing: name what to import, e.g. --checkpoint=G_ema.pth")
        super().check()
        if self.initialize_from:
            raise UserError(f"--initialize_from={self.initialize_from}: is for sagan_tf.train")
        if self.workdir and os.path.lexists(self.workdir) and not self.dry_run:
            raise UserError(f"--workdir={self.workdir}: exists already; name another directory")


def check_places(options: Options, given) -> None:
    """Refuses files that are missing, before TensorFlow is imported. Raises UserError."""
    del given
    for field in dataclasses.fields(_Files):
        path = getattr(options, field.name)
        # A checkpoint of TensorFlow is named by what its files begin with.
        if field.metadata["is_path"] and path and not glob.glob(f"{glob.escape(path)}*"):
            near = suggestions.did_you_mean(suggestions.nearest_path(path))
            raise UserError(f"no such file{near}", option=field.name, value=path)


def main(options: Options, given) -> int:
    """Imports the weights. Returns the exit code."""
    from sagan_tf.importing import original_checkpoint, peer_run, release_2018, weights

    is_release = original_checkpoint.is_release(options.checkpoint)
    if options.source == _RELEASE or (options.source == "auto" and is_release):
        defaults = {name: value for name, value in release_2018.DEFAULTS.items() if name not in given}
        return release_2018.import_release(dataclasses.replace(options, **defaults), given)
    paths = weights.Paths(
        options.checkpoint,
        options.ema,
        options.discriminator,
        options.generator_optimizer,
        options.discriminator_optimizer,
    )
    found = weights.gather(paths, "" if options.source == "auto" else options.source)
    return peer_run.import_weights(options, given, found)


def console() -> None:
    """The command `sagan-import-weights`."""
    cli.run(main, Options, __doc__, program="sagan_tf.import_weights", check_places=check_places)


if __name__ == "__main__":
    console()
