"""Pictures from arrays: 8 bits from floats, grids, captions, animations, files. NumPy and Pillow only."""

import contextlib
import os
import typing

import numpy as np
from PIL import Image, ImageDraw

from sagan_tf.pictures import text

_GAP, _GROUP_GAP = 2, 10  # white pixels between images, and between groups of columns
_FIRST_MS, _LAST_MS = 500, 2000  # how long an animation shows a frame, and the last frame


def to_uint8(images) -> np.ndarray:
    """float32 in [-1, 1] -> uint8 in [0, 255], rounded; the inverse of `from_uint8`."""
    return np.clip(np.round((np.asarray(images, np.float32) + 1.0) * 127.5), 0, 255).astype(np.uint8)


def from_uint8(pixels: np.ndarray) -> np.ndarray:
    """uint8 in [0, 255] -> float32 in [-1, 1]: x * (2 / 255) - 1."""
    return pixels * np.float32(2.0 / 255.0) - np.float32(1.0)


def image_grid(images: np.ndarray, columns: int, gap: int = _GAP) -> np.ndarray:
    """Puts images, uint8 (rows * columns, H, W, 3), into one picture with white gaps of `gap` pixels."""
    count, height, width, channels = images.shape
    rows = count // columns
    grid = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), 255, np.uint8)
    for index in range(rows * columns):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        grid[top : top + height, left : left + width] = images[index]
    return grid


def enlarged(images: np.ndarray, least: int = 64) -> np.ndarray:
    """Enlarges images, uint8 (n, H, W, 3), by the least whole factor that makes them `least` pixels high."""
    factor = -(-least // images.shape[1])
    return images.repeat(factor, axis=1).repeat(factor, axis=2)


def captioned_grid(
    images: np.ndarray,
    columns: int,
    row_captions: typing.Sequence[str] = (),
    groups: typing.Sequence[tuple[str, int]] = (),
    title: str = "",
) -> np.ndarray:
    """A grid with captions, black on white.

    Args:
      images: uint8 (rows * columns, H, W, 3).
      columns: images in a row.
      row_captions: one for each row, to its left; or none.
      groups: captions above the columns, each with its number of columns. Groups of several columns have
        wider gaps between them.
      title: text above the grid.

    Returns: one uint8 picture (height, width, 3).
    """
    rows, size = len(images) // columns, images.shape[1]
    gap = _GROUP_GAP if any(width > 1 for _, width in groups) else _GAP
    line = text.SIZE + 6
    left = 8 + max(map(text.width, row_captions), default=-8)
    top = line * (bool(title) + bool(groups))
    widths = [width for _, width in groups] or [columns]
    starts = np.cumsum([0, *widths])  # in columns
    parts = np.split(images.reshape(rows, columns, *images.shape[1:]), starts[1:-1], axis=1)
    grids = [image_grid(part.reshape(-1, *images.shape[1:]), part.shape[1]) for part in parts]
    lefts = left + np.cumsum([0, *(grid.shape[1] + gap for grid in grids)])
    width = max(lefts[-1] - gap, text.width(title) + 4)
    canvas = Image.new("RGB", (int(width), top + grids[0].shape[0]), "white")
    draw = ImageDraw.Draw(canvas)
    for x, grid in zip(lefts, grids, strict=False):
        canvas.paste(Image.fromarray(grid), (int(x), top))
    for x, grid, (caption, _) in zip(lefts, grids, groups, strict=False):
        text.write(draw, (x + grid.shape[1] / 2, top - line / 2), caption, "mm")
    for row, caption in enumerate(row_captions):
        text.write(draw, (4, top + row * (size + _GAP) + size / 2), caption, "lm")
    text.write(draw, (2, 2), title)
    return np.asarray(canvas)


def save(path: str, picture: np.ndarray) -> None:
    """Writes a uint8 picture (height, width, 3); the path's ending decides how."""
    _save_whole(path, Image.fromarray(picture))


def _save_whole(path: str, image: Image.Image, **options) -> None:
    """Saves an image under its name only when all of it is written."""
    partial, ending = f"{path}.partial", os.path.splitext(path)[1].lower()
    try:
        image.save(partial, Image.registered_extensions()[ending], **options)
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(partial)
        raise


def save_animation(path: str, frames: typing.Sequence[np.ndarray]) -> None:
    """Writes uint8 frames (height, width, 3) of one size as an endless .gif or .webp."""
    pictures = [Image.fromarray(frame) for frame in frames]
    durations = [_FIRST_MS] * (len(frames) - 1) + [_LAST_MS]
    quality = {"quality": 85} if os.path.splitext(path)[1] == ".webp" else {}
    options = {"append_images": pictures[1:], "duration": durations, "loop": 0, **quality}
    _save_whole(path, pictures[0], save_all=True, **options)
