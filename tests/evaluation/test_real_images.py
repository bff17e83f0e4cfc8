"""Which real images scores compare with: places that the run knows, files of statistics."""

import pytest

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
    options = {"reference": f"{tmp_path}/statistics.h5", "reference_split": "train", "image_size": 32}
    test = open_test("", "", 1, **options, config=Config(dataset="digits", image_size=32))
    assert test.description.startswith("digits test")
    with pytest.raises(UserError, match="cas needs real images to test on"):
        open_test("", "", 1, **options)
