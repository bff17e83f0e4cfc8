"""Scores in tables and files: each value with the protocol that it was measured by."""

import contextlib
import csv
import dataclasses
import itertools
import math
import time
import typing

import sagan_tf
from sagan_tf.metrics.catalog import METRICS, metric_of
from sagan_tf.metrics.metric import INCEPTION_NAME, Metric, Need, Score
from sagan_tf.system import json_lines
from sagan_tf.system.errors import UserError, writing

# Two lines of a metric with the same values of these fields were measured in the same way. Digests, not
# names, tell the real images; lines of earlier versions have only a description.
_MEASURE = (
    "weights",
    "batch_statistics",
    "precision",
    "samples",
    "seed",
    "truncation",
    "class_distribution",
    "splits",
    "reference_digest",
    "network_fingerprint",
    "resize",
    "real_test_digest",
)
_DESCRIPTIONS = {"reference_digest": "reference", "real_test_digest": "real_test"}

# Scores of the generator that sagan_tf.export exports by default have these values.
EXPORTED = {"weights": "EMA weights", "batch_statistics": "moving", "precision": "float32"}
# Those that a run makes of itself, and by default sagan_tf.evaluate of it, have these.
OF_RUN = EXPORTED | {"seed": 0, "truncation": 0.0, "class_distribution": "uniform"}


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a score was measured. A field is None where it does not apply.

    Attributes:
      source: what was scored, by name.
      source_digest: of its weights or images. None while a run trains: its own file of scores says whose.
      reference, real_test: descriptions of the real images; `reference_digest` and `real_test_digest` are
        digests of the images; names do not count.
      library: what computes the metric, with its version; None for the project's own metrics.
    """

    source: str
    step: int | None
    weights: str | None
    samples: int
    seed: int
    truncation: float | None
    class_distribution: str | None
    splits: int | None
    reference: str | None
    network: str
    network_fingerprint: str
    resize: str
    real_test: str | None = None
    batch_statistics: str | None = None
    precision: str | None = None
    source_digest: str | None = None
    reference_digest: str | None = None
    real_test_digest: str | None = None
    library: str | None = None

    def replace(self, **changes) -> "Protocol":
        """The same with some fields changed."""
        return dataclasses.replace(self, **changes)

    def fields(self) -> dict:
        """Every field by name."""
        return dataclasses.asdict(self)

    def of_metric(self, metric: Metric) -> "Protocol":
        """Only the fields that concern a metric; other metrics' fields are None."""
        concerns = {*metric.settings}
        if Need.REFERENCE in metric.needs:
            concerns |= {"reference", "reference_digest"}
        return self.replace(**{name: None for name in _NOT_OF_ALL if name not in concerns})

    @property
    def inception(self) -> bool:
        """Whether scores may be called by the names of Inception metrics."""
        return self.network == INCEPTION_NAME

    def title(self, score: Score) -> str:
        """The name to print a score by."""
        return metric_of(score.key).titles(self.inception)[score.key]


# Fields that concern some metrics only.
_NOT_OF_ALL = ("reference", "reference_digest", "splits", "real_test", "real_test_digest", "library")


def record(score: Score, protocol: Protocol) -> dict:
    """A score as a line of JSON holds it."""
    value = {
        "metric": protocol.title(score),
        "value": score.value,
        "spread": score.spread,
        "spread_of": score.spread_of,
        "note": score.note,
    }
    measured = protocol.of_metric(metric_of(score.key)).fields()
    return value | measured | {"version": sagan_tf.__version__, "time": round(time.time(), 3)}


def append(path: str, line: dict) -> None:
    """Adds a line to a file of JSON lines, which is on the disk when this returns. Raises UserError."""
    with writing("output", path):
        json_lines.append(path, line, flush=True)


def read(path: str) -> list[dict]:
    """The lines of a file that `append` wrote, less any that was cut short; none if there is no file.

    A score that is NaN stands in the file as null, for JSON has no NaN; here it is NaN again.
    """
    lines = json_lines.read(path)
    return [line | {"value": math.nan} if line.get("value", 0.0) is None else line for line in lines]


def set_aside(path: str, after: int) -> None:
    """Moves the lines of steps after a step from NAME.jsonl to NAME.diverged.jsonl."""
    lines = read(path)
    kept = [line for line in lines if (line["step"] or 0) <= after]
    if kept == lines:
        return
    for line in lines:
        if line not in kept:
            append(f"{path.removesuffix('.jsonl')}.diverged.jsonl", line)
    json_lines.replace(path, kept)


def measure(line: dict) -> tuple:
    """How a line's score was measured: scores of one metric compare where this is the same."""
    return tuple(_field(line, name) for name in _MEASURE)


def _field(line: dict, name: str):
    value = line.get(name)
    if name == "resize" and value:
        return _method(value)
    return line.get(_DESCRIPTIONS[name]) if value is None and name in _DESCRIPTIONS else value


def same_resize(one: str, other: str) -> bool:
    """Whether two ways to resize are the same, see `features.FeatureNetwork.resize`."""
    return _method(one) == _method(other)


def _method(resize: str) -> str:
    """Drops a word that earlier versions wrote for Inception too, where it made no difference."""
    return resize.removesuffix(", antialiased")


def find(lines: typing.Sequence[dict], key: str, protocol: Protocol) -> dict | None:
    """The last line with a value that was measured by a protocol; None if there is none.

    Args:
      lines: as `read` gives them.
      key: the value's, see `Metric.titles_of`.
      protocol: of the measurement. Its `source_digest` counts if both it and the line's are known.
    """
    wanted = record(Score(key, 0.0), protocol)
    for line in reversed(lines):
        same = line.get("metric") == wanted["metric"] and line.get("step") == wanted["step"]
        sources = {line.get("source_digest"), protocol.source_digest} - {None}
        if same and len(sources) < 2 and measure(line) == measure(wanted):
            return line
    return None


def missing(lines: typing.Sequence[dict], metrics: typing.Iterable[str], protocol: Protocol) -> list[str]:
    """The metrics that lack a value measured by this protocol; `lines` as in `find`."""
    return [
        name for name in metrics if any(find(lines, key, protocol) is None for key in METRICS[name].titles_of)
    ]


def describe(protocol: Protocol) -> str:
    """The protocol in lines of text."""
    p = protocol
    who = [p.source]
    who += [f"step {p.step:,}"] if p.step is not None else []
    who += [p.weights] if p.weights else []
    who += [f"{p.batch_statistics} batch statistics"] if p.batch_statistics else []
    who += [f"computed in {p.precision}"] if p.precision else []
    how = [f"{p.samples:,} images", f"seed {p.seed}"]
    if p.class_distribution:
        how += [
            f"classes {p.class_distribution}",
            f"truncation {p.truncation}" if p.truncation else "no truncation",
        ]
    lines = [
        f"scored     {', '.join(who)}",
        f"samples    {', '.join(how)}",
        f"reference  {p.reference or 'none'}{_in_brackets(p.reference_digest)}",
        f"network    {p.network} ({p.network_fingerprint}), images {p.resize}",
    ]
    if p.library:
        names = ", ".join(name for name, metric in METRICS.items() if "library" in metric.settings)
        lines.append(f"computed   {names} by {p.library}")
    if p.real_test:
        lines.append(f"tested on  {p.real_test}")
    return "\n".join(lines)


def _in_brackets(digest: str | None) -> str:
    return f" (digest {digest})" if digest else ""


def table(scores: typing.Sequence[Score], protocol: Protocol) -> str:
    """The protocol and the scores as text."""
    lines = [describe(protocol), ""]
    rows = [("metric", "value", "spread", "")] + [_row(score, protocol) for score in scores]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for name, value, spread, note in rows:
        lines.append(f"{name:<{widths[0]}}  {value:>{widths[1]}}  {spread:>{widths[2]}}  {note}".rstrip())
    return "\n".join(lines)


def _row(score: Score, protocol: Protocol) -> tuple[str, str, str, str]:
    spread = "" if score.spread is None else f"+/- {score.spread:.4g}"
    return (
        protocol.title(score),
        f"{score.value:.5g}",
        spread,
        "; ".join(text for text in (score.spread_of, score.note) if text),
    )


def write_classes(start: str, score: Score, title: str, class_names: typing.Sequence[str]) -> str:
    """Writes a CSV with the value within every class; returns its path. Raises UserError.

    Args:
      start: of the path; the file is the first of START.csv, START-2.csv, ... that does not exist.
      score: has `classes`.
      title: heading of the values.
      class_names: of the labels.
    """
    try:
        for number in itertools.count(1):
            path = f"{start}.csv" if number == 1 else f"{start}-{number}.csv"
            with contextlib.suppress(FileExistsError), open(path, "x", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(["label", "class", title, "generated_images", "real_images"])
                for entry in score.classes:
                    name = class_names[entry.label]
                    writer.writerow(
                        [entry.label, name, entry.value, entry.generated_samples, entry.real_samples]
                    )
                return path
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error
