"""What a run reports: grids, metrics.jsonl, event files."""

import glob
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.plugins.custom_scalar import layout_pb2

from sagan_tf import pictures
from sagan_tf.data import open_dataset
from sagan_tf.data.dataset import Dataset
from sagan_tf.data.subset import subset
from sagan_tf.monitoring import samples, summaries
from sagan_tf.monitoring.summaries import Reporter
from sagan_tf.networks import Discriminator, Generator
from sagan_tf.training.state import State


@pytest.mark.parametrize(("classes", "rows"), [(0, 1), (3, 3), (10, 10), (1000, 10)])
def test_grid_has_one_class_a_row(classes, rows):
    labels = samples.grid_labels(classes).reshape(-1, 10)
    assert labels.shape == (rows, 10)
    assert (labels == labels[:, :1]).all()
    assert labels[0, 0] == 0 and labels[-1, 0] == max(classes - 1, 0)


def events(workdir, run=""):
    """What the event files of a run hold: summary values by tag, each a list in the order of writing."""
    found = {}
    for file in sorted(glob.glob(str(workdir / "tensorboard" / run / "events*"))):
        for event in tf.compat.v1.train.summary_iterator(file):
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value))
    return found


def picture_of(value):
    """The uint8 picture that a summary value holds."""
    width, height, encoded = value.tensor.string_val
    picture = tf.io.decode_png(encoded).numpy()
    assert picture.shape == (int(height), int(width), 3)
    return picture


def test_reports(tmp_path):
    reporter = Reporter(str(tmp_path), step=0)
    reporter.scalars(5, {"loss/generator": 1.5})
    images = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.full((1, 64, 64, 3), 50, np.uint8)
    path = reporter.grid(5, "samples/ema", images, columns=2)
    reporter.flush()
    assert path.endswith("samples/ema_00000005.png")
    grid = pictures.image_grid(images, 2)
    np.testing.assert_array_equal(Image.open(path), grid)
    line = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert (line["step"], line["loss/generator"]) == (5, 1.5)
    found = events(tmp_path)
    assert set(found) == {"loss/generator", "samples/ema"}
    ((step, value),) = found["loss/generator"]
    assert (step, tf.make_ndarray(value.tensor)) == (5, 1.5)
    assert "Losses of both networks" in value.metadata.summary_description
    np.testing.assert_array_equal(picture_of(found["samples/ema"][0][1]), grid)


def test_introduction(tmp_path):
    reporter = Reporter(str(tmp_path), step=0)
    data_grid = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    options = {"seed": 3, "loss": "hinge", "flip": False}
    reporter.introduce(options, ["seed", "loss"], data_grid, ["fid"])
    reporter.flush()
    found = events(tmp_path)
    text = tf.make_ndarray(found["run/configuration"][0][1].tensor).item()
    assert text.decode().splitlines() == [
        "| option | value |",
        "| --- | --- |",
        "| seed | 3 |",
        "| loss | hinge |",
        "| flip | False |",
    ]
    np.testing.assert_array_equal(picture_of(found["data/check"][0][1]), data_grid)
    plugins = {value.metadata.plugin_data.plugin_name for values in found.values() for _, value in values}
    assert {"hparams", "custom_scalars"} <= plugins
    start = found["_hparams_/session_start_info"][0][1].metadata.plugin_data.content
    assert b"hinge" in start and b"flip" not in start
    assert b"scores/fid" in found["_hparams_/experiment"][0][1].metadata.plugin_data.content
    layout = layout_pb2.Layout.FromString(found["custom_scalars__config__"][0][1].tensor.string_val[0])
    assert [category.title for category in layout.category][0] == "The game"
    for category in layout.category:
        for chart in category.chart:  # a chart of a group that nobody writes would stay empty
            (pattern,) = chart.multiline.tag
            assert pattern.strip("^").partition("/")[0] in summaries.GROUPS


def test_scores_stand_beside_their_protocol(tmp_path):
    Reporter(str(tmp_path), 0).scores(3, {"fid": 7.0}, "samples 5\nseed 0")
    summaries.write_scores(str(tmp_path), 4, {"fid": 6.0}, "samples 6")
    for run, step, value, text in (
        ("", 3, 7.0, b"    samples 5\n    seed 0"),
        ("evaluate", 4, 6.0, b"    samples 6"),
    ):
        found = events(tmp_path, run)
        assert [(step, value)] == [(s, tf.make_ndarray(v.tensor)) for s, v in found["scores/fid"]]
        assert [text] == [tf.make_ndarray(v.tensor).item() for _, v in found["scores/protocol"]]
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["scores/fid"] == 7.0


@pytest.fixture(scope="module")
def state():
    """Small networks with attention that counts, of ten classes."""
    keras.utils.set_random_seed(0)
    generator = Generator(32, channels=1, classes=10, z_dim=4, attention=(8, 16))
    discriminator = Discriminator(32, channels=1, classes=10, attention=(16,))
    for network in (generator, discriminator):
        network.build()
    made = State(generator, discriminator, keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.2))
    for network in (made.ema_generator, made.discriminator):
        for number, variable in enumerate(network.trainable_variables):
            variable.assign_add(0.3 * tf.random.stateless_normal(variable.shape, (0, number)))
    return made


def test_rates_and_gammas_are_those_of_their_network(state):
    rates = {"learning_rate/generator": 0.1, "learning_rate/discriminator": 0.2}
    gammas = {f"gamma/{name}": 0.0 for name in ("generator_8", "generator_16")}  # as at the start
    gammas["gamma/discriminator_16"] = float(state.discriminator.attention_layers["16"].gamma.numpy())
    assert abs(gammas["gamma/discriminator_16"]) > 1e-3
    assert summaries.state_scalars(state) == pytest.approx(rates | gammas)


def test_diversity_is_reported_by_its_mean_and_its_least(tmp_path):
    reporter = Reporter(str(tmp_path), 0)
    reporter.diversity(5, {"class 0": 0.5, "class 1": 0.125, "class 2": 0.875})
    reporter.flush()
    found = {tag: tf.make_ndarray(value.tensor) for tag, ((_, value),) in events(tmp_path).items()}
    assert found == {"diversity/mean": 0.5, "diversity/least": 0.125}


def test_sampler_shows_samples_and_attention_and_leaves_the_state_alone(state, tmp_path):
    dataset = open_dataset("digits", image_size=32)
    reporter = Reporter(str(tmp_path), 0)
    before = [v.numpy() for n in (state.ema_generator, state.discriminator) for v in n.variables]
    sampler = samples.Sampler(state, reporter, 0, dataset)
    sampler.write_samples(7)
    shares = sampler.attention_shares()
    reporter.flush()
    after = [v.numpy() for n in (state.ema_generator, state.discriminator) for v in n.variables]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)
    found = events(tmp_path)
    overlays = {"attention/generator_8", "attention/generator_16"}
    overlays |= {"attention/discriminator_16_fake", "attention/discriminator_16_real"}
    assert set(found) == {"samples/ema", *overlays}
    z = tf.random.stateless_normal((100, 4), (0, -1))
    labels = np.repeat(np.arange(10), 10)
    expected = pictures.to_uint8(state.ema_generator(z, labels, training=False))
    grid = picture_of(found["samples/ema"][0][1])
    np.testing.assert_allclose(grid[-64::2, -64::2].astype(int), expected[-1], atol=1)
    assert picture_of(found["attention/generator_8"][0][1]).shape[0] > 10 * 64
    inner = state.ema_generator.look(z[::10], labels[::10]).shares
    assert shares["attention_share/generator_8"] == pytest.approx(float(np.mean(inner[8])), rel=1e-4)
    reals = dataset.read([np.flatnonzero(dataset.source.labels == label)[0] for label in range(10)])[0]
    inner = state.discriminator.look(reals * np.float32(2 / 255) - 1, np.arange(10)).shares
    share = shares["attention_share/discriminator_16_real"]
    assert share == pytest.approx(float(np.mean(inner[16])), rel=1e-4) and share > 1e-3
    assert len(shares) == 4


class Unlabelled:
    """A source whose labels only its examples know; counts what is read."""

    def __init__(self, dataset):
        self._source, self.labels, self.read_images = dataset.source, None, 0

    def __len__(self):
        return len(self._source)

    def read(self, indices):
        self.read_images += len(indices)
        return self._source.read(indices)


def test_real_images_are_of_their_row_s_class_whether_labels_are_known_or_not():
    digits = open_dataset("digits", image_size=32)
    known = samples.real_images(digits, 10)
    unlabelled = Unlabelled(digits)
    found = samples.real_images(Dataset("digits", unlabelled, digits.class_names, 32), 10)
    np.testing.assert_array_equal(found, known)
    assert unlabelled.read_images == digits.num_examples + 100
    images, labels = digits.read(np.arange(digits.num_examples))
    for row in range(10):
        np.testing.assert_array_equal(known[10 * row : 10 * row + 10], images[labels == row][:10])
    np.testing.assert_array_equal(samples.real_images(digits, 0), images[:100])


def test_classes_with_few_images_leave_white():
    digits = open_dataset("digits", image_size=32)
    few = subset(digits, np.flatnonzero(digits.source.labels != 4)[:40])
    images = samples.real_images(few, 10)
    counts = np.bincount(few.source.labels, minlength=10)
    for row in range(10):
        white = (images[10 * row : 10 * row + 10] == 255).all(axis=(1, 2, 3))
        assert white.tolist() == [False] * counts[row] + [True] * (10 - counts[row])


def test_lines_of_steps_that_were_lost_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 10}\n{"step": 20}\n{"step": 30}\n{"st')
    Reporter(str(tmp_path), step=20)
    assert path.read_text() == '{"step": 10}\n{"step": 20}\n'
