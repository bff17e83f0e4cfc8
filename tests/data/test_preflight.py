"""What preflight and check_data say about datasets with known faults."""

import os

import numpy as np
import pytest
from PIL import Image

from sagan_tf import check_data, data
from sagan_tf.data import preflight as preflight_module
from sagan_tf.data.preflight import preflight
from sagan_tf.system.errors import UserError


def _folder(path, counts, size=(40, 48)):
    number = 0
    for name, count in counts.items():
        (path / name).mkdir(parents=True)
        for _ in range(count):
            array = np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)
            Image.fromarray(array).save(path / name / f"{number:04d}.png")
            number += 1
    return data.open_dataset(f"folder:{path}", image_size=32, bad_images="skip")


def test_sound_data_has_no_warnings(tmp_path):
    lines = []
    found = preflight(_folder(tmp_path / "x", {"cat": 60, "dog": 70}), str(tmp_path / "out"), lines.append)
    assert found.warnings == [] and lines[:-1] == found.lines
    assert lines[0].endswith("130 images at 32 x 32, 2 classes")
    assert [line.split() for line in lines[2:4]] == [["0", "cat", "60"], ["1", "dog", "70"]]
    assert "32 to    63  ######" in lines[5] and lines[5].endswith("100.0%")
    assert lines[6] == "duplicates: 0 images are the same as another"
    assert (tmp_path / "out" / "data_check.txt").read_text().splitlines() == found.lines
    with Image.open(tmp_path / "out" / "data_check.png") as grid:
        np.testing.assert_array_equal(np.asarray(grid), found.grid)


def test_grid_shows_the_images_of_each_class(tmp_path):
    dataset = _folder(tmp_path / "x", {"cat": 9, "dog": 3})
    grid = preflight(dataset, str(tmp_path / "out"), lambda line: None).grid
    images, labels = next(iter(dataset.once(100)))
    tile, pitch = 64, 64 + 12 + 2
    for row, columns in ((0, 8), (1, 3)):
        members = images.numpy()[labels.numpy() == row]
        first = grid[row * pitch + 12 : row * pitch + 12 + tile, :tile]
        np.testing.assert_array_equal(first[::2, ::2], members[0])
        last = grid[row * pitch + 12 : row * pitch + 12 + tile, (columns - 1) * (tile + 2) :][:, :tile]
        np.testing.assert_array_equal(last[::2, ::2], members[-1])
    assert (grid[pitch + 12 : pitch + 12 + tile, 3 * (tile + 2) :] == 255).all()


def test_every_fault_is_found(tmp_path):
    _folder(tmp_path / "x", {"cat": 60, "dog": 3, "emu": 0}, size=(20, 48))
    for number in range(5):
        os.link(tmp_path / "x" / "cat" / f"{number:04d}.png", tmp_path / "x" / "cat" / f"again{number}.png")
    (tmp_path / "x" / "dog" / "bad.png").write_bytes(b"")
    dataset = data.open_dataset(f"folder:{tmp_path}/x", image_size=32, bad_images="skip")
    lines = []
    found = preflight(dataset, str(tmp_path / "out"), lines.append)
    for text in (
        "1 of 3 classes have no images (emu)",
        "the largest class has 65 images, the smallest 3",
        "1 classes have fewer than 50 images",
        "7.4% of the images are the same",
        "100% of the images are smaller than 32 pixels",
        "1 images cannot be read",
    ):
        assert [warning for warning in found.warnings if text in warning], text
    assert len(found.warnings) == 6 and "duplicates: 5 images" in "\n".join(lines)


@pytest.mark.parametrize(
    ("small", "large", "twice", "warnings"),
    [
        (32, 3, 1, ["has 33 images, the smallest 3:", "2.8% of the images", "92% of the images"]),
        (20, 20, 0, []),
        (3, 30, 0, []),
    ],
)
def test_what_is_just_enough_for_a_warning(tmp_path, small, large, twice, warnings):
    """More than ten to one, more than 1% the same, more than half too small."""
    _folder(tmp_path / "x", {"dog": small}, size=(20, 48))
    _folder(tmp_path / "x", {"cat": large})
    dogs = tmp_path / "x" / "dog"
    for number in range(twice):
        os.link(dogs / f"{number:04d}.png", dogs / f"again{number}.png")
    dataset = data.open_dataset(f"folder:{tmp_path}/x", image_size=32)
    found = preflight(dataset, str(tmp_path / "out"), lambda line: None).warnings
    found = [line for line in found if "fewer than 50 images" not in line]
    assert len(found) == len(warnings)
    assert all(text in line for text, line in zip(warnings, found, strict=True))


def test_one_class(tmp_path):
    found = preflight(_folder(tmp_path / "x", {"all": 60}), str(tmp_path / "out"), lambda line: None)
    assert len(found.warnings) == 1 and "one class" in found.warnings[0]


def test_a_sample_is_called_one(tmp_path, monkeypatch):
    monkeypatch.setattr(preflight_module, "_SAMPLE", 20)
    _folder(tmp_path / "x", {"cat": 30, "dog": 30})
    dataset = data.open_dataset(f"folder:{tmp_path}/x", image_size=32, in_memory="no")
    text = "\n".join(preflight(dataset, str(tmp_path / "out"), lambda line: None).lines)
    assert (
        "same as another (of a sample of 20 images)" in text and "pixels (of a sample of 20 images)" in text
    )
    assert "cat  30" in text  # a folder's labels are all known
    text = "\n".join(preflight(dataset, str(tmp_path / "out"), lambda line: None, full=True).lines)
    assert "same as another\n" in text + "\n"


def test_unwritable_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        preflight(_folder(tmp_path / "x", {"a": 1}), str(tmp_path / "file"), lambda line: None)


def test_check_data(tmp_path, capsys):
    _folder(tmp_path / "x", {"cat": 2, "dog": 2})
    options = check_data.Options(dataset=f"folder:{tmp_path}/x", image_size=32, output=str(tmp_path / "out"))
    assert check_data.main(options, set()) == 0
    assert "warning: 2 classes have fewer than 50 images" in capsys.readouterr().out
    with pytest.raises(UserError, match="--dataset is missing"):
        check_data.Options().check()


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        (
            np.random.default_rng(0).integers(0, 4096, (60, 40, 40)),
            "almost black: no pixel is brighter than 15",
        ),
        (
            np.concatenate(
                [np.full((6, 40, 40), 65_535), np.random.default_rng(0).integers(0, 4096, (54, 40, 40))]
            ),
            "90% of the images are almost black: no pixel is brighter than 1",
        ),
        (np.random.default_rng(0).integers(60_000, 65_536, (60, 40, 40)), "all images are almost white"),
        (np.repeat(np.arange(60) * 1000, 1600).reshape(60, 40, 40), "100% of the images are of one colour"),
    ],
    ids=["12 bits in 16", "some scaled", "white", "one colour"],
)
def test_images_that_teach_nothing(tmp_path, values, warning):
    (tmp_path / "c").mkdir()
    for number, image in enumerate(values.astype(np.uint16)):
        Image.fromarray(image).save(tmp_path / "c" / f"{number}.png")
    dataset = data.open_dataset(f"folder:{tmp_path}/c", image_size=32)
    found = preflight(dataset, str(tmp_path / "out"), lambda line: None).warnings
    assert any(warning in line for line in found), found


def test_images_without_labels_are_counted_and_shown(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), np.uint8)
    np.savez(tmp_path / "x.npz", images=pixels, y=np.arange(9) % 3 - 1)
    dataset = data.open_dataset(f"npz:{tmp_path}/x.npz", image_size=32)
    assert "3 images have no label" in preflight(dataset, str(tmp_path), lambda line: None).warnings
