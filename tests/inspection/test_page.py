"""The page without a browser: maps in 8 bits, size, labels, colours, nothing from outside."""

import base64
import html.parser
import io
import json
import re
import zlib

import numpy as np
import pytest
from PIL import Image

from sagan_tf.inspection import page
from sagan_tf.inspection.views import CheckpointMaps, ShownImages, StoredMaps, View
from tests.pictures.test_geometry import betas

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
NAMES = ("cat", "</script><b>", "owl")


def data_of(text):
    """What the page was given."""
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


def unpacked(view):
    """The maps of a view in the page's data: float (n, Q, M), and in 8 bits."""
    line = -(-view["queries"] // view["stride"])
    values, maps = [], []
    for text in view["maps"]:
        content = zlib.decompress(base64.b64decode(text))
        peaks = np.frombuffer(content[: 4 * line**2], "<f4")
        values.append(np.frombuffer(content[4 * line**2 :], np.uint8).reshape(line**2, view["keys"] ** 2))
        maps.append(values[-1] / 255 * peaks[:, None])
    return np.array(maps), np.array(values)


def look(beta, step=7, images=IMAGES, labels=(0, 1, 2)):
    maps = StoredMaps.of(beta, len(beta))
    views = [View("generator", "generated", -0.25, np.array([0.1, 0.2, 0.3]), maps, [])]
    return CheckpointMaps(step, {"generated": ShownImages(images, labels)}, views)


@pytest.fixture
def written(tmp_path):
    """A function that writes a page and returns its text."""

    def write(*looks, title="run", **arguments):
        path = tmp_path / "attention.html"
        size = page.write_page(str(path), title, NAMES, looks, **arguments)
        assert size == path.stat().st_size and [entry.name for entry in tmp_path.iterdir()] == [path.name]
        return path.read_text(encoding="utf-8")

    return write


def test_maps_are_the_layers_to_8_bits(written):
    beta = betas(3, 8, 4)
    (checkpoint,) = data_of(written(look(beta)))["checkpoints"]
    maps, values = unpacked(checkpoint["views"][0])
    peaks = beta.max(axis=-1, keepdims=True)
    np.testing.assert_array_equal(values, np.round(255 * (beta / peaks)))
    assert np.all(np.abs(maps - beta) <= peaks / 255 / 2 * 1.001)
    np.testing.assert_allclose(maps.max(axis=-1), peaks[..., 0], rtol=1e-6)
    assert checkpoint["views"][0] | {"maps": 0} == {
        "network": "generator",
        "source": "generated",
        "gamma": -0.25,
        "shares": [0.1, 0.2, 0.3],
        "queries": 8,
        "keys": 4,
        "stride": 1,
        "maps": 0,
    }


def test_images_and_classes(written):
    both = data_of(written(look(betas(3, 4, 2), 7), look(betas(3, 4, 2), 9)))
    assert both["classNames"] == {"0": "cat", "1": "</script><b>", "2": "owl"}
    assert [checkpoint["step"] for checkpoint in both["checkpoints"]] == [7, 9]
    assert len(both["images"]) == 3  # the same ones twice are stored once
    for checkpoint in both["checkpoints"]:
        assert checkpoint["sources"]["generated"] == {"images": [0, 1, 2], "labels": [0, 1, 2]}
    for uri, image in zip(both["images"], IMAGES, strict=True):
        kind, _, content = uri.partition(",")
        assert kind == "data:image/png;base64"
        np.testing.assert_array_equal(Image.open(io.BytesIO(base64.b64decode(content))), image)
    plain = data_of(written(look(betas(3, 4, 2), labels=())))
    assert plain["classNames"] == {} and plain["checkpoints"][0]["sources"]["generated"]["labels"] == []


def test_large_images_are_compressed(written):
    images = np.zeros((1, 512, 512, 3), np.uint8)
    images[:, :256] = 200
    for step in (1, 2):
        data = data_of(written(look(betas(1, 4, 2), images=images[:, ::step, ::step], labels=(0,))))
        kind, _, content = data["images"][0].partition(",")
        assert kind == "data:image/webp;base64"
        stored = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
        assert stored.shape == (256, 256, 3)
        assert np.abs(stored[:120].astype(int) - 200).max() < 4 and stored[136:].max() < 4


def test_maps_that_do_not_fit_keep_fewer_queries(written):
    beta = betas(3, 16, 8)
    whole = len(written(look(beta)))
    text = written(look(beta), limit_bytes=40_000)
    (view,) = data_of(text)["checkpoints"][0]["views"]
    assert view["stride"] == 2 and sum(map(len, view["maps"])) < 40_000 < whole
    _, values = unpacked(view)
    kept = beta.reshape(3, 16, 16, 64)[:, ::2, ::2].reshape(3, 64, 64)
    np.testing.assert_array_equal(values, np.round(255 * (kept / kept.max(axis=-1, keepdims=True))))
    (view,) = data_of(written(look(beta), limit_bytes=1))["checkpoints"][0]["views"]
    assert view["stride"] == 16 and unpacked(view)[1].shape == (3, 1, 64)  # and no endless loop
    large = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), np.uint8)
    (view,) = data_of(written(look(beta, images=large), limit_bytes=80_000))["checkpoints"][0]["views"]
    assert view["stride"] == 2  # half of the limit is the maps' own


def test_of_many_large_maps_not_all_queries_are_kept_at_first():
    beta = np.full((1, 4096, 1024), 1 / 1024, np.float32)
    assert [StoredMaps.of(beta, images).stride for images in (8, 9, 24, 1000)] == [1, 2, 2, 16]


@pytest.mark.parametrize("size", [128, 512])
def test_page_of_24_samples_is_below_15_megabytes(written, size):
    """Generator and discriminator at 32x32: noise, which cannot be compressed."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (24, size, size, 3), np.uint8)
    maps = StoredMaps(32, 16, 1, np.ones((24, 1024), "f4"), rng.integers(0, 256, (24, 1024, 256), np.uint8))
    shares = np.zeros(24)
    names = (("generator", "generated"), ("discriminator", "generated"), ("discriminator", "real"))
    views = [View(network, source, 0.0, shares, maps, []) for network, source in names]
    sources = {"generated": ShownImages(images, (0,) * 24), "real": ShownImages(255 - images, (0,) * 24)}
    assert len(written(CheckpointMaps(1, sources, views)).encode()) < 15_000_000


class _Reader(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_names_cannot_become_markup(written):
    text = written(look(betas(3, 4, 2)), title="<i>&run")
    assert "<b>" not in text and "<i>" not in text
    assert "Self-attention of <i>&run." in _Reader(text).text


def test_nothing_comes_from_outside(written):
    text = written(look(betas(3, 4, 2)))
    assert not re.search(r"(https?:)?//\w", text.replace(data_text(text), ""))
    assert "default-src 'none'" in text
    for _, attributes in _Reader(text).tags:
        assert attributes.get("src", "data:").startswith("data:")
        assert attributes.get("href", "data:").startswith("data:")
    assert "@@" not in text


def data_text(text):
    return text[text.index('id="data">') : text.index("</script>")]


def test_controls_have_labels(written):
    tags = _Reader(written(look(betas(3, 4, 2)))).tags
    labelled = {attributes["for"] for tag, attributes in tags if tag == "label"}
    assert {attributes["id"] for tag, attributes in tags if tag == "select"} == labelled
    identifiers = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    for tag, attributes in tags:
        if "tabindex" in attributes or tag == "canvas" or tag == "section":
            assert attributes["aria-label"], tag
        if "aria-describedby" in attributes:
            assert set(attributes["aria-describedby"].split()) <= set(identifiers)
    assert ("html", {"lang": "en"}) in tags
    viewport = {"name": "viewport", "content": "width=device-width, initial-scale=1"}
    assert ("meta", viewport) in tags  # nothing forbids to zoom


def _contrast(first, second):
    """Of two colours #rrggbb, from 1 to 21 (WCAG 2.1)."""

    def luminance(colour):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_colours_can_be_told_apart(written):
    """In the light and in the dark set: 4.5 for text, 3 for borders (WCAG 2.1, AA)."""
    sets = re.findall(r":root \{(.*?)\}", written(look(betas(3, 4, 2))), re.DOTALL)
    assert len(sets) == 2
    for text in sets:
        colours = dict(re.findall(r"--(\w+): (#\w{6})", text))
        for name, least in {"ink": 7, "soft": 4.5, "accent": 4.5, "alarm": 4.5, "line": 3}.items():
            assert _contrast(colours[name], colours["paper"]) >= least, (name, text)
