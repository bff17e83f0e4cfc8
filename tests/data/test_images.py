"""Decoding, cropping and resizing of single images."""

import io

import numpy as np
import pytest
from PIL import Image

from sagan_tf.data import images


def _crop(array):
    """The centre square of (height, width, ...)."""
    height, width = array.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return array[top : top + side, left : left + side]


def _weights(source, target):
    """(target, source) matrix of a triangle filter as wide as the larger of the two pixel pitches."""
    scale = source / target
    support = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    distance = np.abs(np.arange(source) + 0.5 - centres[:, None]) / support
    weights = np.maximum(0.0, 1.0 - distance)
    return weights / weights.sum(1, keepdims=True)


def _resize(array, size):
    """float64 result for uint8 (side, side) or (side, side, 3)."""
    weights = _weights(array.shape[0], size)
    return np.einsum("ih,jw,hw...->ij...", weights, weights, array.astype(np.float64), optimize=True)


def _encode(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _noise(height, width, channels=3, seed=0):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize(
    "height,width,size", [(50, 70, 16), (71, 40, 32), (33, 33, 32), (9, 8, 32), (32, 32, 32)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_crop_and_resize_match_numpy(height, width, size, channels):
    array = _noise(height, width, channels)
    expected = _resize(_crop(array), size)
    if channels == 1:
        expected = np.repeat(expected[..., None], 3, axis=-1)
    # Pillow rounds to 8 bits after each of its two passes.
    for result in (images.square(array, size), images.decode(_encode(Image.fromarray(array)), size)):
        assert result.dtype == np.uint8 and result.shape == (size, size, 3)
        assert np.abs(result - expected).max() <= 1.01


def test_square_of_the_right_size_is_left_alone():
    array = _noise(32, 32)
    np.testing.assert_array_equal(images.square(array, 32), array)


def test_exif_turns_the_image():
    array = _noise(40, 40)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held a quarter turn to the left: show it turned right
    turned = images.decode(_encode(Image.fromarray(array), exif=exif), 40)
    np.testing.assert_array_equal(turned, np.rot90(array, -1))


def test_16_bit_is_scaled():
    values = np.array([[0, 257 * 100], [257 * 200, 65535]], np.uint16)
    result = images.decode(_encode(Image.fromarray(values)), 2)
    np.testing.assert_array_equal(result[..., 0], [[0, 100], [200, 255]])


def test_transparent_pixels_show_white():
    array = np.zeros((4, 4, 4), np.uint8)
    array[:2, :, 3] = 255
    array[2:, :, 3] = 0
    result = images.decode(_encode(Image.fromarray(array)), 4)
    assert (result[:2] == 0).all() and (result[2:] == 255).all()


MODES = {
    "PNG": "1 L P LA RGBA RGB",
    "JPEG": "1 L CMYK YCbCr RGB",
    "TIFF": "1 L P LA RGBA CMYK YCbCr RGB",
    "WEBP": "1 L P LA RGBA CMYK YCbCr RGB",
    "GIF": "1 L P LA RGBA RGB",
    "BMP": "1 L P RGBA RGB",
}


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind in MODES for mode in MODES[kind].split()])
def test_every_mode_gives_the_right_colours(mode, kind):
    # A colour of the web palette; plain white where anything else would be dithered.
    image = Image.new("RGB", (20, 30), "white" if mode == "1" else (204, 51, 51)).convert(mode)
    expected = np.asarray(image.convert("RGB"), int)[0, 0]
    data = _encode(image, kind, **({"quality": 95} if kind in ("JPEG", "WEBP") else {}))
    assert np.abs(images.decode(data, 16).astype(int) - expected).max() <= 12


def test_what_is_wrong_is_said():
    good = _encode(Image.fromarray(_noise(64, 64)), "JPEG")
    with pytest.raises(images.BadImageError, match="empty file"):
        images.decode(b"", 8)
    with pytest.raises(images.BadImageError, match="not an image"):
        images.decode(b"dear diary", 8)
    with pytest.raises(images.BadImageError, match="truncated"):
        images.decode(good[: len(good) // 2], 8)
    with pytest.raises(images.BadImageError, match="floating-point"):
        images.decode(_encode(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"), 8)
    with pytest.raises(images.BadImageError, match="32-bit"):
        images.decode(_encode(Image.fromarray(np.full((4, 4), 70000, np.int32)), "TIFF"), 8)


def test_large_jpeg_is_decoded_small_and_near_enough():
    y, x = np.mgrid[:1200, :1600]
    waves = 127 + 60 * np.sin(x / 9) + 60 * np.cos((x + y) / 23)
    data = _encode(Image.fromarray(waves.astype(np.uint8)), "JPEG", quality=95)
    with Image.open(io.BytesIO(data)) as whole:
        expected = _resize(_crop(np.asarray(whole)), 64)
    difference = np.abs(images.decode(data, 64)[..., 0] - expected)
    assert difference.max() <= 8 and difference.mean() < 1


def test_short_side():
    assert images.short_side(_encode(Image.new("RGB", (30, 20)))) == 20
    assert images.short_side(np.zeros((9, 12, 3), np.uint8)) == 9
    with pytest.raises(images.BadImageError):
        images.short_side(b"x")
