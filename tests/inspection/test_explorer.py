"""The page in a browser: what is drawn is what the layer said, by pointer, keyboard and touch."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from sagan_tf import attention
from sagan_tf.runs import restoring
from tests.inspection.browser import Browser
from tests.inspection.test_page import data_of, unpacked
from tests.test_attention import make_run

LEFT, UP, RIGHT, DOWN = "\ue012\ue013\ue014\ue015"
SHIFT = "\ue008"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def run(tmp_path_factory, browser):
    """A run with two checkpoints, and its page."""
    rng = np.random.default_rng(0)

    def sharpen(state):
        """Queries and keys that differ from place to place: maps far from uniform."""
        for network in (state.ema_generator, state.discriminator):
            for layer in network.attention_layers.values():
                layer.query.kernel.assign(30 * rng.standard_normal(layer.query.kernel.shape))

    folder = tmp_path_factory.mktemp("run")
    workdir = make_run(
        folder / "digits", (10, 20), sharpen, discriminator_spectral_norm=False, ema_decay=0.999
    )
    options = attention.Options(
        workdir=workdir, checkpoints=("all",), num_samples=6, real_images=4, classes=("3", "8")
    )
    attention.main(options, set())
    return folder / "digits"


@pytest.fixture
def page(browser, run):
    """The page, just opened; its console stays empty."""
    browser.open(run / "attention" / "attention.html")
    _wait(browser)
    yield browser
    assert browser.log() == []


def _wait(browser):
    """Until the maps of the chosen image are there."""
    browser.run("""return new Promise((done) => {
      const busy = () => document.getElementById("attention").ariaBusy !== "false";
      const look = () => busy() ? setTimeout(look, 10) : done();
      look();
    })""")


def _shown(browser):
    """The map that is drawn: alpha of the canvas, uint8 (keys, keys)."""
    pixels = browser.run("""
      const canvas = document.querySelector("#attention canvas");
      const copy = new OffscreenCanvas(canvas.width, canvas.height);
      const context = copy.getContext("2d", { willReadFrequently: true });  // or the console warns
      context.drawImage(canvas, 0, 0);
      return [...context.getImageData(0, 0, copy.width, copy.height).data];""")
    pixels = np.array(pixels, np.uint8).reshape(-1, 4)
    assert np.all(np.abs(pixels[pixels[:, 3] == 255, :3].astype(int) - [255, 190, 0]) <= 1)
    side = round(len(pixels) ** 0.5)
    return pixels[:, 3].reshape(side, side)


def _data(run):
    return data_of((run / "attention" / "attention.html").read_text(encoding="utf-8"))


def _choose(browser, control, value):
    browser.click(f'#{control} option[value="{value}"]')
    _wait(browser)


def test_pointer_shows_what_the_layer_said(page, run):
    """On a real image, which is taken from the page, the layer is asked again."""
    data = _data(run)
    views = data["checkpoints"][1]["views"]
    number = [view["source"] for view in views].index("real")
    _choose(page, "view", number)
    source = data["checkpoints"][1]["sources"]["real"]
    png = base64.b64decode(data["images"][source["images"][0]].partition(",")[2])
    image = np.asarray(Image.open(io.BytesIO(png)), np.float32)[None] * (2 / 255) - 1
    network = restoring.restore(str(run)).discriminator
    beta = network.look(image, np.array(source["labels"][:1])).maps[16].numpy()[0]
    stored = unpacked(views[number])[1][0]
    seen = []
    for row, column in ((2, 3), (8, 12), (15, 0)):
        page.point("#picture", (column + 0.5) / 16, (row + 0.5) / 16)
        shown = _shown(page)
        own = beta[16 * row + column]
        np.testing.assert_array_equal(shown.ravel(), stored[16 * row + column])
        assert np.abs(shown.ravel() - 255 * own / own.max()).max() < 0.51
        assert f"Row {row + 1}, column {column + 1} of 16 × 16" in page.run("return readout.textContent")
        digits, peak = (
            2 if own.max() < 0.1 else 1,
            page.run("return document.getElementById('peak').textContent"),
        )
        assert re.fullmatch(rf"\d+\.\d{{{digits}}}%", peak)
        assert float(peak[:-1]) == pytest.approx(100 * own.max(), abs=0.51 * 10**-digits)
        seen.append(shown)
    assert all((seen[i] != seen[i - 1]).any() for i in range(3))


def test_keyboard(page, run):
    stored = unpacked(_data(run)["checkpoints"][1]["views"][0])[1]
    page.point("#picture", 0.01, 0.01)
    for keys, position in ((RIGHT + RIGHT + DOWN, 10), (LEFT + UP + UP + UP, 1), (SHIFT + DOWN + SHIFT, 33)):
        page.type("#picture", keys)
        np.testing.assert_array_equal(_shown(page).ravel(), stored[0, position])
    caption = "return document.getElementById('caption').textContent"
    assert page.run(caption) == "Image 1 of 6: 3"
    for key, text, sample in (
        ("n", "Image 2 of 6: 8", 1),
        ("p", "Image 1 of 6: 3", 0),
        ("p", "Image 6 of 6: 8", 5),
    ):
        page.type("#picture", key)
        _wait(page)
        assert page.run(caption) == text
        assert page.run("return document.querySelector('input[name=sample]:checked').value") == str(sample)
        np.testing.assert_array_equal(_shown(page).ravel(), stored[sample, 33])
    reached = page.run("""return [...document.querySelectorAll("select, input, [tabindex='0']")]
      .map((each) => each.id || each.name)""")
    assert [name for name in reached if name != "sample"] == ["checkpoint", "class", "view", "picture"]


def test_choices(page, run):
    data = _data(run)
    for checkpoint in (0, 1):
        _choose(page, "checkpoint", checkpoint)
        views = data["checkpoints"][checkpoint]["views"]
        assert len(views) == 4
        for number, view in enumerate(views):
            _choose(page, "view", number)
            page.click("#samples label:nth-child(2)")
            _wait(page)
            page.point("#attention", 0.99, 0.01)
            stored = unpacked(view)[1][1, view["queries"] - 1]
            np.testing.assert_array_equal(_shown(page).ravel(), stored)
    texts = page.run("return [...document.querySelectorAll('option')].map((each) => each.textContent)")
    assert texts == [
        *("step 10", "step 20"),
        *("all", "3", "8"),
        *("Generator 8 × 8", "Generator 16 × 16"),
        *("Discriminator 16 × 16, generated images", "Discriminator 16 × 16, real images"),
    ]
    _choose(page, "view", 0)
    _choose(page, "class", 8)
    assert page.run("return [...document.querySelectorAll('#samples img')].map((each) => each.alt)") == [
        f"Image {number}: 8" for number in (2, 4, 6)
    ]


def test_on_a_phone(browser, run):
    """A finger is followed; nothing is wider than the window; text is not small."""
    browser.chrome("Emulation.setTouchEmulationEnabled", enabled=True)
    browser.open(run / "attention" / "attention.html", 390, 844, touch=True)
    _wait(browser)
    browser.point("#picture", 0.9, 0.05, kind="touch")  # upwards, which must not scroll the page
    stored = unpacked(_data(run)["checkpoints"][1]["views"][0])[1]
    np.testing.assert_array_equal(_shown(browser).ravel(), stored[0, 7])
    edges = browser.run("""return [...document.querySelectorAll("main *")]
      .map((each) => each.getBoundingClientRect().right)""")
    assert max(edges) <= 390 - 12  # the margin
    assert browser.run("return window.scrollY") == 0
    sizes = browser.run("""return [...document.querySelectorAll("p, label, select, figcaption, legend")]
      .map((each) => parseFloat(getComputedStyle(each).fontSize))""")
    assert min(sizes) >= 14
    boxes = browser.run("""return ["picture", "attention"].map((id) =>
      document.getElementById(id).getBoundingClientRect()).map((box) => [box.width, box.bottom])""")
    assert all(width > 150 and bottom < 844 for width, bottom in boxes)  # both on the first screen
    assert browser.log() == []
    browser.chrome("Emulation.setTouchEmulationEnabled", enabled=False)


def test_nothing_is_fetched(page):
    names = page.run("return performance.getEntriesByType('resource').map((each) => each.name)")
    assert [name for name in names if not name.startswith("data:")] == []
