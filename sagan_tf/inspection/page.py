"""Writes `attention.html`: one file that shows the map of the position under the pointer."""

import base64
import html
import importlib.resources
import io
import json
import os
import typing
import zlib

import numpy as np
from PIL import Image

from sagan_tf.inspection.views import CheckpointMaps, StoredMaps, View
from sagan_tf.system import files

LIMIT_BYTES = 14_000_000
_LOSSLESS_UP_TO, _LARGEST = 128, 256  # pixels: above these images become WebP, and are shrunk
_PARTS = ("explorer.css", "explorer.js", "explorer.html")


def write_page(
    path: str,
    title: str,
    class_names: typing.Sequence[str],
    looks: typing.Sequence[CheckpointMaps],
    limit_bytes: int = LIMIT_BYTES,
) -> int:
    """Writes the page whole, and replaces an earlier one. Returns its size in bytes.

    If the page would be too large, the largest maps lose every second row and column of queries, again and
    again. The page shows their `stride`.

    Args:
      path: the file to write.
      title: the page's title, e.g. the run's directory.
      class_names: name of each label.
      looks: at least one; the page shows the last one first.
      limit_bytes: the size limit. Images may exceed it; maps may always take half of it.
    """
    images = _Images()
    sources = [
        {name: (images.add(source.images), source.labels) for name, source in look.sources.items()}
        for look in looks
    ]
    # Hundreds of large images exceed any limit. A larger page is better than one without maps.
    limit = max(limit_bytes - images.size, limit_bytes // 2)
    maps = iter(_fitted([view.maps for look in looks for view in look.views], limit))
    data = {
        "images": images.uris,
        "classNames": _used(class_names, looks),
        "checkpoints": [
            {
                "step": look.step,
                "sources": {
                    name: {"images": numbers, "labels": [int(label) for label in labels]}
                    for name, (numbers, labels) in source.items()
                },
                "views": [_view(view, *next(maps)) for view in look.views],
            }
            for look, source in zip(looks, sources, strict=True)
        ],
    }
    files.write(path, _filled(title, data))
    return os.path.getsize(path)


def _used(class_names, looks) -> dict[int, str]:
    """The names of the classes that occur, by label."""
    labels = {int(label) for look in looks for source in look.sources.values() for label in source.labels}
    return {label: class_names[label] for label in sorted(labels)}


def _view(view: View, maps: StoredMaps, packed: list[str]) -> dict:
    return {
        "network": view.network,
        "source": view.source,
        "gamma": view.gamma,
        "shares": [round(float(share), 6) for share in view.shares],
        "queries": maps.queries,
        "keys": maps.keys,
        "stride": maps.stride,
        "maps": packed,
    }


def _fitted(all_maps: list[StoredMaps], limit: int) -> list[tuple[StoredMaps, list[str]]]:
    """The maps and their packed form, thinned until they fit or cannot be thinned further."""
    packed = [(maps, _packed(maps)) for maps in all_maps]
    while True:
        sizes = [sum(map(len, texts)) for _, texts in packed]
        largest = max(
            (index for index, (maps, _) in enumerate(packed) if maps.stride < maps.queries),
            key=lambda index: sizes[index],
            default=None,
        )
        if sum(sizes) <= limit or largest is None:
            return packed
        thinned = packed[largest][0].thinned()
        packed[largest] = (thinned, _packed(thinned))


def _packed(maps: StoredMaps) -> list[str]:
    """For each image its peaks, little-endian float32, then its values; deflated, in base64."""
    parts = zip(maps.peaks.astype("<f4"), maps.values, strict=True)
    return [_base64(zlib.compress(peaks.tobytes() + values.tobytes())) for peaks, values in parts]


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


class _Images:
    """The images of the page; equal images are stored once."""

    def __init__(self):
        self._numbers = {}

    @property
    def uris(self) -> list[str]:
        return list(self._numbers)

    @property
    def size(self) -> int:
        return sum(map(len, self._numbers))

    def add(self, images: np.ndarray) -> list[int]:
        return [self._numbers.setdefault(_uri(image), len(self._numbers)) for image in images]


def _uri(image: np.ndarray) -> str:
    kind = "png" if len(image) <= _LOSSLESS_UP_TO else "webp"
    picture, file = Image.fromarray(image), io.BytesIO()
    if len(image) > _LARGEST:
        picture = picture.resize((_LARGEST, _LARGEST), Image.Resampling.BOX)
    picture.save(file, kind, quality=90)
    return f"data:image/{kind};base64,{_base64(file.getvalue())}"


def _filled(title: str, data: dict) -> str:
    folder = importlib.resources.files("sagan_tf.inspection")
    style, script, page = (folder.joinpath(name).read_text(encoding="utf-8") for name in _PARTS)
    # Class names come from the user: none may close the HTML element around the data.
    content = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    marks = {"title": html.escape(title), "style": style, "script": script, "data": content}
    for mark, text in marks.items():
        page = page.replace(f"@@{mark}@@", text)
    return page
