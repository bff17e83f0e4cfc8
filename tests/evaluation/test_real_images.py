"""Which real images scores compare with, and classifiers are tested on, and how they are opened."""

import numpy as np
import pytest
from PIL import Image

from sagan_tf.data import tfds_builder
from sagan_tf.evaluation.real_images import open_real, open_test
from sagan_tf.runs.config import Config
from sagan_tf.system.errors import UserError


def test_tfds_keeps_its_data_where_the_run_says(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_builder, "_has_network", lambda: False)
    config = Config(dataset="digits", data_dir=f"{tmp_path}/of_run")
    for given, expected in (("", "of_run"), (f"{tmp_path}/given", "given")):
        with pytest.raises(UserError, match=f"--reference=tfds:mnist: is not in {tmp_path}/{expected}"):
            open_real("tfds:mnist", "train", is_needed=True, image_size=8, data_dir=given, config=config)


def test_classifier_is_tested_on_the_run_s_dataset_if_the_reference_is_a_file(tmp_path):
    (tmp_path / "statistics.h5").touch()
    options = {"reference": f"{tmp_path}/statistics.h5", "image_size": 32}
    test = open_test("", "", 1, **options, config=Config(dataset="digits", image_size=32))
    assert test.description.startswith("digits test")
    with pytest.raises(UserError, match="cas needs real images to test on"):
        open_test("", "", 1, **options)


@pytest.fixture
def folder(tmp_path):
    """Six images of 40x40, and a file that is none."""
    random = np.random.default_rng(0)
    for number in range(6):
        path = tmp_path / "images" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    (tmp_path / "images" / "a" / "bad.png").write_bytes(b"no picture")
    return f"folder:{tmp_path}/images"


def test_other_images_are_opened_with_the_run_s_options_but_its_crops(folder):
    for own, cut in ((folder, True), ("digits", False)):
        config = Config(dataset=own, image_size=32, bad_images="skip", random_crop=True)
        dataset = open_real(folder, "train", is_needed=True, image_size=32, config=config).dataset
        assert dataset.num_examples == 6 and ("cut from 36x36" in dataset.preprocessing) == cut
    with pytest.raises(UserError, match="bad.png"):
        config = Config(dataset="digits", image_size=32)
        open_real(folder, "train", is_needed=True, image_size=32, config=config)


def test_what_the_generator_learnt_tests_no_classifier():
    for split, config in (
        ("train", Config(dataset="digits", image_size=32)),
        ("test", Config(dataset="digits", image_size=32, split="all")),
        ("test", Config(dataset="digits", image_size=32, split="test")),
        ("train", None),
    ):
        with pytest.raises(UserError, match=f"--cas_split={split}: of digits is what the generator learnt"):
            open_test("", split, 1, reference="digits", image_size=32, config=config)
    assert open_test("", "", 1, reference="digits", image_size=32).description.startswith("digits test")


def test_a_classifier_is_not_tested_on_images_without_a_label(tmp_path):
    images = np.zeros((6, 32, 32, 3), np.uint8)
    np.savez(tmp_path / "x.npz", images=images, labels=np.array([0, 1, -1, 0, 1, -1]))
    spec = f"npz:{tmp_path}/x.npz"
    with pytest.raises(UserError, match=f"--cas_dataset={spec}: 2 of 6 images have no label$"):
        open_test(spec, "train", 1, reference="", image_size=32)
