"""Words in pictures: every letter is one that can be read."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sagan_tf import pictures
from sagan_tf.pictures import text


def _drawn(words):
    image = Image.new("L", (200, 20), "white")
    text.write(ImageDraw.Draw(image), (2, 2), words)
    return np.asarray(image)


@pytest.mark.parametrize("words", ["größe", "Ångström", "crème brûlée", "кошка", "γάτα", "猫", "\U0001f431"])
def test_no_letter_is_the_box_for_missing_ones(words):
    font, fitted = text.fit(words)
    box = bytes(font.getmask("\uffff"))
    assert fitted and all(bytes(font.getmask(each)) != box for each in fitted if not each.isspace())
    assert len({_drawn(each).tobytes() for each in {*words, "x"}}) == len({*words, "x"})


def test_what_no_font_has_is_its_number():
    assert text.fit("a\U000f0000")[1] == "a\\U000f0000"
    assert text.fit("plain")[1] == "plain" and text.width("plain") > 10


def test_grids_have_names_in_other_alphabets():
    images = np.zeros((2, 16, 16, 3), np.uint8)
    grids = [pictures.captioned_grid(images, 1, names, title="t") for names in (["ä", "ö"], ["ö", "ä"])]
    assert grids[0].shape == grids[1].shape and (grids[0] != grids[1]).any()


def test_a_picture_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(OSError):
        pictures.save(str(tmp_path / "none" / "x.png"), np.zeros((4, 4, 3), np.uint8))
    pictures.save(str(tmp_path / "x.png"), np.zeros((4, 4, 3), np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
