"""From the bytes of an image file to a square uint8 RGB array: the one way for all sources."""

import contextlib
import io
import typing
import warnings

import numpy as np
from PIL import Image, ImageOps

from sagan_tf.system import files

# The formats that Pillow may try. Not every format: its EPS reader, for one, runs another program.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
METHOD = "centre crop to the short side, then Pillow's BILINEAR (triangle filter, antialiased)"

_DRAFT = 3  # JPEGs may be decoded at a fraction of their size, down to this times the wanted size

# No warning for large photographs. Beyond twice its limit (358 million pixels) Pillow raises an error.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


class BadImageError(Exception):
    """An image that cannot be read; its message says why."""


def decode(data: bytes, size: int) -> np.ndarray:
    """Decodes, crops and resizes one image.

    The image is turned upright as its EXIF says; grey-scale, palette, CMYK and 16-bit images become
    8-bit RGB; transparent ones are laid on white; of an animation the first frame is taken; colour
    profiles are ignored. JPEGs of at least six times the wanted size are decoded at 1/2, 1/4 or
    1/8 of it, still at least three times as large: at most a few of 255 levels off, on average 0.3.

    Args:
      data: the file's contents, in one of `FORMATS`.
      size: height and width of the result.

    Returns:
      uint8 (size, size, 3).

    Raises:
      BadImageError: no image, damaged, truncated, empty, or pixels that have no 8-bit meaning.
    """
    with _opened(data) as image:
        # libjpeg can decode at 1/2, 1/4 or 1/8, which is far quicker for photographs.
        image.draft(None, (_DRAFT * size, _DRAFT * size))
        ImageOps.exif_transpose(image, in_place=True)  # otherwise it copies images that need no turning
        return _square(_to_rgb_or_grey(image), size)


def short_side(image: bytes | np.ndarray) -> int:
    """The smaller of height and width, pixels, of an image file or array. Raises BadImageError."""
    if isinstance(image, np.ndarray):
        return min(image.shape[:2])
    with _opened(image) as opened:
        return min(opened.size)


def dimensions(path: str) -> tuple[int, int]:
    """Width and height of an image file, pixels, from its header. Raises BadImageError or OSError."""
    with files.open_to_read(path) as file, _opened(file) as image:
        return image.size


@contextlib.contextmanager
def _opened(data: typing.BinaryIO | bytes):
    """The image in a file, its pixels not read yet; whatever Pillow raises within is a BadImageError."""
    if not data:
        raise BadImageError("empty file")
    try:
        file = io.BytesIO(data) if isinstance(data, bytes) else data
        with Image.open(file, formats=FORMATS) as image:
            yield image
    except BadImageError:
        raise
    except Image.UnidentifiedImageError:
        raise BadImageError(f"not an image (readable are {', '.join(FORMATS)})") from None
    # Pillow's readers raise many types of errors on damaged files; none may end the program.
    except Exception as error:
        raise BadImageError(f"damaged image ({error or type(error).__name__})") from error


def square(array: np.ndarray, size: int) -> np.ndarray:
    """Crops and resizes a decoded image: uint8 (height, width) or (height, width, 3) to (size, size, 3)."""
    return _square(Image.fromarray(array), size)


def _square(image: Image.Image, size: int) -> np.ndarray:
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    if width != height:  # not by resize's box argument: its filter reaches beyond the box
        image = image.crop((left, top, left + side, top + side))
    if side != size:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image.convert("RGB"))


def _to_rgb_or_grey(image: Image.Image) -> Image.Image:
    if image.mode in ("RGB", "L"):
        if "transparency" not in image.info:
            return image
    elif image.mode == "1":
        return image.convert("L")
    elif image.mode.startswith("I"):
        return _from_16_bit(image)
    elif image.mode == "F":
        raise BadImageError("floating-point pixels: their range is not known")
    if image.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _from_16_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise BadImageError("32-bit pixels: their range is not known")
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
