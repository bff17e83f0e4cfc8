"""The pictures: what is lit, what is veiled, where the dots are."""

import numpy as np
from PIL import ImageColor

from sagan_tf.pictures import figures
from tests.pictures.test_geometry import betas

RED = np.tile(np.array([255, 0, 0], np.uint8), (8, 8, 1))
VEILED = 34  # 255 * 0.299 * 0.45


def test_overlay_lights_what_is_attended_to():
    shares = np.zeros((8, 8))
    shares[:4, :4], shares[4, 4] = 0.06, 0.03
    picture = figures.overlay(RED, shares)
    assert (picture[:4, :4] == figures.HEAT).all()
    assert picture[7, 7].tolist() == [VEILED] * 3
    assert picture[4, 4].tolist() == [round(0.5 * (255 * 0.299 * 0.45 + value)) for value in figures.HEAT]
    np.testing.assert_array_equal(figures.overlay(RED, 7 * shares), picture)  # what counts is relative
    assert (figures.overlay(RED, np.zeros((8, 8))) == VEILED).all()


def test_row_of_one_image():
    beta = np.zeros((16, 4), np.float32)
    beta[:, 0] = 1  # every query looks at the top left quarter
    beta[5] = [0, 0, 0, 1]  # but this one, in row 1 and column 1
    tiles = figures.attention_row(RED, beta, [15, 5])
    assert tiles.shape == (3, 104, 104, 3)
    inner = tiles[:, 4:-4, 4:-4]
    colours = [np.array(ImageColor.getrgb(colour)) for colour in figures._COLOURS]
    assert (inner[0, 84, 84] == colours[0]).all() and (inner[0, 36, 36] == colours[1]).all()
    assert (inner[1, 84, 84] == colours[0]).all() and (inner[2, 36, 36] == colours[1]).all()
    assert (tiles[0, :4] == 255).all() and (tiles[1, :4] == colours[0]).all()
    assert (tiles[2, :, -4:] == colours[1]).all()
    lit = np.zeros((96, 96), bool)
    lit[:48, :48] = True
    for tile, where, dot in ((inner[1], lit, (84, 84)), (inner[2], lit[::-1, ::-1], (36, 36))):
        rows, columns = np.mgrid[:96, :96]
        free = np.hypot(rows - dot[0], columns - dot[1]) > 6
        assert (tile[where & free] == figures.HEAT).all()
        assert (tile[~where & free] == VEILED).all()


def test_smooth_maps_have_no_edges():
    """Between a key that is looked at and one that is not, yellow fades pixel by pixel."""
    beta = np.zeros((16, 4), np.float32)
    beta[:, 0] = 1
    cells, smooth = (
        figures.attention_row(RED, beta, [15], smooth)[1, 4:-4, 4:-4] for smooth in (False, True)
    )
    assert np.abs(np.diff(cells[10, :, 0].astype(int))).max() == figures.HEAT[0] - VEILED
    steps = np.diff(smooth[10, :, 0].astype(int))
    assert steps.max() <= 0 and steps.min() >= -6 and steps.sum() == VEILED - figures.HEAT[0]


def test_grid_of_a_batch():
    images, beta = np.stack([RED, RED, RED]), betas(3, 4, 2)
    picture = figures.attention_grid(images, beta, count=4)
    assert picture.shape == (3 * 104 + 2 * 2, 5 * 104 + 4 * 2, 3) and picture.dtype == np.uint8
    rows = [figures.attention_row(RED, maps, [3, 12]) for maps in beta]
    chosen = figures.attention_grid(images, beta, positions=[3, 12])
    np.testing.assert_array_equal(chosen[106:210, :104], rows[1][0])
    np.testing.assert_array_equal(chosen[212:, 106:210], rows[2][1])
    assert (figures.attention_grid(images, beta, positions=[3, 12], title="t").shape[0]) > chosen.shape[0]
