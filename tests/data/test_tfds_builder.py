"""TFDS sets, read by offset, give what TFDS itself reads."""

import os
import resource
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from sagan_tf import data
from sagan_tf.data import tfrecord
from sagan_tf.system.errors import UserError


class TinyShapes(tfds.core.GeneratorBasedBuilder):
    """Thirty noise images of three classes."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict(
            {
                "id": tfds.features.Text(),
                "image": tfds.features.Image(shape=(None, None, 3)),
                "label": tfds.features.ClassLabel(names=["disc", "square", "star"]),
            }
        )
        return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=("image", "label"))

    def _split_generators(self, dl_manager):
        return {"train": self._examples(0, 23), "test": self._examples(23, 30)}

    def _generate_examples(self):
        return iter(())  # abstract in TFDS; the splits above have theirs

    def _examples(self, first, last):
        for number in range(first, last):
            image = np.random.default_rng(number).integers(0, 256, (16 + number, 20, 3), np.uint8)
            yield number, {"id": str(number), "image": image, "label": number % 3}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("tfds"))
    config = tfds.download.DownloadConfig(num_shards=3)
    tfds.builder("tiny_shapes", data_dir=path).download_and_prepare(download_config=config)
    return path


@pytest.mark.parametrize(
    ("split", "other", "shared"),
    [
        ("train", "test", 0),
        ("train[:10]", "train[10:]", 0),
        ("train[:10]", "train[8:]", 2),
        ("all", "test", 7),
        ("train[20:]+train[:3]", "train[2:21]", 2),
    ],
)
def test_splits_that_share_images(data_dir, split, other, shared):
    assert data.count_shared("tfds:tiny_shapes", split, other, data_dir) == shared


@pytest.mark.parametrize("split", ["train", "test", "train[4:20]", "train[50%:]+test"])
@pytest.mark.parametrize("in_memory", ["yes", "no"])
def test_same_examples_as_tfds(data_dir, split, in_memory):
    dataset = data.open_dataset(
        "tfds:tiny_shapes", split=split, image_size=24, data_dir=data_dir, in_memory=in_memory
    )
    assert dataset.class_names == ("disc", "square", "star")
    images, labels = next(iter(dataset.once(100)))
    builder = tfds.builder("tiny_shapes", data_dir=data_dir)
    read_config = tfds.ReadConfig(interleave_cycle_length=1)
    expected = list(builder.as_dataset(split=split, read_config=read_config))
    assert len(expected) == dataset.num_examples == len(labels)
    assert labels.numpy().tolist() == [int(example["label"]) for example in expected]
    for image, example in zip(images, expected, strict=True):
        np.testing.assert_array_equal(image, data.images.square(example["image"].numpy(), 24))


def test_mistakes(data_dir):
    def opened(spec, split="train"):
        return data.open_dataset(spec, split=split, image_size=8, data_dir=data_dir)

    with pytest.raises(UserError, match="no such set"):
        opened("tfds:nosuchset")
    with pytest.raises(UserError, match=r"no such set; did you mean tfds:cifar10\?$"):
        opened("tfds:cifar11")
    assert (
        data.read_class_names("tfds:tiny_shapes", data_dir=data_dir) == opened("tfds:tiny_shapes").class_names
    )
    with pytest.raises(UserError, match="--split=validation: .*train, test"):
        opened("tfds:tiny_shapes", "validation")
    with pytest.raises(UserError, match="is empty"):
        opened("tfds:tiny_shapes", "train[:0]")


def test_set_that_is_not_there_and_no_network(data_dir, monkeypatch):
    from sagan_tf.data import tfds_builder

    monkeypatch.setattr(tfds_builder, "_has_network", lambda: False)
    with pytest.raises(UserError, match=f"tfds:mnist: is not in {data_dir}.*--data_dir"):
        data.open_dataset("tfds:mnist", image_size=8, data_dir=data_dir)


def test_damaged_tfrecord_is_named(tmp_path):
    import tensorflow as tf

    path = str(tmp_path / "x.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        for length in (0, 5, 300):
            writer.write(b"a" * length)
    offsets, lengths = tfrecord.index(path)
    assert lengths.tolist() == [0, 5, 300] and offsets.tolist() == [12, 28, 49]
    reader = tfrecord.RecordReader([path])
    assert reader.read(0, 49, 300) == b"a" * 300
    with open(path, "rb+") as file:
        file.truncate(200)
    with pytest.raises(ValueError, match="record 2 runs past the end"):
        tfrecord.index(path)
    with pytest.raises(OSError, match="shorter"):
        reader.read(0, 49, 300)


@pytest.fixture
def many_files(tmp_path):
    """Paths of 60 files of 3 bytes each."""
    paths = [tmp_path / str(number) for number in range(60)]
    for number, path in enumerate(paths):
        path.write_bytes(b"%3d" % number)
    return [str(path) for path in paths]


@pytest.fixture
def few_more_files():
    """Lets the process open 20 more files at most, before it raises its own limit."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/dev/fd")))
    taken = len(os.listdir("/dev/fd")) - 1  # but for the one that lists them
    places = [os.open(os.devnull, os.O_RDONLY) for _ in range(highest + 1 - taken)]  # no gaps below
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(places, default=highest) + 21, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
    for place in places:
        os.close(place)


def test_more_files_than_the_soft_limit(many_files, few_more_files):
    readers = [tfrecord.RecordReader(many_files) for _ in range(3)]
    for reader in readers:
        assert [int(reader.read(file, 0, 3)) for file in range(60)] == list(range(60))
    others = [open(many_files[0], "rb") for _ in range(10)]  # what else the process needs
    for file in others:
        file.close()


_HARD_LIMIT = """
import resource, runpy, sys
from sagan_tf.system.errors import UserError
tfrecord = runpy.run_path(sys.argv[1])  # its package takes seconds to import
resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))
try:
    tfrecord["RecordReader"](sys.argv[2:])
except UserError as error:
    print(error)
open(sys.argv[2]).close()
"""


def test_more_files_than_the_hard_limit_are_refused(many_files):
    command = [sys.executable, "-c", _HARD_LIMIT, tfrecord.__file__, *many_files]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "its 60 files" in done.stdout and "ulimit -n" in done.stdout
