"""Compares runs: their losses and scores over steps and over hours, as a picture and a table.

Examples:
  # Losses and scores of two runs
  python -m sagan_tf.compare runs/a runs/b

  # Only FID and the attention's gamma, into a folder of its own
  python -m sagan_tf.compare runs/a runs/b --curves=scores,gamma --output=comparisons/ab
"""

import dataclasses

from sagan_tf.system import cli, paths
from sagan_tf.system.errors import UserError
from sagan_tf.system.options import option
from sagan_tf.system.run_directory import check_is_run


@dataclasses.dataclass(frozen=True)
class Options:
    """What to compare."""

    runs: tuple[str, ...] = option(
        (), "Directories of the runs.", positional=True, is_path=True, required=True
    )
    curves: tuple[str, ...] = option(
        ("loss", "scores"),
        "What to draw: groups of tags of metrics.jsonl (loss, logits, gamma, ...), single tags"
        " (gamma/generator_32), and scores.",
        may_change=True,
    )
    output: str = option(
        "comparison",
        "Directory for compare.png, compare.svg and compare.md; written anew if it is of the same runs.",
        may_change=True,
        is_path=True,
    )

    def check(self) -> None:
        """Refuses what is missing. Raises UserError."""
        if not self.runs:
            raise UserError("no runs: name their directories, e.g. sagan_tf.compare runs/a runs/b")
        for number, run in enumerate(self.runs):
            for other in self.runs[:number]:
                if paths.same(run, other):
                    also = f", also as {other}" if other != run else ""
                    raise UserError(f"--runs: {run} is named twice{also}; name each run once")
        if not self.curves:
            raise UserError("--curves=: is empty, e.g. --curves=loss,scores")


def check_places(options: Options, given) -> None:
    """Refuses what is missing, before TensorFlow is imported. Raises UserError."""
    del given
    for run in options.runs:
        check_is_run(run, "runs")


def main(options: Options, given) -> int:
    """Compares. Returns the exit code."""
    del given
    from sagan_tf.inspection import comparison
    from sagan_tf.system import files
    from sagan_tf.system.output_folder import OutputFolder

    runs = comparison.read_runs(options.runs)
    panels = comparison.panels(runs, options.curves)
    text = comparison.table(runs, panels)
    folder = OutputFolder(options.output, options, record="compare.cfg")
    figure = comparison.figure(runs, panels)
    for ending in ("png", "svg"):
        figure.savefig(folder.file(f"compare.{ending}"), dpi=120)
    files.write(folder.file("compare.md"), text)
    print(f"{text}\n{folder.path}: compare.png, compare.svg, compare.md")
    return 0


def console() -> None:
    """The command `sagan-compare`."""
    cli.run(main, Options, __doc__, program="sagan_tf.compare", check_places=check_places)


if __name__ == "__main__":
    console()
