"""What a run reports: TensorBoard's event files, metrics.jsonl and PNGs. Every tag is written here."""

import json
import os
import time

import numpy as np
import tensorflow as tf
from PIL import Image

from sagan_tf.training.state import State


class Reporter:
    """Writes a run's scalars and pictures.

    Args:
      workdir: event files go to `tensorboard/`, PNGs to `samples/`, scalars also to `metrics.jsonl`.
      step: the step from which the run goes on; later lines of `metrics.jsonl`, which a killed run
        left behind, are dropped.
    """

    def __init__(self, workdir: str, step: int):
        self._metrics_path = os.path.join(workdir, "metrics.jsonl")
        self._samples = os.path.join(workdir, "samples")
        os.makedirs(self._samples, exist_ok=True)
        _drop_lines_after(self._metrics_path, step)
        self._writer = tf.summary.create_file_writer(os.path.join(workdir, "tensorboard"))

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Writes scalars by tag, e.g. `loss/generator`."""
        values = {tag: float(value) for tag, value in values.items()}
        with self._writer.as_default():
            for tag, value in values.items():
                tf.summary.scalar(tag, value, step)
        with open(self._metrics_path, "a") as file:
            file.write(json.dumps({"step": step, "time": round(time.time(), 3)} | values) + "\n")

    def text(self, step: int, tag: str, markdown: str) -> None:
        """Writes a text."""
        with self._writer.as_default():
            tf.summary.text(tag, markdown, step)

    def picture(self, step: int, tag: str, image: np.ndarray) -> None:
        """Writes one uint8 picture (height, width, 3) to TensorBoard."""
        with self._writer.as_default():
            tf.summary.image(tag, image[None], step)

    def grid(self, step: int, tag: str, images, columns: int) -> str:
        """Writes images as one grid, to TensorBoard and as a PNG; returns the PNG's path.

        Args:
          step: the step that made them.
          tag: e.g. `samples/ema`; the PNG is named after its last part.
          images: float32 (n, H, W, 3) in [-1, 1], row by row; n is a multiple of `columns`.
          columns: images in a row.
        """
        grid = image_grid(to_uint8(images), columns)
        self.picture(step, tag, grid)
        path = os.path.join(self._samples, f"{tag.rpartition('/')[2]}_{step:08d}.png")
        Image.fromarray(grid).save(path)
        return path

    def flush(self) -> None:
        """Makes everything written so far visible to readers."""
        self._writer.flush()


def write_scores(workdir: str, step: int, scores: dict[str, float]) -> None:
    """Adds scores, by name, of a checkpoint to TensorBoard, from a process that does not train.

    They have event files of their own, which no second writer disturbs.
    """
    writer = tf.summary.create_file_writer(os.path.join(workdir, "tensorboard"), filename_suffix=".scores")
    with writer.as_default():
        for name, value in scores.items():
            tf.summary.scalar(f"scores/{name}", value, step)
    writer.close()


def state_scalars(state: State) -> dict[str, float]:
    """What TensorBoard shows of the state itself: gamma of every attention layer, learning rates."""
    scalars = {
        "learning_rate/generator": float(state.generator_optimizer.learning_rate.value.numpy()),
        "learning_rate/discriminator": float(state.discriminator_optimizer.learning_rate.value.numpy()),
    }
    for network in (state.generator, state.discriminator):
        for resolution, layer in network.attention_layers.items():
            scalars[f"gamma/{network.name}_{resolution}"] = float(layer.gamma.value.numpy())
    return scalars


def to_uint8(images) -> np.ndarray:
    """float32 [-1, 1] -> uint8 [0, 255], rounded: the inverse of x * 2 / 255 - 1."""
    return np.clip(np.round((np.asarray(images, np.float32) + 1.0) * 127.5), 0, 255).astype(np.uint8)


def image_grid(images: np.ndarray, columns: int, gap: int = 2) -> np.ndarray:
    """uint8 (rows * columns, H, W, 3) -> one uint8 picture, images `gap` white pixels apart."""
    count, height, width, channels = images.shape
    rows = count // columns
    grid = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), 255, np.uint8)
    for index in range(rows * columns):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        grid[top : top + height, left : left + width] = images[index]
    return grid


def _drop_lines_after(path: str, step: int) -> None:
    if not os.path.exists(path):
        return
    with open(path) as file:
        lines = file.readlines()
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
    if kept != lines:
        with open(f"{path}.partial", "w") as file:
            file.writelines(kept)
        os.replace(f"{path}.partial", path)
