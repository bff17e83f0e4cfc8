"""A folder of everything that people's folders hold: nothing crashes, each bad file is named once."""

import collections
import io
import json
import os
import re
import threading

import numpy as np
import pytest
from PIL import Image

from sagan_tf import data
from sagan_tf.data import images, prepare, records
from sagan_tf.data.folder import FolderExamples

_SIZE = 16


def _bytes(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _photo(mode="RGB"):
    y, x = np.mgrid[:40, :50]
    array = np.stack([x * 5, y * 6, 255 - x * 5], -1).astype(np.uint8)
    return Image.fromarray(array).convert(mode)


def _good_files():
    exif = Image.Exif()
    exif[0x0112] = 8
    photo = _photo()
    sixteen = Image.fromarray((np.mgrid[:40, :50][1] * 1285).astype(np.uint16))
    return {
        "rgb.jpg": _bytes(photo, "JPEG"),
        "grey.jpg": _bytes(_photo("L"), "JPEG"),
        "cmyk.jpg": _bytes(_photo("CMYK"), "JPEG"),
        "progressive.jpg": _bytes(photo, "JPEG", progressive=True),
        "rotated.jpg": _bytes(photo, "JPEG", exif=exif),
        "unsubsampled.jpg": _bytes(photo, "JPEG", subsampling=0),
        "trailing.jpg": _bytes(photo, "JPEG") + b"\0" * 100,
        "UPPER.JPG": _bytes(photo, "JPEG"),
        "rgb.png": _bytes(photo, "PNG"),
        "grey.png": _bytes(_photo("L"), "PNG"),
        "bilevel.png": _bytes(_photo("1"), "PNG"),
        "palette.png": _bytes(photo.quantize(16), "PNG"),
        "palette_transparent.png": _bytes(photo.quantize(16), "PNG", transparency=0),
        "alpha.png": _bytes(_photo("RGBA"), "PNG"),
        "grey_alpha.png": _bytes(_photo("LA"), "PNG"),
        "key_colour.png": _bytes(photo, "PNG", transparency=(0, 0, 255)),
        "sixteen.png": _bytes(sixteen, "PNG"),
        "sixteen.tif": _bytes(sixteen, "TIFF"),
        "cmyk.tif": _bytes(_photo("CMYK"), "TIFF"),
        "still.gif": _bytes(photo, "GIF"),
        "moving.gif": _bytes(photo, "GIF", save_all=True, append_images=[photo.rotate(90)]),
        "still.webp": _bytes(photo, "WEBP"),
        "alpha.webp": _bytes(_photo("RGBA"), "WEBP", lossless=True),
        "plain.bmp": _bytes(photo, "BMP"),
        "plain.ppm": _bytes(photo, "PPM"),
        "really_a_png.jpg": _bytes(photo, "PNG"),
        "no_extension": _bytes(photo, "PNG"),
        "tiny.png": _bytes(Image.new("RGB", (1, 1)), "PNG"),
        "wide.png": _bytes(Image.new("RGB", (900, 2)), "PNG"),
        "größe 猫 \U0001f431.png": _bytes(photo, "PNG"),
        "new\nline.png": _bytes(photo, "PNG"),
        "x" * 251 + ".png": _bytes(photo, "PNG"),
    }


def _bad_files():
    jpeg, png = _bytes(_photo(), "JPEG"), _bytes(_photo(), "PNG")
    return {
        "zero.jpg": b"",
        "notes.txt": b"dear diary",
        "page.jpg": b"<!DOCTYPE html><html>404</html>",
        "truncated.jpg": jpeg[: len(jpeg) // 2],
        "truncated.png": png[: len(png) // 2],
        "header_only.png": png[:20],
        "flipped.png": png[:60] + bytes([png[60] ^ 255]) + png[61:],
        "float.tif": _bytes(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF"),
        "drawing.eps": _bytes(_photo(), "EPS"),
        "zeros.png": bytes(500),
    }


@pytest.fixture(scope="module")
def awkward(tmp_path_factory):
    folder = tmp_path_factory.mktemp("awkward") / "things"
    folder.mkdir()
    for name, content in {**_good_files(), **_bad_files()}.items():
        (folder / name).write_bytes(content)
    os.symlink("itself.png", folder / "itself.png")
    os.symlink("nowhere.png", folder / "dangling.png")
    os.symlink(folder.parent, folder / "up")
    return str(folder.parent)


_BAD = sorted([*_bad_files(), "itself.png", "dangling.png"])


@pytest.mark.parametrize("in_memory", ["yes", "no"])
def test_each_bad_file_is_named_once_and_the_counts_add_up(awkward, in_memory, capfd):
    dataset = data.open_dataset(f"folder:{awkward}", image_size=_SIZE, bad_images="skip", in_memory=in_memory)
    for _ in range(2):
        list(dataset.once(10))
    named = re.findall(r"^skipped \S+/things/(\S+): ", capfd.readouterr().err, re.MULTILINE)
    assert sorted(named) == _BAD
    assert dataset.source.skipped == len(_BAD)
    if in_memory == "yes":
        assert dataset.num_examples == len(_good_files())


def test_prepared_the_counts_add_up_too(awkward, tmp_path):
    settings = records.Settings("x", "train", _SIZE, "raw", 95, 7, "skip", images.METHOD, "y")
    manifest = prepare.prepare(FolderExamples(awkward), settings, str(tmp_path), 3, lambda line: None)
    assert sorted(os.path.basename(name) for name, _ in manifest.skipped) == _BAD
    assert manifest.num_examples == len(_good_files()) == sum(manifest.short_sides.values())
    assert json.loads((tmp_path / "manifest.json").read_text())["skipped"] == [
        list(x) for x in manifest.skipped
    ]


@pytest.mark.parametrize("name", sorted(_good_files().keys() - {"tiny.png", "wide.png"}))  # of one colour
def test_the_picture_is_the_right_one(name):
    """The corners' colours tell of rotation, inversion (CMYK), lost scale (16 bit) and lost palettes."""
    found = images.decode(_good_files()[name], _SIZE).astype(int)
    expected = images.square(np.asarray(_photo()), _SIZE).astype(int)
    if name == "rotated.jpg":
        expected = np.rot90(expected)
    if name.startswith(("grey", "bilevel", "sixteen")):
        assert (found.std(-1) == 0).all()
        if name.startswith("sixteen"):
            expected = np.repeat((images.square((np.mgrid[:40, :50][1] * 5).astype(np.uint8), _SIZE)), 1, -1)
        else:
            expected = images.square(np.asarray(_photo("L")), _SIZE)
    if "transparent" in name:  # one of its 16 colours shows as white
        assert (np.abs(found - expected).max(-1) < 60).mean() > 0.7
        return
    assert np.abs(found - expected).mean() < {"bilevel.png": 40, "palette.png": 20}.get(name, 8)


def _fuzzed(count):
    """Damaged files of every format, and plain noise."""
    rng = np.random.default_rng(1)
    seeds = list(_good_files().values())
    for number in range(count):
        if number % 10 == 0:
            yield rng.bytes(rng.integers(0, 300))
            continue
        content = bytearray(seeds[number % len(seeds)])
        for place in rng.integers(0, len(content), rng.integers(1, 6)):
            content[place] = rng.integers(0, 256)
        yield bytes(content[: rng.integers(1, len(content))] if number % 3 == 0 else content)


def _decode_all(contents):
    results = collections.Counter()
    for content in contents:
        try:
            image = images.decode(content, _SIZE)
            assert image.shape == (_SIZE, _SIZE, 3) and image.dtype == np.uint8
            results["read"] += 1
        except images.BadImageError:
            results["bad"] += 1
    return results


def test_a_pipe_among_the_images_is_not_waited_for(tmp_path):
    (tmp_path / "good.jpg").write_bytes(_bytes(_photo(), "JPEG"))
    os.mkfifo(tmp_path / "pipe.jpg")
    writer = threading.Timer(20, lambda: os.close(os.open(tmp_path / "pipe.jpg", os.O_RDWR)))
    writer.start()  # or a wait would never end
    try:
        dataset = data.open_dataset(f"folder:{tmp_path}", image_size=_SIZE, bad_images="skip")
        assert dataset.num_examples == 1 and writer.is_alive()
        with pytest.raises(images.BadImageError):
            images.dimensions(str(tmp_path / "pipe.jpg"))
    finally:
        writer.cancel()


def test_ten_thousand_damaged_files_are_read_or_bad():
    results = _decode_all(_fuzzed(10_000))
    assert results["read"] > 1000 and results["bad"] > 3000 and results.total() == 10_000
