"""The command `train_classifier`: learns, is saved as `evaluate` reads it, and refuses mistakes."""

import json

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf import train_classifier
from sagan_tf.data import open_dataset
from sagan_tf.data.subset import draw, read_once
from sagan_tf.metrics import classifier
from sagan_tf.metrics.features import load_network
from tests.commands import run_command


def _run(capfd, *arguments):
    return run_command(train_classifier, *arguments), *capfd.readouterr()


def test_learns_digits_and_is_saved(tmp_path, capfd):
    output = tmp_path / "digits[1]"  # TensorFlow's reader takes that for a pattern
    code, out, error = _run(capfd, f"--output={output}/", "--width=4", "--image_size=16", "--epochs=12")
    assert code == 0, error
    about = json.loads((output / "classifier.json").read_text())
    assert (
        about["test_accuracy"] > 0.9 and about["test_images"] == 355 and about["name"] == "digits classifier"
    )
    assert about["digest"] == open_dataset("digits", image_size=8).digest.identity
    images, labels = next(iter(open_dataset("digits", split="test", image_size=16).once(355)))
    _, logits = load_network(str(output))(images)
    assert np.mean(logits.argmax(axis=1) == labels.numpy()) == pytest.approx(about["test_accuracy"], abs=1e-4)
    assert "exists already" in _run(capfd, f"--output={output}")[2]


@pytest.mark.slow
def test_digits_reach_97_percent(tmp_path, capfd):
    _run(capfd, f"--output={tmp_path / 'digits'}")
    assert json.loads((tmp_path / "digits" / "classifier.json").read_text())["test_accuracy"] >= 0.97


def test_saved_model_takes_bytes_and_floats(tmp_path):
    model = classifier.Classifier(16, 3, width=2)
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3)).astype(np.uint8)
    expected = model(images * np.float32(2 / 255) - 1)
    about = {"name": "x", "image_size": 16, "class_names": "abc"}
    classifier.save(model, str(tmp_path / "model"), about)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    for given in (images, images * np.float32(2 / 255) - 1):
        outputs = loaded(tf.constant(given))
        assert set(outputs) == {"logits", "pool_3"}
        for name, value in outputs.items():
            np.testing.assert_allclose(value, expected[name], atol=1e-5)
    assert set(loaded.signatures) == {"serving_default", "uint8"}


def test_augmentation_shifts_and_mirrors():
    images = tf.constant(np.random.default_rng(0).normal(size=(64, 16, 16, 3)).astype(np.float32))
    moved = classifier._augment(images, 16, False, tf.constant([0, 1], tf.int64)).numpy()
    padded = np.pad(images.numpy(), ((0, 0), (2, 2), (2, 2), (0, 0)), "reflect")
    shifts = [(r, c) for r in range(5) for c in range(5)]
    found = [
        [s for s in shifts if np.array_equal(moved[i], padded[i, s[0] : s[0] + 16, s[1] : s[1] + 16])]
        for i in range(64)
    ]
    assert all(len(match) == 1 for match in found) and len({match[0] for match in found}) > 15
    mirrored = classifier._augment(images, 16, True, tf.constant([0, 1], tf.int64)).numpy()
    same, turned = ([np.array_equal(mirrored[i], moved[i][:, ::step]) for i in range(64)] for step in (1, -1))
    assert 15 < sum(same) < 49 and all(a != b for a, b in zip(same, turned, strict=True))


def test_images_kept_back_are_not_learnt():
    dataset = open_dataset("digits", split="all", image_size=32)
    test, rest = draw(dataset, 200, seed=0)
    assert (test.num_examples, rest.num_examples) == (200, 1597)
    pixels = [
        {image.tobytes() for images, _ in read_once(part, 500) for image in images} for part in (test, rest)
    ]
    everything = {image.tobytes() for images, _ in read_once(dataset, 500) for image in images}
    assert pixels[0] | pixels[1] == everything
    assert len(pixels[0] & pixels[1]) < 5  # some digits occur twice in the set itself


def test_digits_that_are_learnt_are_not_tested_on():
    """The split all holds the split test."""
    for split, expected in (("train", (1442, 355)), ("all", (1617, 180))):
        learnt, test = train_classifier._open(train_classifier.Options(output="x", split=split))
        assert (learnt.num_examples, test.num_examples) == expected
    pixels = [
        {image.tobytes() for images, _ in read_once(part, 500) for image in images} for part in (learnt, test)
    ]
    assert len(pixels[0] & pixels[1]) < 5


@pytest.mark.parametrize(
    ("split", "test_split", "shared"),
    [("all", "test", "355 of its 355 "), ("train", "all", "1,442 of its 1,797 ")],
)
def test_splits_that_share_images_are_refused(split, test_split, shared, capfd, tmp_path):
    flags = [f"--output={tmp_path}/new", f"--split={split}", f"--test_split={test_split}"]
    code, _, error = _run(capfd, *flags)
    assert code == 2 and f"--test_split={test_split}: {shared}" in error and "Traceback" not in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--output is missing"),
        (["--output=x", "--image_size=48"], "power of two"),
        (["--output=x", "--test_split=train"], "is the split to learn from"),
        (["--output=x", "--test_split=foo"], "--test_split=foo: "),
        (["--output=x", "--dataset=folder:/nowhere"], "--dataset=folder:/nowhere: no such folder"),
        (["--output=/dev/null/x"], "--output=/dev/null/x: cannot be written"),
    ],
)
def test_mistakes_are_one_line(arguments, message, capfd):
    """The last two before any image is read."""
    code, _, error = _run(capfd, *arguments)
    assert code == 2 and message in error and "Traceback" not in error
