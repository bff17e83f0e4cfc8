"""Where queries and keys lie in the image, against an oracle that pools positions one by one."""

import numpy as np
import pytest

from sagan_tf.layers import ATTENTION_FORMS, SelfAttention
from sagan_tf.pictures import geometry


def betas(count, queries, keys, sharpness=2.0, seed=0):
    """Maps (count, queries ** 2, keys ** 2)."""
    scores = sharpness * np.random.default_rng(seed).standard_normal((count, queries**2, keys**2))
    return (np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)).astype(np.float32)


def pixels_of_key(row, column, queries, keys, size):
    """The pixels of the positions that key (row, column) is the maximum of, as True in (size, size)."""
    window = 1 if keys == queries else 2
    covered = np.zeros((size, size), bool)
    for position_row in range(row * window, min((row + 1) * window, queries)):
        for position_column in range(column * window, min((column + 1) * window, queries)):
            for pixel_row in range(size):
                for pixel_column in range(size):
                    if (
                        position_row == int(pixel_row * queries / size)
                        and position_column == int(pixel_column * queries / size)
                    ):  # fmt: skip
                        covered[pixel_row, pixel_column] = True
    return covered


@pytest.mark.parametrize(
    ("queries", "keys", "size"), [(4, 2, 16), (4, 4, 16), (8, 4, 8), (5, 3, 15), (5, 3, 13), (2, 1, 4)]
)
def test_pixels_against_the_oracle(queries, keys, size):
    maps = betas(1, queries, keys)[0]
    expected = np.zeros((len(maps), size, size))
    for key, shares in enumerate(maps.T):
        covered = pixels_of_key(*divmod(key, keys), queries, keys, size)
        expected[:, covered] = shares[:, None] / covered.sum()
    found = geometry.to_pixels(maps, queries, size)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(found.sum(axis=(1, 2)), 1, rtol=1e-5)


@pytest.mark.parametrize(("queries", "keys", "size"), [(4, 2, 24), (4, 4, 12), (5, 3, 15), (2, 1, 4)])
def test_smooth_pixels_meet_each_key_at_its_center_and_lie_between_elsewhere(queries, keys, size):
    maps = betas(1, queries, keys)[0]
    found = geometry.smooth_pixels(maps, queries, size)
    np.testing.assert_allclose(found.sum(axis=(1, 2)), 1, rtol=1e-5)
    cells = [range(size)] if keys == 1 else np.split(np.arange(size), _first_rows(queries, keys, size)[1:])
    centers = np.array([np.mean(cell) for cell in cells])
    for row in range(size):
        for column in range(size):
            near = [np.clip(np.searchsorted(centers, at) - 1, 0, max(keys - 2, 0)) for at in (row, column)]
            after = [min(number + 1, keys - 1) for number in near]
            t, s = (
                np.clip((at - centers[a]) / max(centers[b] - centers[a], 1), 0, 1)
                for at, a, b in zip((row, column), near, after, strict=True)
            )
            grid = maps.reshape(-1, keys, keys)
            expected = (
                (1 - t) * (1 - s) * grid[:, near[0], near[1]]
                + t * (1 - s) * grid[:, after[0], near[1]]
                + (1 - t) * s * grid[:, near[0], after[1]]
                + t * s * grid[:, after[0], after[1]]
            )
            scale = found[:, row, column] / expected
            if row == column == 0:
                first = scale
            np.testing.assert_allclose(scale, first, rtol=1e-5)


def _first_rows(queries, keys, size):
    """The first row of pixels of each key, from the oracle."""
    return [int(np.argmax(pixels_of_key(key, 0, queries, keys, size).any(axis=1))) for key in range(keys)]


@pytest.mark.parametrize("form", ATTENTION_FORMS)
@pytest.mark.parametrize("side", [4, 5])
def test_a_key_lies_where_the_layer_took_it_from(form, side):
    """One position unlike the others: the layer itself says which key saw it."""
    layer = SelfAttention(form, key_ratio=1, spectral_norm=False, kernel_initializer="identity")
    layer.build((1, side, side, 2))
    layer.query.kernel.assign([[0.0, 0.0], [9.0, 0.0]])  # every query asks for the first channel
    for position in range(side**2):
        features = np.zeros((1, side, side, 2), np.float32)
        features[..., 1] = 1.0
        features[0, position // side, position % side, 0] = 9.0
        beta = layer.look(features).beta
        assert geometry.sides(beta) == (side, -(-side // 2) if form == "original" else side)
        maps = geometry.to_pixels(beta.numpy()[0], side, 2 * side)
        row, column = np.unravel_index(maps[0].argmax(), maps[0].shape)
        bright = maps[0] > 0.5 * maps[0].max()
        assert bright[2 * (position // side), 2 * (position % side)]
        assert bright.sum() <= (16 if form == "original" else 4) and bright[row, column]


@pytest.mark.parametrize("shape", [(16, 5), (15, 4), (16, 1), (16, 9), (5, 16)])
def test_maps_of_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="not those of a square feature map"):
        geometry.sides(np.zeros((2, *shape)))


def test_positions_and_their_middles():
    for position in range(16):
        row, column = geometry.center(position, 4, 32)
        assert (row % 8, column % 8) == (4, 4)
        for shift in (-4, 0, 3):  # anywhere in the cell
            assert geometry.position_at(int(row + shift), int(column + shift), 4, 32) == position
    assert geometry.position_at(0, 31, 4, 32) == 3 and geometry.position_at(31, 0, 4, 32) == 12


def test_chosen_positions_are_those_whose_maps_are_unlike():
    maps = np.full((16, 4), 0.25, np.float32)
    maps[3], maps[7], maps[9] = [0.9, 0.1, 0, 0], [0, 0, 1, 0], [0, 0.8, 0.2, 0]
    assert geometry.choose_positions(maps, 3) == [7, 3, 9]
    same = np.full((16, 4), 0.25, np.float32)
    assert sorted(geometry.choose_positions(same, 5)) == sorted(set(geometry.choose_positions(same, 5)))
    assert len(geometry.choose_positions(same[:4], 9)) == 4


def test_of_large_maps_positions_all_over_are_compared():
    maps = np.zeros((80 * 80, 1600), np.float32)
    maps[np.arange(6400), np.arange(6400) // 4] = 1
    chosen = np.array(geometry.choose_positions(maps, 8))
    assert chosen.max() < 6400 and len(set(chosen)) == 8
