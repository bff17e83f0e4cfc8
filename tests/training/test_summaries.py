"""What a run reports: grids, metrics.jsonl, event files."""

import glob
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sagan_tf.training import samples
from sagan_tf.training.summaries import Reporter, image_grid, to_uint8


def test_to_uint8_is_the_inverse_of_the_scaling_of_the_data():
    values = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_uint8(values.astype(np.float32) * (2 / 255) - 1), values)
    np.testing.assert_array_equal(to_uint8([-3.0, 3.0]), [0, 255])


def test_image_grid():
    images = np.arange(1, 7, dtype=np.uint8)[:, None, None, None] * np.ones((6, 2, 2, 3), np.uint8)
    grid = image_grid(images, columns=3, gap=1)
    assert grid.shape == (5, 8, 3)
    np.testing.assert_array_equal(grid[0, :, 0], [1, 1, 255, 2, 2, 255, 3, 3])
    np.testing.assert_array_equal(grid[:, 0, 0], [1, 1, 255, 4, 4])


@pytest.mark.parametrize(("classes", "rows"), [(0, 1), (3, 3), (10, 10), (1000, 10)])
def test_grid_has_one_class_a_row(classes, rows):
    labels = samples.grid_labels(classes).reshape(-1, 10)
    assert labels.shape == (rows, 10)
    assert (labels == labels[:, :1]).all()
    assert labels[0, 0] == 0 and labels[-1, 0] == max(classes - 1, 0)


def test_reports(tmp_path):
    reporter = Reporter(str(tmp_path), step=0)
    reporter.scalars(5, {"loss/generator": 1.5})
    path = reporter.grid(5, "samples/ema", np.zeros((4, 8, 8, 3), np.float32), columns=2)
    reporter.flush()
    assert path.endswith("samples/ema_00000005.png")
    assert Image.open(path).size == (18, 18)
    line = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert (line["step"], line["loss/generator"]) == (5, 1.5)
    tags = set()
    for file in glob.glob(str(tmp_path / "tensorboard" / "*")):
        for event in tf.compat.v1.train.summary_iterator(file):
            tags |= {value.tag for value in event.summary.value}
    assert tags == {"loss/generator", "samples/ema"}


def test_lines_of_steps_that_were_lost_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 10}\n{"step": 20}\n{"step": 30}\n{"st')
    Reporter(str(tmp_path), step=20)
    assert path.read_text() == '{"step": 10}\n{"step": 20}\n'
