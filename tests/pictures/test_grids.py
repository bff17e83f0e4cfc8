"""Pictures from arrays."""

import numpy as np
import pytest
from PIL import Image

from sagan_tf import pictures


def shades(count, size=2):
    """Images (count, size, size, 3) of one shade each, 1, 2, ..."""
    return np.arange(1, count + 1, dtype=np.uint8)[:, None, None, None] * np.ones(
        (1, size, size, 3), np.uint8
    )


def test_to_uint8_is_the_inverse_of_the_scaling_of_the_data():
    values = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(pictures.to_uint8(values.astype(np.float32) * (2 / 255) - 1), values)
    np.testing.assert_array_equal(pictures.to_uint8([-3.0, 3.0]), [0, 255])


def test_image_grid():
    grid = pictures.image_grid(shades(6), columns=3, gap=1)
    assert grid.shape == (5, 8, 3)
    np.testing.assert_array_equal(grid[0, :, 0], [1, 1, 255, 2, 2, 255, 3, 3])
    np.testing.assert_array_equal(grid[:, 0, 0], [1, 1, 255, 4, 4])


def test_enlarged_repeats_pixels():
    images = pictures.enlarged(np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3), least=5)
    assert images.shape == (1, 6, 6, 3)
    np.testing.assert_array_equal(images[0, :, 0, 0], [0, 0, 0, 6, 6, 6])
    assert pictures.enlarged(shades(1, 64)).shape == (1, 64, 64, 3)


def test_captions_are_beside_the_grid_and_leave_it_as_it_is():
    images = shades(6, 40)
    grid = pictures.image_grid(images, 3)
    np.testing.assert_array_equal(pictures.captioned_grid(images, 3), grid)
    groups = (("left", 1), ("middle", 1), ("right", 1))
    picture = pictures.captioned_grid(images, 3, ("cat", "a long name"), groups, "title")
    height, width = grid.shape[:2]
    np.testing.assert_array_equal(picture[-height:, -width:], grid)
    above, beside = picture[:-height], picture[-height:, :-width]
    for part in (above[: len(above) // 2], above[len(above) // 2 :], beside[:40], beside[42:]):
        assert part.min() < 100  # there is ink
    assert (beside[40:42] == 255).all()


def test_groups_of_columns_stand_apart():
    picture = pictures.captioned_grid(shades(6, 40), 3, groups=(("one", 1), ("two", 2)))
    np.testing.assert_array_equal(picture[-1, :: 40 + 2, 0], [4, 255, 5, 6])
    assert picture.shape[1] == 3 * 40 + 10 + 2
    right = pictures.image_grid(shades(6, 40)[[1, 2, 4, 5]], 2)
    np.testing.assert_array_equal(picture[-82:, -82:], right)


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_animation(tmp_path, ending):
    path = str(tmp_path / f"a.{ending}")
    pictures.save_animation(path, [np.full((8, 8, 3), shade, np.uint8) for shade in (0, 100, 200)])
    with Image.open(path) as image:
        assert image.n_frames == 3 and image.info["loop"] == 0
        found = []
        for frame in range(3):
            image.seek(frame)
            image.load()
            found.append((np.asarray(image.convert("RGB"))[0, 0, 0], image.info["duration"]))
    assert found == [(0, 500), (100, 500), (200, 2000)]
