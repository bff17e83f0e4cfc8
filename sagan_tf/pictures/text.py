"""Words in pictures, in any script for which this machine has a font."""

import functools
import importlib.util
import os
import unicodedata

from PIL import ImageFont

SIZE = 12  # pixels
_MISSING = "\uffff"  # a character that no font has: its picture is the one of all that are missing
# By file name, wherever the system keeps fonts; after the one that comes with matplotlib, which has most
# alphabets of Europe.
_FILES = (
    "DejaVuSans.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSans-Regular.ttf",
    "Arial Unicode.ttf",
    "wqy-zenhei.ttc",
    "unifont.ttf",
)


@functools.cache
def _fonts() -> tuple:
    """Fonts of this machine, the preferred first."""
    package = importlib.util.find_spec("matplotlib")
    folders = package.submodule_search_locations if package else ()
    paths = [os.path.join(folder, "mpl-data", "fonts", "ttf", "DejaVuSans.ttf") for folder in folders]
    found = []
    for path in [*paths, *_FILES]:
        try:
            found.append(ImageFont.truetype(path, SIZE))
        except (OSError, ImportError):  # no such file; Pillow without FreeType
            continue
    return (*found, ImageFont.load_default(SIZE))


@functools.cache
def _has(font, character: str) -> bool:
    if character.isspace():
        return True
    mask, missing = font.getmask(character), font.getmask(_MISSING)
    return mask.size != missing.size or bytes(mask) != bytes(missing)


def fit(text: str):
    """A font, and the text as it can be written in it.

    Of several fonts the one that lacks fewest of the characters. What it lacks is written as a similar
    letter, or as its number: \\u732b.
    """
    font = min(_fonts(), key=lambda font: sum(not _has(font, each) for each in text))
    return font, "".join(each if _has(font, each) else _instead(font, each) for each in text)


def _instead(font, character: str) -> str:
    letters = "".join(each for each in unicodedata.normalize("NFKD", character) if _has(font, each))
    return letters if letters.strip() else character.encode("ascii", "backslashreplace").decode()


def width(text: str) -> int:
    """Width of one line, pixels."""
    font, text = fit(text)
    return round(font.getlength(text))


def write(draw, place: tuple[float, float], text: str, anchor: str = "la") -> None:
    """Writes one line in black; `draw` is an `ImageDraw`, `place` and `anchor` as in its `text`."""
    font, text = fit(text)
    draw.text(place, text, "black", font, anchor=anchor)
