"""open_dataset and the streams of a Dataset."""

import io
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sagan_tf import data
from sagan_tf.networks.pixels import from_uint8
from sagan_tf.system.errors import UserError


def _take(batches, count):
    return [(images.numpy(), labels.numpy()) for images, labels in batches.take(count)]


def _save(path, seed, size=(12, 10)):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    array = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(array).save(path, "PNG")
    return array


@pytest.fixture
def folder(tmp_path):
    for number in range(20):
        _save(str(tmp_path / ("cat", "Dog", "ant")[number % 3] / f"{number:02d}.png"), number)
    return tmp_path


@pytest.fixture(scope="module")
def digits():
    return data.open_dataset("digits", image_size=32)


def test_digits():
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    whole = data.open_dataset("digits", split="all", image_size=8)
    images, found = next(iter(whole.once(2000)))
    np.testing.assert_array_equal(found, labels)
    np.testing.assert_array_equal(images[..., 1], np.rint(values.reshape(-1, 8, 8) * 255 / 16))
    assert images.dtype == tf.uint8 and found.dtype == tf.int32
    parts = [
        next(iter(data.open_dataset("digits", split=split, image_size=8).once(2000)))
        for split in ("train", "test")
    ]
    assert [len(part[1]) for part in parts] == [1442, 355]
    both = {image.numpy().tobytes() for part in parts for image in part[0]}
    assert both == {image.numpy().tobytes() for image in images}
    share = np.bincount(parts[1][1]) / np.bincount(labels)
    assert share.min() > 0.19 and share.max() < 0.21
    with pytest.raises(UserError, match="--split=validation.*train, test and all"):
        data.open_dataset("digits", split="validation", image_size=8)


def test_every_example_once_an_epoch(digits):
    batches = _take(digits.batches(103, seed=0), 14 * 3)  # 1442 = 14 * 103
    fixed, _ = next(iter(digits.once(2000)))
    wanted = sorted(image.tobytes() for image in (fixed.numpy().astype(np.float32) * np.float32(2 / 255) - 1))
    for epoch in range(3):
        seen = sorted(
            image.tobytes() for images, _ in batches[14 * epoch : 14 * epoch + 14] for image in images
        )
        assert seen == wanted


def test_images_and_labels_belong_together(digits):
    fixed, labels = next(iter(digits.once(2000)))
    label_of = {image.tobytes(): label for image, label in zip(fixed.numpy(), labels.numpy(), strict=True)}
    images, found = next(iter(digits.batches(64, seed=5)))
    back = np.rint((images.numpy() + 1) * 127.5).astype(np.uint8)
    assert [label_of[image.tobytes()] for image in back] == found.numpy().tolist()


def test_scale_is_that_of_the_original():
    values = np.arange(256, dtype=np.uint8)
    expected = values.astype(np.float32) * np.float32(2.0 / 255.0) - np.float32(1.0)
    np.testing.assert_array_equal(from_uint8(values[:, None])[:, 0], expected)


@pytest.mark.parametrize("flip", [False, True])
def test_start_anywhere_gives_the_same_batches(digits, flip):
    whole = _take(digits.batches(100, seed=2, flip=flip), 40)
    for start in (1, 13, 14, 37):
        for (images, labels), (expected, expected_labels) in zip(
            _take(digits.batches(100, seed=2, start_batch=start, flip=flip), 3), whole[start:], strict=False
        ):
            np.testing.assert_array_equal(images, expected)
            np.testing.assert_array_equal(labels, expected_labels)
    far = digits.batches(100, seed=2, start_batch=10**9, flip=flip)
    assert next(iter(far))[0].shape == (100, 32, 32, 3)


@pytest.mark.parametrize("shards", [2, 4])
def test_shards_make_up_the_global_batch(digits, shards):
    whole = _take(digits.batches(64, seed=7, start_batch=20, flip=True), 4)
    parts = [
        _take(digits.batches(64, seed=7, start_batch=20, shard_index=i, num_shards=shards, flip=True), 4)
        for i in range(shards)
    ]
    for number, (images, labels) in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([part[number][0] for part in parts]), images)
        np.testing.assert_array_equal(np.concatenate([part[number][1] for part in parts]), labels)
    with pytest.raises(ValueError, match="multiple of num_shards"):
        digits.batches(65, seed=0, num_shards=2)


def test_flip_mirrors_some_images_and_changes_nothing_else(digits):
    plain, labels = _take(digits.batches(200, seed=0), 1)[0]
    flipped, flipped_labels = _take(digits.batches(200, seed=0, flip=True), 1)[0]
    np.testing.assert_array_equal(labels, flipped_labels)
    same = np.array([np.array_equal(a, b) for a, b in zip(plain, flipped, strict=True)])
    mirrored = np.array([np.array_equal(a[:, ::-1], b) for a, b in zip(plain, flipped, strict=True)])
    assert (same | mirrored).all() and 60 < mirrored.sum() < 140


def test_batch_larger_than_the_dataset(folder):
    dataset = data.open_dataset(f"folder:{folder}", image_size=8)
    images, labels = next(iter(dataset.batches(50, seed=0)))
    assert np.bincount(labels.numpy()[:40]).tolist() == [14, 12, 14] and images.shape[0] == 50


@pytest.mark.parametrize("in_memory", ["yes", "no"])
def test_folder(folder, in_memory):
    dataset = data.open_dataset(f"folder:{folder}", image_size=8, in_memory=in_memory)
    assert (
        dataset.class_names == ("Dog", "ant", "cat")
        and dataset.num_classes == 3
        and dataset.num_examples == 20
    )
    batches = _take(dataset.once(8), 9)
    assert [len(labels) for _, labels in batches] == [8, 8, 4]
    images, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
    expected = (
        [(0, 1 + 3 * i) for i in range(7)]
        + [(1, 2 + 3 * i) for i in range(6)]
        + [(2, 3 * i) for i in range(7)]
    )
    assert labels.tolist() == [label for label, _ in expected]
    for image, (_, seed) in zip(images, expected, strict=True):
        array = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), np.uint8)
        np.testing.assert_array_equal(
            image, Image.fromarray(array[1:11]).resize((8, 8), Image.Resampling.BILINEAR)
        )
    images, labels = _take(dataset.batches(7, seed=1, start_batch=3), 1)[0]
    assert images.shape == (7, 8, 8, 3) and -1 <= images.min() < images.max() <= 1


def test_links_are_followed_and_loops_do_no_harm(folder):
    os.symlink(folder / "cat", folder / "tiger")
    os.symlink(folder / "cat" / "00.png", folder / "Dog" / "link.png")
    assert data.open_dataset(f"folder:{folder}", image_size=8).num_examples == 28
    os.symlink("loop.png", folder / "Dog" / "loop.png")
    os.symlink("gone", folder / "Dog" / "dangling.png")
    os.symlink(folder, folder / "cat" / "up")
    dataset = data.open_dataset(f"folder:{folder}", image_size=8, bad_images="skip")
    assert dataset.num_examples == 28


@pytest.mark.parametrize("in_memory", ["yes", "no"])
def test_bad_images_are_refused_or_skipped(folder, in_memory, capfd):
    (folder / "cat" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot much")
    (folder / "Dog" / "empty.jpg").write_bytes(b"")
    spec = f"folder:{folder}"
    if in_memory == "yes":
        with pytest.raises(UserError, match=r"(empty\.jpg|broken\.png): .*--bad_images=skip"):
            data.open_dataset(spec, image_size=8)
    else:
        batches = data.open_dataset(spec, image_size=8, in_memory="no").once(50)
        with pytest.raises(tf.errors.OpError, match="--bad_images=skip"):
            next(iter(batches))
    dataset = data.open_dataset(spec, image_size=8, bad_images="skip", in_memory=in_memory)
    for _ in range(3):
        _take(dataset.batches(40, seed=0), 2)
    error = capfd.readouterr().err
    assert error.count("empty.jpg: empty file") == 1 and error.count("broken.png: ") == 1
    if in_memory == "yes":
        assert dataset.num_examples == 20 and "skipped 2 of 22 images" in error


def test_nothing_but_bad_images(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").write_bytes(b"")
    with pytest.raises(UserError, match="none of the images"):
        data.open_dataset(f"folder:{tmp_path}", image_size=8, bad_images="skip")


def test_folder_of_images_alone_is_one_class(tmp_path):
    _save(str(tmp_path / "a.png"), 0)
    (tmp_path / ".DS_Store").write_bytes(b"x")
    dataset = data.open_dataset(f"folder:{tmp_path}", image_size=8)
    assert dataset.num_classes == 1 and dataset.num_examples == 1


def test_folders_laid_out_wrongly(folder, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(UserError, match="no such folder"):
        data.open_dataset(f"folder:{folder}/nowhere", image_size=8)
    with pytest.raises(UserError, match="no such folder"):
        data.open_dataset(f"folder:{folder}/cat/00.png", image_size=8)
    with pytest.raises(UserError, match="holds no images"):
        data.open_dataset(f"folder:{empty}", image_size=8)
    (empty / "a").mkdir()
    with pytest.raises(UserError, match="holds no images"):
        data.open_dataset(f"folder:{empty}", image_size=8)
    high = tmp_path_factory.mktemp("high")
    os.symlink(folder, high / "train")
    with pytest.raises(UserError, match=f"--dataset=folder:{high}: is one level too high.*e.g. {high}/train"):
        data.open_dataset(f"folder:{high}", image_size=8)
    _save(str(folder / "stray.png"), 0)
    with pytest.raises(UserError, match="both images .*and folders"):
        data.open_dataset(f"folder:{folder}", image_size=8)
    with pytest.raises(UserError, match="--split=test"):
        data.open_dataset(f"folder:{folder}", split="test", image_size=8)
    with pytest.raises(UserError, match="llowed are"):
        data.open_dataset("imagefolder:x", image_size=8)


def test_bytes_of_a_png_named_jpg_are_what_counts(tmp_path):
    array = np.full((9, 9, 3), 77, np.uint8)
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    (tmp_path / "wrong.jpg").write_bytes(file.getvalue())
    images, _ = next(iter(data.open_dataset(f"folder:{tmp_path}", image_size=9).once(1)))
    np.testing.assert_array_equal(images[0], array)


@pytest.mark.parametrize("in_memory", ["yes", "no"])
def test_random_crops(folder, in_memory):
    options = {"image_size": 32, "random_crop": True, "in_memory": in_memory}
    dataset = data.open_dataset(f"folder:{folder}", **options)
    larger = next(iter(data.open_dataset(f"folder:{folder}", image_size=36).once(20)))[0].numpy()
    centre = next(iter(dataset.once(20)))[0].numpy()
    np.testing.assert_array_equal(centre, larger[:, 2:34, 2:34])
    places = set()
    for image in _take(dataset.batches(100, seed=0), 1)[0][0]:
        pixels = np.rint((image + 1) * 127.5).astype(np.uint8)
        windows = [
            (y, x)
            for whole in larger
            for y in range(5)
            for x in range(5)
            if np.array_equal(whole[y : y + 32, x : x + 32], pixels)
        ]
        assert len(windows) == 1
        places.add(windows[0])
    assert {y for y, _ in places} == {x for _, x in places} == set(range(5)) and len(places) > 15


def test_balanced_batches(folder):
    for number in range(3):
        (folder / "cat" / f"{number * 3:02d}.png").unlink()
    dataset = data.open_dataset(f"folder:{folder}", image_size=8)
    labels = np.concatenate([labels for _, labels in _take(dataset.batches(30, seed=0, balanced=True), 5)])
    assert np.bincount(labels).tolist() == [50, 50, 50]


def test_balanced_needs_labels(folder):
    dataset = data.open_dataset(f"folder:{folder}", image_size=8, in_memory="no")
    dataset.source.labels = None  # as of a TFDS set that is not held in memory
    with pytest.raises(UserError, match="--balanced_classes.*prepare"):
        dataset.batches(8, seed=0, balanced=True)


def test_failure_in_the_stream_is_kept_as_the_users_error(folder):
    (folder / "cat" / "broken.png").write_bytes(b"x")
    dataset = data.open_dataset(f"folder:{folder}", image_size=8, in_memory="no")
    with pytest.raises(tf.errors.OpError):
        next(iter(dataset.batches(50, seed=0)))
    assert "broken.png: not an image" in str(dataset.failure)


def test_what_cannot_be_read_is_replaced_within_its_class(folder, capfd):
    """As in a folder from which files are deleted while a run reads it."""
    dataset = data.open_dataset(f"folder:{folder}", image_size=8, bad_images="skip", in_memory="no")
    for name in ("00.png", "03.png", "06.png"):  # three of the seven in cat, that follow each other
        (folder / "cat" / name).unlink()
    indices = np.flatnonzero(dataset.source.labels == 2)
    images, labels = dataset.source.read(indices)
    assert labels.tolist() == [2] * 7
    again, _ = dataset.source.read(indices)
    np.testing.assert_array_equal(images, again)
    for path in (folder / "cat").iterdir():
        path.unlink()
    images, labels = dataset.source.read(np.repeat(indices, 2))
    assert set(labels.tolist()) == {0, 1} and len({image.tobytes() for image in images}) > 3
    error = capfd.readouterr().err
    assert error.count("no image of class 2 (cat) can be read") == 1 and error.count("skipped ") == 7


def test_hints_at_the_kind(folder, tmp_path_factory):
    with pytest.raises(UserError, match=rf"did you mean folder:{folder}\? Allowed are digits"):
        data.open_dataset(str(folder), image_size=8)
    file = tmp_path_factory.mktemp("x") / "x.npz"
    file.write_bytes(b"")
    with pytest.raises(UserError, match=rf"did you mean npz:{file}\? Allowed are digits"):
        data.open_dataset(str(file), image_size=8)
