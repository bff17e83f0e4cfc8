"""Attention drawn on images, as in figures 1 and 5 of the paper."""

import typing

import numpy as np
from PIL import Image, ImageDraw

from sagan_tf import pictures
from sagan_tf.pictures import geometry

HEAT = (255, 190, 0)  # colour of attention, which everybody can tell from grey
VEIL = 0.45  # brightness of the grey image
_LUMA = (0.299, 0.587, 0.114)
# Colours of queries, which colour-blind people can tell apart (Okabe and Ito 2008).
_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#f0e442", "#000000")
_TILE = 96  # least height and width of a tile in pixels
_FRAME = 4  # pixels


def overlay(image: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Draws a map over its image: the image in dark grey, attention in yellow.

    Args:
      image: uint8 (S, S, 3).
      shares: float (S, S), at least 0. Its largest value becomes full yellow.

    Returns: uint8 (S, S, 3).
    """
    grey = (image @ np.array(_LUMA))[..., None] * VEIL
    heat = (shares / max(shares.max(), np.finfo(np.float32).tiny))[..., None]
    return np.round(grey * (1 - heat) + np.array(HEAT) * heat).astype(np.uint8)


def attention_row(
    image: np.ndarray, beta: np.ndarray, positions: typing.Sequence[int], smooth: bool = False
) -> np.ndarray:
    """An image with dots at its query positions, then the map of each, framed in its dot's colour.

    Args:
      image: uint8 (S, S, 3).
      beta: float (N, M).
      positions: numbers of the queries, at most 8.
      smooth: whether shares change smoothly from key to key; otherwise each key's cell is seen.

    Returns: uint8 (1 + len(positions), T, T, 3), where T is S, or a multiple of S, and a frame.
    """
    queries, _ = geometry.sides(beta)
    image = pictures.enlarged(image[None], _TILE)[0]
    place = geometry.smooth_pixels if smooth else geometry.to_pixels
    maps = place(beta[list(positions)], queries, len(image))
    tiles = [image, *(overlay(image, shares) for shares in maps)]
    dots = [geometry.center(position, queries, len(image)) for position in positions]
    marked = list(zip(dots, _COLOURS, strict=False))
    framed = [_framed(tiles[0], marked, "white")]
    framed += [_framed(tile, [mark], mark[1]) for tile, mark in zip(tiles[1:], marked, strict=True)]
    return np.stack(framed)


def attention_grid(
    images: np.ndarray,
    beta: np.ndarray,
    positions: typing.Sequence[int] | None = None,
    count: int = 5,
    captions: typing.Sequence[str] = (),
    title: str = "",
) -> np.ndarray:
    """The attention of a batch, one image a row, see `attention_row`.

    Args:
      images: uint8 (B, S, S, 3).
      beta: float32 (B, N, M), as `SelfAttention` returns it.
      positions: numbers of the queries; None to choose queries with unlike maps in each image.
      count: the number of queries to choose.
      captions: one for each image, to its left; or none.
      title: text above the picture.

    Returns: one uint8 picture (height, width, 3).
    """
    rows = []
    for image, maps in zip(images, beta, strict=True):
        chosen = geometry.choose_positions(maps, count) if positions is None else positions
        rows.append(attention_row(image, maps, chosen))
    return pictures.captioned_grid(np.concatenate(rows), len(rows[0]), captions, title=title)


def _framed(tile: np.ndarray, dots, colour: str) -> np.ndarray:
    """A tile in a frame, with dots; each dot is ((row, column), colour)."""
    size = len(tile) + 2 * _FRAME
    canvas = Image.new("RGB", (size, size), colour)
    canvas.paste(Image.fromarray(tile), (_FRAME, _FRAME))
    draw = ImageDraw.Draw(canvas)
    radius = len(tile) / 32
    for (row, column), fill in dots:
        middle = (column + _FRAME - 0.5, row + _FRAME - 0.5)
        draw.circle(middle, radius + 1, fill, "white", 1)
    return np.asarray(canvas)
