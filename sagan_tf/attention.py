"""Shows what a run's attention layers look at: figures as in the paper, and a page to explore them.

Examples:
  # Figures and attention.html of the newest checkpoint
  python -m sagan_tf.attention --workdir=runs/digits

  # How the maps changed: all checkpoints, the same query position everywhere
  python -m sagan_tf.attention --workdir=runs/digits --checkpoints=all --positions=12:16
"""

import dataclasses
import os
import re

from sagan_tf.inspection import class_choice
from sagan_tf.runs.choice import all_steps, check_checkpoint
from sagan_tf.runs.config import Config, batch_statistics_option
from sagan_tf.system import cli, output, paths
from sagan_tf.system.errors import UserError, naming, renaming
from sagan_tf.system.options import MAX_SEED, from_flagfile, option
from sagan_tf.system.output_folder import OutputFolder
from sagan_tf.system.run_directory import RunFiles, check_is_run

_CLASSES = 24  # the most classes to show if the user names none
_PAGE = "attention.html"
_HARDLY = 0.01  # a layer whose |gamma o| / |x| is below this is hardly used
_MEANING = (
    f"gamma near 0, or |gamma o|/|x| below {_HARDLY}: the layer hardly changes its input, so its maps say"
    " little; gamma below 0: means nothing by itself, the linear map before it can change sign with it"
)


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the command."""

    workdir: str = option(
        "", "Directory of the run.", section="Run", is_path=True, common=True, required=True
    )
    checkpoints: tuple[str, ...] = option(
        ("latest",),
        "Checkpoints: latest, best, all, or steps; a list.",
        section="Run",
        common=True,
    )
    weights: str = option(
        "ema", "The generator's averaged weights, or the raw ones.", section="Run", choices=("ema", "raw")
    )

    batch_statistics: str = batch_statistics_option("Run")

    num_samples: int = option(24, "Generated images.", section="Images", minimum=1, maximum=1000, common=True)
    real_images: int = option(
        12,
        "Real images of the run's dataset, for the discriminator; 0 for none.",
        section="Images",
        minimum=0,
    )
    classes: tuple[str, ...] = option(
        (),
        f"Names or numbers of the classes, which are taken in turn; if empty, up to {_CLASSES} of all.",
        section="Images",
        common=True,
    )
    seed: int = option(
        0,
        "Seed of z; sample i of a seed is always the same.",
        section="Images",
        minimum=0,
        maximum=MAX_SEED,
        common=True,
    )
    truncation: float = option(
        0.0, "z is drawn from [-t, t]; 0 for no truncation.", section="Images", minimum=0.0
    )

    positions: tuple[str, ...] = option(
        (),
        "Query positions in the figures, ROW:COLUMN in pixels from the top left corner, a list of up to 8; if"
        " empty, positions with unlike maps are chosen in each image.",
        section="Figures",
        common=True,
    )
    num_positions: int = option(5, "Number of positions to choose.", section="Figures", minimum=1, maximum=8)
    figure_rows: int = option(8, "Images in a figure.", section="Figures", minimum=1, maximum=100)
    smooth: bool = option(
        False,
        "Let a map's shares change smoothly from key to key, instead of drawing the cell of each key.",
        section="Figures",
    )

    output: str = option(
        "",
        "Directory for figures and page; if empty, `attention` in the run's directory.",
        section="Output",
        is_path=True,
        common=True,
    )

    def check(self) -> None:
        """Refuses what cannot work. Raises UserError."""
        if not self.workdir:
            raise UserError("--workdir is missing: name the directory of a run, e.g. --workdir=runs/digits")
        for checkpoint in self.checkpoints:
            check_checkpoint(checkpoint, "latest", "best", "all", option="checkpoints")
        if not self.checkpoints:
            raise UserError("--checkpoints=: is empty; allowed are latest, best, all, or a step")
        for position in self.positions:
            if not re.fullmatch(r"\d{1,5}:\d{1,5}", position):
                raise UserError(f"--positions={position}: must be ROW:COLUMN in pixels, e.g. 12:40")
        if len(self.positions) > 8:
            raise UserError(f"--positions: {len(self.positions)} are given; at most 8 can be told apart")


def check_places(options: Options, given) -> None:
    """Refuses what is missing, before TensorFlow is imported. Raises UserError."""
    del given
    check_is_run(options.workdir)
    config = from_flagfile(Config, RunFiles(options.workdir).config)
    _check_run(dataclasses.replace(config, workdir=options.workdir), _positions(options))
    class_choice.check(options.workdir, options.classes)


def _check_run(config: Config, positions) -> None:
    """Refuses runs without attention, and positions (row, column) outside the image. Raises UserError."""
    with naming("workdir", config.workdir):
        if not config.generator_attention and not config.discriminator_attention:
            raise UserError("has no attention to show: its networks have no attention layers")
        if config.attention_form == "residual":
            raise UserError("has no attention to show: residual blocks stand in its place")
    for row, column in positions:
        if max(row, column) >= config.image_size:
            raise UserError(
                f"outside the image; rows and columns go from 0 to {config.image_size - 1}",
                option="positions",
                value=f"{row}:{column}",
            )


def main(options: Options, given) -> int:
    """Draws figures and writes the page. Returns the exit code."""
    del given
    from sagan_tf.inspection.page import write_page
    from sagan_tf.runs import run_files

    config = run_files.read_config(options.workdir)
    names = _checkpoints(options)
    run = _restore(options, names[0])
    classes = class_choice.choose(options.classes, run.class_names, config.conditional, limit=_CLASSES)
    directory = _make_output(options)
    real = _real_images(options, config, run.class_names, classes)
    looks = {}
    for name in names:
        run = run if name == names[0] else _restore(options, name)
        if run.step not in looks:
            looks[run.step] = _look(options, run, classes, real)
            _report(looks[run.step])
    print(_MEANING)
    page = os.path.join(directory, _PAGE)
    title = os.path.basename(os.path.abspath(options.workdir))
    size = write_page(page, title, run.class_names, [looks[step] for step in sorted(looks)])
    for look in looks.values():
        _write_figures(look, run.class_names, directory)
    print(f"{page}: {size / 1e6:.1f} MB, open it in a browser")
    return 0


def _positions(options: Options) -> tuple[tuple[int, int], ...]:
    return tuple(tuple(map(int, position.split(":"))) for position in options.positions)


def _checkpoints(options: Options) -> list[str]:
    """The names of the checkpoints, each once."""
    names = []
    for name in options.checkpoints:
        steps = all_steps(options.workdir) if name == "all" else []
        names += [str(step) for step in steps] or ["latest" if name == "all" else name]
    return list(dict.fromkeys(names))


def _restore(options: Options, checkpoint: str):
    from sagan_tf.runs import restoring

    with renaming(checkpoint="checkpoints"):
        return restoring.restore(
            options.workdir, checkpoint, options.weights == "ema", options.batch_statistics
        )


def _make_output(options: Options) -> str:
    """Makes the directory. Raises UserError if it holds something else, or cannot be written."""
    own = RunFiles(options.workdir).attention
    directory = options.output or own
    output.check_directory("output", directory)
    folder = OutputFolder(
        directory,
        dataclasses.replace(options, output=directory),
        record="attention.cfg",
        compared=("workdir",),
        known_by=_PAGE if paths.same(directory, own) else "",
    )
    return folder.path


def _real_images(options: Options, config, class_names, classes):
    """Real images. If there are none, it prints why and returns None."""
    from sagan_tf.inspection import attention_maps

    if not options.real_images or not config.discriminator_attention:
        return None
    try:
        return attention_maps.real_images(config, class_names, classes, options.real_images)
    except UserError as error:
        print(f"no real images, the discriminator is shown on generated ones only: {error}", flush=True)
        return None


def _look(options: Options, run, classes, real):
    import numpy as np

    from sagan_tf.inspection import attention_maps
    from sagan_tf.system.progress import Progress

    drawing = attention_maps.Drawing(
        options.figure_rows, _positions(options), options.num_positions, options.smooth
    )
    z = attention_maps.draw_z(options.num_samples, options.seed, run.config.z_dim, options.truncation)
    labels = np.resize(np.array(classes, np.int32), options.num_samples)
    with Progress("images", options.num_samples) as progress:
        return attention_maps.MapCollector(run, drawing, progress.line).look(z, labels, real, progress)


def _report(look) -> None:
    """Prints gamma and the strength of every layer."""
    width = max(len(view.name) for view in look.views)
    print(f"step {look.step:,}\n  {'layer':{width}s}  {'gamma':>8s}  |gamma o|/|x|")
    for view in look.views:
        share = float(view.shares.mean())
        hardly = "  hardly used" if share < _HARDLY else ""
        print(f"  {view.name:{width}s}  {view.gamma:+8.4f}  {share:13.4f}{hardly}", flush=True)


def _write_figures(look, class_names, directory: str) -> None:
    import numpy as np

    from sagan_tf import pictures

    for view in look.views:
        labels = look.sources[view.source].labels
        captions = [class_names[label] for label in labels[: len(view.rows)]]
        strength = f"gamma {view.gamma:+.3f}, |gamma o|/|x| {view.shares.mean():.3f}"
        title = f"{view.name}, step {look.step:,}: {strength}"
        tiles = np.concatenate(view.rows)
        path = os.path.join(directory, f"{view.name}_{look.step:08d}.png")
        pictures.save(path, pictures.captioned_grid(tiles, len(view.rows[0]), captions, title=title))
        print(path, flush=True)


def console() -> None:
    """The command `sagan-attention`."""
    cli.run(main, Options, __doc__, program="sagan_tf.attention", check_places=check_places)


if __name__ == "__main__":
    console()
