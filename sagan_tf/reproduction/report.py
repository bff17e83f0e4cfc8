"""The report of a sweep: Markdown, bars, curves, CSV."""

import csv
import os
import typing

import numpy as np

from sagan_tf.inspection import comparison
from sagan_tf.metrics.catalog import METRICS
from sagan_tf.reproduction import experiments
from sagan_tf.reproduction.sweep import PlannedRun, Sweep
from sagan_tf.runs import run_files
from sagan_tf.system import files

# The metric's key, by the title that a score has with Inception or with another network.
_KEYS = {
    title: key for metric in METRICS.values() for key, titles in metric.titles_of.items() for title in titles
}
_BETTER = {key: metric.larger_is_better for metric in METRICS.values() for key in metric.titles_of}
_PAPER_NAMES = {"fid": "FID", "is": "IS", "intra_fid": "intra-FID"}


class Curve(typing.NamedTuple):
    """A row's scores over steps: mean, minimum and maximum of the `count` seeds that reached the step."""

    steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    count: np.ndarray


def write(sweep: Sweep, names: typing.Sequence[str], scale: str, curve_samples: int, command: str) -> None:
    """Writes report.md, report.csv and two pictures an experiment into the sweep's directory.

    report_EXPERIMENT.png shows the final scores as bars, report_EXPERIMENT_curves.png those on the way.
    """
    reporter = SweepReport(sweep, scale, curve_samples)
    parts = [f"# The paper's experiments, scale {scale}", "", *reporter.protocol(command)]
    for name in names:
        parts += ["", *reporter.section(name)]
        for figure, path in (
            (reporter.bars(name), f"report_{name}.png"),
            (reporter.curves(name), f"report_{name}_curves.png"),
        ):
            if figure is not None:
                figure.savefig(os.path.join(sweep.folder, path), dpi=120)
                parts += ["", f"![{experiments.EXPERIMENTS[name].title}]({path})"]
    parts += ["", *reporter.failures(), "", *reporter.guards()]
    files.write(os.path.join(sweep.folder, "report.md"), "\n".join(parts).rstrip() + "\n")
    with files.whole(os.path.join(sweep.folder, "report.csv")) as file:
        writer = csv.writer(file)
        writer.writerow(["row", "seed", "step", "metric", "value", "samples"])
        writer.writerows(reporter.lines())


class SweepReport:
    """Reads a sweep once, and makes the parts of its report.

    Args:
      sweep: holds all runs to report.
      scale: one of `experiments.SCALES`.
      curve_samples: number of generated images for each score while training.
    """

    def __init__(self, sweep: Sweep, scale: str, curve_samples: int):
        self._sweep, self._scale, self._curve_samples = sweep, scale, curve_samples
        self._runs: dict[str, list[PlannedRun]] = {}
        for run in sweep.runs:
            self._runs.setdefault(run.row, []).append(run)
        self._scores = {run.name: sweep.scores(run) for run in sweep.runs}

    def lines(self):
        """Yields all scores as rows of the CSV."""
        for run in self._sweep.runs:
            for line in self._scores[run.name]:
                yield run.row, run.config.seed, line["step"], line["metric"], line["value"], line["samples"]

    def protocol(self, command: str) -> list[str]:
        """How the scores were measured: images, network, machine."""
        scores = [line for lines in self._scores.values() for line in lines]
        networks = {f"{line['network']} ({line['network_fingerprint']})" for line in scores}
        references = {line["reference"] for line in scores if line["reference"]}
        records = self._sweep.records()
        lines = [
            f"Command: `{command}`",
            "",
            f"- final scores: {self._sweep.scoring.samples:,} images of the averaged weights, last step;"
            f" curves: {self._curve_samples:,}",
            f"- network: {'; '.join(sorted(networks)) or 'none yet'}",
            f"- real images: {'; '.join(sorted(references)) or 'none yet'}",
            f"- how it sees images: {'; '.join(sorted({line['resize'] for line in scores})) or 'none yet'}",
            f"- machine: {'; '.join(sorted({line['machine'] for line in records})) or 'none yet'};"
            f" {sum(line['seconds'] for line in records) / 3600:.2f} hours in all, with starts and scores",
            "- paper: ImageNet at 128x128, batch 256, a million steps, Inception, 50,000 images",
        ]
        if len(networks) > 1 or len(references) > 1:
            lines += ["", "**The scores were measured in more than one way: do not compare them.**"]
        if not any("nception" in network for network in networks):
            lines += [
                "",
                "The network is no Inception: compare these scores with each other, not with the paper's.",
            ]
        return lines

    def section(self, name: str) -> list[str]:
        """An experiment's table."""
        about = experiments.EXPERIMENTS[name]
        keys = [key for metric in self._sweep.scoring.metrics for key in METRICS[metric].titles_of]
        head = [
            "row",
            "seeds",
            *(self._title(key) for key in keys),
            f"best {self._title('fid')} on the way",
            "hours a run",
            "paper",
        ]
        lines = [f"## {about.title}", "", f"{about.source}: {about.claim}", "", f"| {' | '.join(head)} |"]
        lines.append("| --- |" + " ---: |" * (len(head) - 2) + " --- |")
        for label, row in about.rows[self._scale]:
            runs = self._runs.get(row, [])
            done = sum(self._sweep.is_done(run) for run in runs)
            cells = [label, f"{done} of {len(runs)}", *(_spread(self.final(row, key)) for key in keys)]
            cells += [self._best(row), self._hours(runs), self._paper(row)]
            lines.append(f"| {' | '.join(cells)} |")
        return [*lines, "", "Means over seeds, in brackets the least and the largest."]

    def _title(self, key: str) -> str:
        known = {line["metric"] for lines in self._scores.values() for line in lines}
        titles = sorted(title for title in known if _KEYS.get(title) == key)
        return titles[0] if titles else key

    def _described(self, key: str) -> str:
        title = self._title(key).replace("_", " ")
        return f"{title} ({'larger' if _BETTER[key] else 'smaller'} is better)"

    def final(self, row: str, key: str) -> list[float]:
        """The scores of a row's finished runs at their last step, in the seeds' order."""
        values = []
        for run in self._runs.get(row, []):
            if self._sweep.is_done(run):
                last, samples = self._sweep.step(run), self._sweep.scoring.samples
                values += [
                    line["value"]
                    for line in self._scores[run.name]
                    if (line["step"], line["samples"], _KEYS[line["metric"]]) == (last, samples, key)
                ][-1:]
        return values

    def _best(self, row: str) -> str:
        curve = self.curve(row, "fid")
        if curve is None:
            return ""
        everywhere = curve.count == curve.count.max()  # steps that all seeds reached
        place = np.where(everywhere, curve.mean, np.inf).argmin()
        return f"{curve.mean[place]:.4g} at {curve.steps[place]:,}"

    def _hours(self, runs) -> str:
        hours = []
        for run in runs:
            lines = run_files.read_metrics(run.config.workdir)
            if lines and self._sweep.is_trained(run):
                hours.append(comparison.training_hours(lines)[-1])
        return f"{np.mean(hours):.3g}" if hours else ""

    def _paper(self, row: str) -> str:
        scores = experiments.paper_scores(row, self._scale)
        text = ", ".join(f"{_PAPER_NAMES[key]} {value:.4g}" for key, value in scores.items())
        stands_for = experiments.SCALES[self._scale].as_paper.get(row)
        return f"{text} (at {stands_for.rpartition('_')[2]} of 128)" if text and stands_for else text

    def curve(self, row: str, key: str) -> Curve | None:
        """A row's scores of one metric while training; None if there are none."""
        values: dict[int, list[float]] = {}
        for run in self._runs.get(row, []):
            of_run = {
                line["step"]: line["value"]
                for line in self._scores[run.name]
                if line["samples"] == self._curve_samples and _KEYS[line["metric"]] == key
            }
            for step, value in of_run.items():
                values.setdefault(step, []).append(value)
        if not values:
            return None
        steps = sorted(values)
        of_steps = [[f(values[step]) for step in steps] for f in (np.mean, np.min, np.max, len)]
        return Curve(np.array(steps), *map(np.array, of_steps))

    def bars(self, name: str):
        """A matplotlib Figure of the final scores: a panel for each metric. None without scores.

        A bar is a row's mean, its line the range of the seeds, a dot a seed.
        """
        from matplotlib.figure import Figure

        rows = experiments.EXPERIMENTS[name].rows[self._scale]
        keys = [key for metric in self._sweep.scoring.metrics for key in METRICS[metric].titles_of]
        keys = [key for key in keys if any(self.final(row, key) for _, row in rows)]
        if not keys:
            return None
        down = -(-len(keys) // 3)  # more than three in a row are too small on a page
        across = -(-len(keys) // down)
        made = Figure(figsize=(2 + 3 * across, (1 + 0.45 * len(rows)) * down), layout="constrained")
        panels = made.subplots(down, across, sharey=True, squeeze=False).flat
        for axis in panels[len(keys) :]:
            axis.remove()
        for key, axis in zip(keys, panels, strict=False):
            for place, ((_, row), (colour, _)) in enumerate(
                zip(rows, comparison.styles(len(rows)), strict=True)
            ):
                values = self.final(row, key)
                if values:
                    axis.barh(place, np.mean(values), color=colour, alpha=0.4)
                    axis.plot([min(values), max(values)], [place, place], color=colour)
                    axis.plot(values, [place] * len(values), "o", color=colour, markersize=4)
            axis.set_xlabel(self._described(key))
            axis.grid(alpha=0.3, axis="x")
            axis.spines[["top", "right"]].set_visible(False)
        first = made.axes[0]  # the panels share their rows
        first.set_yticks(range(len(rows)), [label for label, _ in rows])
        first.invert_yaxis()  # the first row on top
        return made

    def curves(self, name: str):
        """A matplotlib Figure of the scores while training: a panel for each metric, a line for each row.

        None without scores.
        """
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogFormatter

        rows = experiments.EXPERIMENTS[name].rows[self._scale]
        keys = [key for key in _BETTER if any(self.curve(row, key) for _, row in rows)]
        if not keys:
            return None
        made = Figure(figsize=(1 + 4 * len(keys), 3.8), layout="constrained")
        for key, axis in zip(keys, made.subplots(1, len(keys), squeeze=False)[0], strict=True):
            for (label, row), (colour, line) in zip(rows, comparison.styles(len(rows)), strict=True):
                curve = self.curve(row, key)
                if curve is not None:
                    axis.plot(
                        curve.steps, curve.mean, line, color=colour, label=label, marker="o", markersize=3
                    )
                    axis.fill_between(
                        curve.steps, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0
                    )
            if key in ("fid", "intra_fid"):  # a collapsed run must not flatten the other curves
                axis.set_yscale("log")
                axis.yaxis.set_major_formatter(LogFormatter())  # 20, not 2 x 10^1
                axis.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.7)))
            axis.set_ylabel(self._described(key))
            axis.set_xlabel("generator steps")
            axis.grid(alpha=0.3, which="both")
            axis.spines[["top", "right"]].set_visible(False)
        lines = {line.get_label(): line for axis in made.axes for line in axis.get_lines()}
        columns = min(2 * len(keys), 4)  # what fits
        made.legend(handles=lines.values(), loc="outside upper center", ncols=columns, frameon=False)
        return made

    def failures(self) -> list[str]:
        """The runs that failed or are not done."""
        lines = []
        for run in self._sweep.runs:
            if not self._sweep.is_done(run):
                failure = self._sweep.failure(run)
                why = f" (exit code {failure['exit']}): {failure['last_line']}" if failure else ""
                lines.append(f"- {run.name}: {self._sweep.status(run)}{why}")
        return ["## Not done", "", *lines] if lines else []

    def guards(self) -> list[str]:
        """The guards' lines about runs that went on nevertheless."""
        lines = [
            f"- {run.name}: step {line['step']}: {line['reason']} (ignored)"
            for run in self._sweep.runs
            for line in self._sweep.guarded(run)
        ]
        return ["## What the guards saw", "", *lines] if lines else []


def _spread(values) -> str:
    if not values:
        return ""
    mean = f"{np.mean(values):.4g}"
    return f"{mean} [{min(values):.4g}, {max(values):.4g}]" if len(values) > 1 else mean
