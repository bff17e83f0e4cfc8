"""Checks a dataset before the first step for what most often ruins a run."""

import collections
import hashlib
import os
import typing

import numpy as np
from PIL import Image, ImageDraw

from sagan_tf import pictures
from sagan_tf.data.labels import NO_LABEL
from sagan_tf.system import files
from sagan_tf.system.errors import UserError, printable, with_remedy

GRID_FILE, TEXT_FILE = "data_check.png", "data_check.txt"

_SAMPLE = 2000  # images that are looked at if looking at all takes long
_READ = 256  # images read at once
_CLASSES_SHOWN = 16
_COLUMNS = 8
_TILE, _CAPTION = 64, 12  # least size of a tile and height of its caption, pixels
_IMBALANCE = 10  # worth a warning: the largest class against the smallest
_FEW = 50  # worth a warning: images in a class
_DUPLICATES = 0.01  # worth a warning: share of images that are the same as another
_MOST = 0.5  # worth a warning: a larger share of the images is black, white or of one colour:
_DARK, _BRIGHT = 64, 192  # no pixel is at least as bright, or as dark
_FLAT = 4  # all pixels are within so many levels


class Preflight(typing.NamedTuple):
    """What was found.

    Attributes:
      lines: the report.
      warnings: what may be wrong; they are among `lines` too.
      grid: labelled sample images, uint8 (height, width, 3).
    """

    lines: list[str]
    warnings: list[str]
    grid: np.ndarray


class _Look(typing.NamedTuple):
    """Images that were looked at.

    Attributes:
      indices, labels: their numbers and labels, int (n,).
      duplicates: how many are the same as another.
      darkest, brightest: least and largest value of each, uint8 (n,).
    """

    indices: np.ndarray
    labels: np.ndarray
    duplicates: int
    darkest: np.ndarray
    brightest: np.ndarray


def preflight(dataset, directory: str, report=print, full: bool = False, complain=None) -> Preflight:
    """Looks at a dataset, prints what it finds and writes it to `data_check.txt` and `data_check.png`.

    Sets in memory are looked at in full; of others a sample of 2,000 evenly spaced images, and the
    report says so.

    Args:
      dataset: a `Dataset`.
      directory: where to write; made if need be.
      report: called with each line.
      full: look at every image, however long it takes.
      complain: called with one line if the directory cannot be written; None: that is an error.

    Raises:
      UserError: an image cannot be read and is not to be skipped, or the directory cannot be written.
    """
    look = _look(dataset, full)
    whole = len(look.indices) == dataset.num_examples
    of = "" if whole else f" (of a sample of {len(look.indices):,} images)"
    counts, counted = _counts(dataset, look)
    small, sizes = _sizes(dataset)
    warnings = _warnings(dataset, counts, counted == dataset.num_examples, look, small)
    lines = [
        f"{dataset.name}: {dataset.num_examples:,} images at {dataset.image_size} x {dataset.image_size},"
        f" {dataset.num_classes:,} classes",
        *_class_lines(dataset.class_names, counts, "" if counted == dataset.num_examples else of),
        *sizes,
        f"duplicates: {look.duplicates:,} images are the same as another{of}",
        *(f"warning: {warning}" for warning in warnings),
    ]
    grid = _grid(dataset, look)
    problem = _write(directory, grid, lines)
    if problem and complain is None:
        raise UserError(problem)
    for line in [*lines, *([] if problem else [f"sample images: {os.path.join(directory, GRID_FILE)}"])]:
        report(line)
    if problem:
        complain(f"warning: the look at the images is not kept: {problem}; the run goes on")
    return Preflight(lines, warnings, grid)


def _write(directory: str, grid: np.ndarray, lines: list[str]) -> str:
    """Writes both files; returns why it cannot, or ""."""
    try:
        os.makedirs(directory, exist_ok=True)
        pictures.save(os.path.join(directory, GRID_FILE), grid)
        files.write(os.path.join(directory, TEXT_FILE), "".join(f"{line}\n" for line in lines))
    except OSError as error:
        return f"{directory}: cannot be written ({error.strerror or error})"
    return ""


def _look(dataset, full) -> _Look:
    count = dataset.num_examples
    if not full and not dataset.source.in_memory:
        count = min(count, _SAMPLE)
    indices = np.linspace(0, dataset.num_examples - 1, count).round().astype(np.int64)
    hashes, labels, duplicates, darkest, brightest = set(), [], 0, [], []
    for start in range(0, count, _READ):
        pixels, found = dataset.source.read(indices[start : start + _READ])
        labels.append(found)
        darkest.append(pixels.min(axis=(1, 2, 3)))
        brightest.append(pixels.max(axis=(1, 2, 3)))
        for image in pixels:
            digest = hashlib.blake2b(image, digest_size=16).digest()
            duplicates += digest in hashes
            hashes.add(digest)
    return _Look(indices, np.concatenate(labels), duplicates, *map(np.concatenate, (darkest, brightest)))


def _counts(dataset, look) -> tuple[np.ndarray, int]:
    """Images of each class, and of how many images that is."""
    labels = look.labels if dataset.source.labels is None else dataset.source.labels
    return np.bincount(labels[labels != NO_LABEL], minlength=dataset.num_classes), len(labels)


def _class_lines(names, counts, of) -> list[str]:
    order = np.arange(len(names))
    if len(names) > 2 * _CLASSES_SHOWN:
        order = np.argsort(-counts, kind="stable")
        order = [*order[:_CLASSES_SHOWN], None, *order[-_CLASSES_SHOWN:]]
    names = [printable(name) for name in names]
    width = min(max(len(name) for name in names), 40)
    title = "classes" if len(order) == len(names) else "classes, the largest and the smallest"
    lines = [f"{title}{of}:"]
    for label in order:
        lines.append(
            "  ..." if label is None else f"  {label:5d}  {names[label]:{width}s}  {counts[label]:,}"
        )
    return lines


def _sizes(dataset) -> tuple[float, list[str]]:
    """The share of images that are smaller than wanted, and a histogram."""
    sides, looked_at = dataset.source.short_sides(_SAMPLE)
    if not looked_at:
        return 0.0, []
    of = "" if looked_at == dataset.num_examples else f" (of a sample of {looked_at:,} images)"
    lines = [f"short side of the images before they are resized, pixels{of}:"]
    buckets = collections.Counter()
    for side, number in sides.items():
        buckets[side.bit_length()] += number
    for bits in range(min(buckets), max(buckets) + 1):
        share = buckets[bits] / looked_at
        lines.append(
            f"  {1 << (bits - 1):5d} to {(1 << bits) - 1:5d}  {'#' * round(40 * share):40s}  {share:6.1%}"
        )
    return sum(number for side, number in sides.items() if side < dataset.image_size) / looked_at, lines


def _warnings(dataset, counts, counted_all, look, small) -> list[str]:
    found = []
    if dataset.num_classes == 1:
        text = (
            "there is one class: every label is 0. If there should be more, name the folder that holds the"
            " class folders; if not, train without classes"
        )
        found.append(with_remedy(text, conditional=False))
    found += _contrast_warnings(look)
    labels = look.labels if dataset.source.labels is None else dataset.source.labels
    if missing := int(np.sum(labels == NO_LABEL)):
        found.append(f"{missing:,} images have no label")
    present = counts[counts > 0]
    if not len(present):
        return found
    empty = [name for name, count in zip(dataset.class_names, counts, strict=True) if not count]
    if empty and counted_all:
        names = ", ".join(empty[:5]) + (", ..." if len(empty) > 5 else "")
        found.append(
            f"{len(empty)} of {len(counts)} classes have no images ({names}): their samples will be noise"
        )
    if counted_all and present.max() > _IMBALANCE * present.min():
        most, least = present.max(), present.min()
        text = f"the largest class has {most:,} images, the smallest {least:,}: show each equally often"
        found.append(with_remedy(text, balanced_classes=True))
    if counted_all and present.min() < _FEW and dataset.num_classes > 1:
        text = f"{np.sum(present < _FEW)} classes have fewer than {_FEW} images: augment them"
        found.append(with_remedy(text, augment=None))
    if look.duplicates > _DUPLICATES * len(look.indices):
        found.append(f"{look.duplicates / len(look.indices):.1%} of the images are the same as another")
    if small > 0.5:
        found.append(
            f"{small:.0%} of the images are smaller than {dataset.image_size} pixels and are enlarged"
        )
    if dataset.source.skipped:
        found.append(f"{dataset.source.skipped:,} images cannot be read and are skipped")
    return found


def _contrast_warnings(look: _Look) -> list[str]:
    """What the brightness of the images tells: there may be nothing to see on them."""
    found = []
    dark, bright = look.brightest < _DARK, look.darkest > _BRIGHT
    if dark.mean() > _MOST:
        found.append(
            f"{_share(dark)} images are almost black: no pixel is brighter than {look.brightest[dark].max()}"
            " of 255; 10 or 12 bits stored in 16-bit files must be scaled to the full range first"
        )
    elif bright.mean() > _MOST:
        found.append(
            f"{_share(bright)} images are almost white: no pixel is darker than"
            f" {look.darkest[bright].min()} of 255"
        )
    flat = np.mean(look.brightest.astype(int) - look.darkest <= _FLAT)
    if flat > _MOST:
        found.append(f"{flat:.0%} of the images are of one colour: there is nothing to learn from them")
    return found


def _share(which: np.ndarray) -> str:
    return "all" if which.all() else f"{which.mean():.0%} of the"


def _grid(dataset, look) -> np.ndarray:
    """Up to 16 classes, evenly spaced, one a row, with the first images of each that were looked at."""
    present = np.unique(look.labels)
    rows = present[np.linspace(0, len(present) - 1, min(len(present), _CLASSES_SHOWN)).round().astype(int)]
    tile = max(_TILE, dataset.image_size)
    canvas = Image.new("RGB", (_COLUMNS * (tile + 2), len(rows) * (tile + _CAPTION + 2)), "white")
    draw = ImageDraw.Draw(canvas)
    for row, label in enumerate(rows):
        top = row * (tile + _CAPTION + 2)
        name = "no label" if label == NO_LABEL else dataset.class_names[label]
        pictures.write_text(draw, (2, top), f"{label}  {name}")
        members = np.flatnonzero(look.labels == label)
        chosen = members[np.linspace(0, len(members) - 1, min(len(members), _COLUMNS)).round().astype(int)]
        pixels, _ = dataset.source.read(look.indices[chosen])
        for column, image in enumerate(pixels):
            resized = Image.fromarray(image).resize((tile, tile), Image.Resampling.NEAREST)
            canvas.paste(resized, (column * (tile + 2), top + _CAPTION))
    return np.asarray(canvas)
