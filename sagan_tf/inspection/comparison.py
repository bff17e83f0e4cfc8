"""Curves of several runs: read from their directories, drawn over steps and hours, and as a table."""

import os
import textwrap
import typing

import numpy as np

from sagan_tf.evaluation import results
from sagan_tf.metrics.catalog import METRICS
from sagan_tf.runs import run_files
from sagan_tf.system import options
from sagan_tf.system.errors import UserError, renaming
from sagan_tf.system.run_directory import RunFiles

# Colour-blind people can tell these apart (Okabe and Ito 2008). Further runs have other line styles.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LINES = ("-", "--", ":", "-.")
_SCORES = "scores"  # the group of curves from scores.jsonl
_NOTE_LETTERS = 150  # in a line of a note: the width of a figure
_LAST = 0.1  # the table averages over this last share of the steps


class ReportedRun(typing.NamedTuple):
    """What a run has reported.

    Attributes:
      name: a short name, different from the other runs' names.
      config: the run's configuration.
      lines: lines of metrics.jsonl, by rising step, without those that hold only scores.
      scores: lines of scores.jsonl.
      first_step: the step at which it began to learn; not 0 for an imported run.
      hours: float (n,), hours of training up to each of `lines`, see `training_hours`.
    """

    name: str
    config: typing.Any
    lines: list[dict]
    scores: list[dict]
    first_step: int
    hours: np.ndarray


class Panel(typing.NamedTuple):
    """A quantity that was measured in the same way in all runs.

    Attributes:
      title: its tag, or the score's name.
      note: how a score was measured; empty for other quantities.
      larger_is_better: None for a quantity that is neither better when large nor when small.
      curves: (steps, hours, values), each float (n,), by the run's name.
    """

    title: str
    note: str
    larger_is_better: bool | None
    curves: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]


def read_runs(workdirs: typing.Sequence[str]) -> list[ReportedRun]:
    """Reads runs. Raises UserError if a directory holds no run, or a run that has reported nothing yet."""
    return [_read_run(workdir, name) for workdir, name in zip(workdirs, short_names(workdirs), strict=True)]


def _read_run(workdir: str, name: str) -> ReportedRun:
    with renaming(workdir="runs"):
        config = run_files.read_config(workdir)
    lines = run_files.read_metrics(workdir)
    if not lines:
        raise UserError("metrics.jsonl holds no metrics yet", option="runs", value=workdir)
    scores = results.read(RunFiles(workdir).scores)
    scores = [line for line in scores if line.get("step") is not None]
    first_step = run_files.read_first_step(workdir)
    if first_step > lines[0]["step"]:  # an earlier version began it, which did not record this
        first_step = 0
    return ReportedRun(name, config, lines, scores, first_step, training_hours(lines, first_step))


def short_names(paths: typing.Sequence[str]) -> list[str]:
    """The last parts of the paths, as few as make all names different."""
    parts = [os.path.normpath(path).split(os.sep) for path in paths]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [os.path.abspath(path) for path in paths]


def training_hours(lines: typing.Sequence[dict], first_step: int = 0) -> np.ndarray:
    """Hours of training from `first_step` up to each line, from steps and speed.

    Pauses, samples and scores do not count.
    """
    steps = np.array([line["step"] for line in lines], float)
    speed = np.array([line[run_files.SPEED] for line in lines], float)
    return np.cumsum(np.diff(steps, prepend=first_step) / speed) / 3600.0


def panels(runs: typing.Sequence[ReportedRun], wanted: typing.Sequence[str]) -> list[Panel]:
    """The panels to show.

    Args:
      runs: the runs to compare.
      wanted: groups of tags, single tags, and "scores". Scores of different protocols get different panels.

    Raises:
      UserError: no run has such a tag, or only scores are wanted and there are none.
    """
    tags = list(dict.fromkeys(tag for run in runs for line in run.lines for tag in line if "/" in tag))
    found = []
    for want in wanted:
        if want == _SCORES:
            found += _score_panels(runs)
            continue
        chosen = [tag for tag in tags if want in (tag, tag.partition("/")[0])]
        if not chosen:
            groups = sorted({tag.partition("/")[0] for tag in tags} | {_SCORES})
            raise UserError(
                f"no run has reported it; allowed are {', '.join(groups)}, and single tags",
                option="curves",
                value=want,
            )
        found += [Panel(tag, "", None, _curves(runs, tag)) for tag in chosen]
    if not found:
        raise UserError("no run has been scored (sagan_tf.evaluate does it)", option="curves", value=_SCORES)
    return found


def _curves(runs, tag: str) -> dict:
    curves = {}
    for run in runs:
        there = [index for index, line in enumerate(run.lines) if tag in line]
        if there:
            steps, values = (np.array([run.lines[i][key] for i in there], float) for key in ("step", tag))
            curves[run.name] = (steps, run.hours[there], values)
    return curves


def _score_panels(runs) -> list[Panel]:
    better = {
        title: metric.larger_is_better
        for metric in METRICS.values()
        for titles in metric.titles_of.values()
        for title in titles
    }
    series = {}  # (metric, measure) -> run -> step -> value; a later measurement replaces an earlier one
    notes = {}
    for run in runs:
        for line in run.scores:
            key = (line["metric"], results.measure(line))
            series.setdefault(key, {}).setdefault(run.name, {})[line["step"]] = line["value"]
            notes[key] = _note(line)
    by_name = {run.name: run for run in runs}
    return [
        Panel(key[0], notes[key], better.get(key[0]), _score_curves(by_name, of_runs))
        for key, of_runs in series.items()
    ]


def _score_curves(runs: dict[str, ReportedRun], of_runs: dict) -> dict:
    curves = {}
    for name, values in of_runs.items():
        steps, values = np.array(sorted(values.items()), float).T
        known = [runs[name].first_step, *(line["step"] for line in runs[name].lines)]
        hours = np.interp(steps, known, [0.0, *runs[name].hours])
        curves[name] = (steps, hours, values)
    return curves


def _note(line: dict) -> str:
    get = line.get
    parts = [f"{line['samples']:,} images", line["weights"]]
    parts += [f"against {get('reference')}"] if get("reference") else []
    parts += [f"digest {get('reference_digest')}"] if get("reference_digest") else []
    parts += [f"tested on {get('real_test')}"] if get("real_test") else []
    parts += [f"{line['network']} ({line['network_fingerprint']})"]
    parts += [f"{get('batch_statistics')} batch statistics"] if get("batch_statistics") else []
    parts += [f"computed in {get('precision')}"] if get("precision") else []
    parts += [f"seed {get('seed')}"] if get("seed") else []
    parts += [f"truncation {get('truncation')}"] if get("truncation") else []
    return ", ".join(str(part) for part in parts if part)


def styles(count: int) -> list[tuple[str, str]]:
    """Colours and line styles for `count` curves. The first 28 are all different."""
    return [(_COLOURS[i % len(_COLOURS)], _LINES[i // len(_COLOURS) % len(_LINES)]) for i in range(count)]


def figure(runs: typing.Sequence[ReportedRun], shown: typing.Sequence[Panel]):
    """A matplotlib Figure: one row for each panel, over steps on the left and over hours on the right."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(10, 0.6 + 2.6 * len(shown)), layout="constrained")
    axes = made.subplots(len(shown), 2, sharex="col", sharey="row", squeeze=False)
    style = dict(zip((run.name for run in runs), styles(len(runs)), strict=True))
    for panel, row in zip(shown, axes, strict=True):
        for name, (steps, hours, values) in panel.curves.items():
            colour, line = style[name]
            # Scores are few; a line through a single value is not seen.
            marker = "o" if panel.larger_is_better is not None or len(values) == 1 else None
            for axis, x in zip(row, (steps, hours), strict=True):
                axis.plot(
                    x, values, line, color=colour, label=name, linewidth=1.2, marker=marker, markersize=3
                )
        row[0].set_ylabel(panel.title)
        for axis in row:
            axis.grid(alpha=0.3)
            axis.spines[["top", "right"]].set_visible(False)
        if panel.note:
            note = textwrap.fill(panel.note, _NOTE_LETTERS)
            row[0].set_title(note, fontsize=7, loc="left", color="0.35")
    made.align_ylabels(axes[:, 0])
    axes[-1][0].set_xlabel("generator steps")
    axes[-1][1].set_xlabel("hours of training")
    handles = {}
    for axis in axes.flat:
        handles |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    made.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=4, frameon=False)
    return made


def table(runs: typing.Sequence[ReportedRun], shown: typing.Sequence[Panel]) -> str:
    """Markdown: the options in which the runs differ, and their last and best values."""
    names = [run.name for run in runs]
    lines = ["# " + " against ".join(names), "", *_differences(runs), "| | " + " | ".join(names) + " |"]
    lines.append("| --- |" + " ---: |" * len(runs))
    rows = [
        ("steps", [f"{run.lines[-1]['step']:,}" for run in runs]),
        ("hours of training", [f"{run.hours[-1]:.3g}" for run in runs]),
    ]
    titles = [panel.title for panel in shown]
    notes = []
    for number, panel in enumerate(shown):
        title = panel.title
        if titles.count(title) > 1:  # one score, measured in several ways
            title += f" [{titles[: number + 1].count(title)}]"
        rows += _rows(title, panel, names)
        notes += [f"- {title}: {panel.note}"] if panel.note else []
    lines += [f"| {title} | " + " | ".join(cells) + " |" for title, cells in rows]
    return "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"


def _differences(runs) -> list[str]:
    """A table of the options that differ between runs."""
    differing = {
        line.split(":")[0] for run in runs[1:] for line in options.difference(runs[0].config, run.config)
    }
    if not differing:
        return ["All options that matter are the same.", ""] if len(runs) > 1 else []
    lines = ["| option | " + " | ".join(run.name for run in runs) + " |", "| --- |" + " --- |" * len(runs)]
    for name in sorted(differing):
        values = [options.format_value(getattr(run.config, name.removeprefix("--"))) for run in runs]
        lines.append(f"| {name} | " + " | ".join(value or "(none)" for value in values) + " |")
    return [*lines, ""]


def _rows(title: str, panel: Panel, names) -> list[tuple[str, list[str]]]:
    """The table's rows: best and last value of a score; of others the mean over the last tenth."""

    def cells(text_of):
        return [text_of(*panel.curves[name]) if name in panel.curves else "" for name in names]

    if panel.larger_is_better is None:

        def mean(steps, _, values):
            return f"{values[steps >= (1 - _LAST) * steps[-1]].mean():.4g}"

        return [(f"{title}, last tenth", cells(mean))]

    def best(steps, _, values):
        place = values.argmax() if panel.larger_is_better else values.argmin()
        return f"{values[place]:.4g} at {steps[place]:,.0f}"

    return [(f"{title}, best", cells(best)), (f"{title}, last", cells(lambda s, h, v: f"{v[-1]:.4g}"))]
