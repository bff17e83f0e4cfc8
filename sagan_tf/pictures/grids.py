"""Pictures from arrays: 8 bits from floats, grids, captions, animations, files. NumPy and Pillow only."""

import os
import typing

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_GAP, _GROUP_GAP = 2, 10  # white pixels between images, and between groups of columns
_FONT_SIZE = 12
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
    font = ImageFont.load_default(_FONT_SIZE)
    line = _FONT_SIZE + 6
    left = 8 + max((round(font.getlength(text)) for text in row_captions), default=-8)
    top = line * (bool(title) + bool(groups))
    widths = [width for _, width in groups] or [columns]
    starts = np.cumsum([0, *widths])  # in columns
    parts = np.split(images.reshape(rows, columns, *images.shape[1:]), starts[1:-1], axis=1)
    grids = [image_grid(part.reshape(-1, *images.shape[1:]), part.shape[1]) for part in parts]
    lefts = left + np.cumsum([0, *(grid.shape[1] + gap for grid in grids)])
    width = max(lefts[-1] - gap, round(font.getlength(title)) + 4)
    canvas = Image.new("RGB", (int(width), top + grids[0].shape[0]), "white")
    draw = ImageDraw.Draw(canvas)
    for x, grid in zip(lefts, grids, strict=False):
        canvas.paste(Image.fromarray(grid), (int(x), top))
    for x, grid, (text, _) in zip(lefts, grids, groups, strict=False):
        draw.text((x + grid.shape[1] / 2, top - line / 2), text, "black", font, anchor="mm")
    for row, text in enumerate(row_captions):
        draw.text((4, top + row * (size + _GAP) + size / 2), text, "black", font, anchor="lm")
    draw.text((2, 2), title, "black", font)
    return np.asarray(canvas)


def save(path: str, picture: np.ndarray) -> None:
    """Writes a uint8 picture (height, width, 3). The path's ending decides the format."""
    Image.fromarray(picture).save(path)


def save_animation(path: str, frames: typing.Sequence[np.ndarray]) -> None:
    """Writes uint8 frames (height, width, 3) of one size as an endless .gif or .webp."""
    pictures = [Image.fromarray(frame) for frame in frames]
    durations = [_FIRST_MS] * (len(frames) - 1) + [_LAST_MS]
    quality = {"quality": 85} if os.path.splitext(path)[1] == ".webp" else {}
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0, **quality)
