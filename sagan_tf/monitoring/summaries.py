"""What a run reports: TensorBoard's event files, metrics.jsonl and PNGs. Every tag is written here.

TensorBoard groups tags by their first part. Scalars have the groups of `GROUPS`; pictures have `samples`,
`attention` and `data`; texts have `run` and `scores`.
"""

import functools
import os
import time
import typing

import keras
import numpy as np
import tensorflow as tf
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import summary as custom_scalar
from tensorboard.plugins.histogram import metadata as histogram_plugin
from tensorboard.plugins.hparams import api as hparams

from sagan_tf import pictures
from sagan_tf.monitoring.diagnostics import Kernel
from sagan_tf.pictures import captioned_grid, enlarged
from sagan_tf.system import json_lines
from sagan_tf.system.errors import failure_of_the_system
from sagan_tf.system.run_directory import RunFiles
from sagan_tf.training import histogram
from sagan_tf.training.state import State

# TensorBoard's explanation of a scalar, by the first part of its tag.
GROUPS = {
    "loss": "Losses of both networks: means since the value before. The cross entropies of an auxiliary"
    " classifier, times their weight, are separate.",
    "penalty": "Penalties that the networks minimize beside their losses, times their weights.",
    "accuracy": "Share of real images whose class the discriminator's auxiliary classifier names.",
    "logits": "Mean logit of the discriminator on real and on fake images. Far apart: it tells them apart"
    " with ease. Close: it cannot tell them apart.",
    "logit_histogram": "Logits of single images since the value before.",
    "gamma": "Weight of the attention layer's output. It starts at 0; near 0 the attention is hardly used."
    " Its sign alone means nothing: the last projection can change sign with it.",
    "attention_share": "|gamma o| / |x|: the size of the attention's output relative to its input, averaged"
    " over some images. Near 0 the attention is hardly used, whatever gamma is.",
    "singular_value": "Largest singular value of a kernel, by which spectral normalization divides it.",
    "gradient_norm": "Norm of a network's gradient: root mean square of recent updates, weighted as by Adam.",
    "diversity": "Deviation of a pixel among samples of a class, as a share of the real images' deviation:"
    " mean and minimum over some classes. Near 0 all samples are alike.",
    "learning_rate": "Adam's learning rates.",
    "speed": "Steps and images a second, without the time between the steps.",
    "scores": "Scores. The text of the same name says how they were measured.",
}
_HEADLINES = ("loss/discriminator", "loss/generator", "logits/real", "logits/fake", "speed/images_per_second")


def _side_work(method):
    """A method of `Reporter` that only warns, once for each kind of thing, if it cannot write."""

    @functools.wraps(method)
    def tried(self, *arguments, **keywords):
        try:
            return method(self, *arguments, **keywords)
        except (OSError, tf.errors.OpError) as error:
            reason = failure_of_the_system(error)
            if not reason:
                raise
            if method.__name__ not in self._failed:
                self._failed.add(method.__name__)
                what = method.__name__.replace("_", " ").strip()
                self._complain(f"warning: {what} cannot be written ({reason}); the run goes on")

    return tried


class Reporter:
    """Writes a run's scalars and pictures.

    Args:
      workdir: event files go to `tensorboard/`, PNGs to `samples/`, scalars also to `metrics.jsonl`.
      step: the step from which the run goes on. Later lines in `metrics.jsonl`, left by a killed run, are
        dropped.
      complain: called with one line when something of a kind cannot be written, which never ends the run.
    """

    def __init__(self, workdir: str, step: int, complain=print):
        self._paths, self._complain, self._failed = RunFiles(workdir), complain, set()
        self.rewind(step)
        self._writer = tf.summary.create_file_writer(self._paths.tensorboard)

    @_side_work
    def scalars(self, step: int, values: dict) -> None:
        """Writes scalars by tag, e.g. `loss/generator`. It ignores histograms among the values."""
        values = {tag: float(value) for tag, value in values.items() if not np.ndim(value)}
        with self._writer.as_default():
            for tag, value in values.items():
                _write_scalar(tag, value, step)
        json_lines.append(self._paths.metrics, _stamped(step) | values)

    @_side_work
    def diagnostics(self, step: int, scalars: dict[str, float], histograms: dict[str, np.ndarray]) -> None:
        """Writes scalars and histograms (see `sagan_tf.training.histogram`) to TensorBoard only."""
        edges = histogram.edges()
        with self._writer.as_default():
            for tag, value in scalars.items():
                _write_scalar(tag, value, step)
            for tag, shares in histograms.items():
                _write_histogram(tag, edges, shares, step)

    def diversity(self, step: int, shares: dict[str, float]) -> None:
        """Writes the mean and the minimum of `Sampler.diversity` to TensorBoard."""
        if shares:
            values = list(shares.values())
            self.diagnostics(step, {"diversity/mean": np.mean(values), "diversity/least": min(values)}, {})

    @_side_work
    def divergence(self, step: int, kind: str, reason: str, scalars: dict[str, float]) -> None:
        """Writes why a run is lost: a text, and a line at the end of `divergence.jsonl`."""
        self.text(step, "run/divergence", reason)
        json_lines.append(self._paths.divergence, _stamped(step) | {"kind": kind, "reason": reason} | scalars)

    @_side_work
    def ignored(self, step: int, kind: str, reason: str) -> None:
        """Writes a line of `divergence.jsonl` about a guard that was ignored."""
        about = {"kind": kind, "reason": reason, "ignored": True}
        json_lines.append(self._paths.divergence, _stamped(step) | about)

    def has_diverged(self) -> bool:
        """Whether the run was ever lost, in this process or an earlier one."""
        return any(not line.get("ignored") for line in json_lines.read(self._paths.divergence))

    @_side_work
    def rewind(self, step: int) -> None:
        """Drops the lines of `metrics.jsonl` after this step, because the run has gone back to it."""
        if not os.path.exists(self._paths.metrics):
            return
        kept = [line for line in json_lines.read(self._paths.metrics) if line["step"] <= step]
        json_lines.replace(self._paths.metrics, kept)

    def scores(self, step: int, values: dict[str, float], protocol: str) -> None:
        """Writes scores by name, and a text that says how they were measured."""
        self.scalars(step, {f"scores/{name}": value for name, value in values.items()})
        self.text(step, "scores/protocol", _preformatted(protocol))

    @_side_work
    def text(self, step: int, tag: str, markdown: str) -> None:
        """Writes a text."""
        with self._writer.as_default():
            tf.summary.text(tag, markdown, step)

    @_side_work
    def picture(self, step: int, tag: str, image: np.ndarray) -> None:
        """Writes one uint8 picture (height, width, 3) to TensorBoard."""
        with self._writer.as_default():
            tf.summary.image(tag, image[None], step)

    def grid(self, step: int, tag: str, images: np.ndarray, columns: int, captions=()) -> str:
        """Writes images as one grid, to TensorBoard and as a PNG; returns the PNG's path.

        Args:
          step: the step that made the images.
          tag: e.g. `samples/ema`; the PNG is named after its last part.
          images: uint8 (n, H, W, 3), row by row; n is a multiple of `columns`.
          columns: images in a row.
          captions: one for each row, or none.
        """
        grid = captioned_grid(enlarged(images), columns, captions)
        self.picture(step, tag, grid)
        path = os.path.join(self._paths.samples, f"{tag.rpartition('/')[2]}_{step:08d}.png")
        self._picture_file(path, grid)
        return path

    @_side_work
    def _picture_file(self, path: str, grid: np.ndarray) -> None:
        os.makedirs(self._paths.samples, exist_ok=True)
        pictures.save(path, grid)

    @_side_work
    def introduce(
        self,
        options: dict,
        hyperparameters: typing.Sequence[str],
        data_grid: np.ndarray,
        scores: typing.Sequence[str] = (),
    ) -> None:
        """Writes the description of a new run, and the layout of its scalars.

        Args:
          options: the configuration: text, numbers and booleans by name.
          hyperparameters: names of the options by which to compare runs.
          data_grid: uint8 (height, width, 3), the picture of the check of the data.
          scores: names of the scores to come.
        """
        rows = [f"| {name} | {value} |" for name, value in options.items()]
        self.text(0, "run/configuration", "\n".join(["| option | value |", "| --- | --- |", *rows]))
        self.picture(0, "data/check", data_grid)
        tags = [*_HEADLINES, *(f"scores/{name}" for name in scores)]
        with self._writer.as_default():
            hparams.hparams_config(
                hparams=[hparams.HParam(name) for name in hyperparameters],
                metrics=[hparams.Metric(tag, display_name=tag) for tag in tags],
            )
            chosen = {name: options[name] for name in hyperparameters}
            hparams.hparams(chosen, trial_id=self._paths.workdir)
            layout = custom_scalar.pb(_layout(scores))
            tf.summary.experimental.write_raw_pb(layout.SerializeToString(), step=0)

    @_side_work
    def flush(self) -> None:
        """Makes everything written so far visible to readers."""
        self._writer.flush()
        if not os.path.isdir(self._paths.tensorboard):  # somebody has removed it
            self._writer = tf.summary.create_file_writer(self._paths.tensorboard)


def write_scores(workdir: str, step: int, scores: dict[str, float], protocol: str) -> None:
    """Adds a checkpoint's scores, by name, to TensorBoard, from a process that does not train.

    They are a run of their own, `evaluate`. In the run of the training an earlier step would make
    TensorBoard hide all later steps, as if the training had gone back.
    """
    writer = tf.summary.create_file_writer(os.path.join(RunFiles(workdir).tensorboard, "evaluate"))
    with writer.as_default():
        for name, value in scores.items():
            _write_scalar(f"scores/{name}", value, step)
        tf.summary.text("scores/protocol", _preformatted(protocol), step)
    writer.close()


def _stamped(step: int) -> dict:
    return {"step": step, "time": round(time.time(), 3)}


def _write_scalar(tag: str, value: float, step: int) -> None:
    tf.summary.scalar(tag, value, step, description=_description(tag))


def _description(tag: str) -> str | None:
    return GROUPS.get(tag.partition("/")[0])


def _write_histogram(tag: str, edges: np.ndarray, shares: np.ndarray, step: int) -> None:
    """Writes a histogram with given bins, without the empty bins at both ends."""
    filled = np.flatnonzero(shares)
    used = slice(filled[0], filled[-1] + 1) if len(filled) else slice(0, 0)
    rows = np.stack([edges[:-1], edges[1:], shares], axis=1)[used]  # as TensorBoard's plugin wants them
    metadata = histogram_plugin.create_summary_metadata(None, GROUPS[tag.partition("/")[0]])
    tf.summary.write(tag, tf.constant(rows, tf.float64), step, metadata)


def diagnostic_scalars(kernels: dict[str, Kernel], gradient_norms: dict[str, float]) -> dict[str, float]:
    """Scalars by tag, from what `Diagnostics` returns."""
    return {f"singular_value/{name}": kernel.sigma for name, kernel in kernels.items()} | {
        f"gradient_norm/{role}": norm for role, norm in gradient_norms.items()
    }


def _preformatted(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def _layout(scores: typing.Sequence[str]) -> layout_pb2.Layout:
    """TensorBoard's page CUSTOM SCALARS: related scalars share a chart; each score has its own."""

    def category(title, **charts):
        return layout_pb2.Category(
            title=title,
            chart=[
                layout_pb2.Chart(
                    title=name.replace("_", " "), multiline=layout_pb2.MultilineChartContent(tag=[pattern])
                )
                for name, pattern in charts.items()
            ],
        )

    return layout_pb2.Layout(
        category=[
            category("The game", discriminator_on_real_and_fake=r"^logits/(real|fake)$", losses=r"^loss/"),
            category("Attention", gamma=r"^gamma/", size_of_gamma_o_against_x=r"^attention_share/"),
            category(
                "Health",
                singular_values_of_the_generator=r"^singular_value/generator",
                singular_values_of_the_discriminator=r"^singular_value/discriminator",
                gradients=r"^gradient_norm/",
                diversity_of_the_samples=r"^diversity/",
            ),
            category("Scores", **({name: f"^scores/{name}$" for name in scores} or {"scores": "^scores/"})),
            category("Pace", learning_rates=r"^learning_rate/", images_per_second=r"^speed/images"),
        ]
    )


def state_scalars(state: State) -> dict[str, float]:
    """gamma of every attention layer, and the learning rates, by tag."""
    scalars = {
        "learning_rate/generator": float(keras.ops.convert_to_numpy(state.generator_optimizer.learning_rate)),
        "learning_rate/discriminator": float(
            keras.ops.convert_to_numpy(state.discriminator_optimizer.learning_rate)
        ),
    }
    for network in (state.generator, state.discriminator):
        for resolution, layer in network.attention_layers.items():
            scalars[f"gamma/{network.name}_{resolution}"] = float(layer.gamma.value.numpy())
    return scalars
