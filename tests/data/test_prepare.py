"""Prepared records: written, interrupted, read, checked."""

import contextlib
import dataclasses
import hashlib
import io
import json
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sagan_tf import data
from sagan_tf.data import images, prepare, records
from sagan_tf.data.folder import FolderExamples
from sagan_tf.system.errors import UserError

_COUNT, _SIZE = 50, 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos")
    for number in range(_COUNT):
        (path / f"class{number % 3}").mkdir(exist_ok=True)
        array = np.random.default_rng(number).integers(0, 256, (20, 24, 3), np.uint8)
        Image.fromarray(array).save(path / f"class{number % 3}" / f"{number:03d}.png")
    return str(path)


def _settings(folder, encoding="raw", bad_images="refuse", size=_SIZE):
    digest = FolderExamples(folder).digest()
    return records.Settings(
        f"folder:{folder}", "train", size, encoding, 95, 8, bad_images, images.METHOD, digest
    )


def _prepare(folder, output, workers=2, report=lambda line: None, examples=None, **settings):
    return prepare.prepare(
        examples or FolderExamples(folder), _settings(folder, **settings), str(output), workers, report
    )


def _contents(directory):
    return {
        name: hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in os.listdir(directory)
    }


@pytest.fixture(scope="module")
def prepared(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("records") / "raw"
    _prepare(folder, path)
    return path


@pytest.mark.parametrize("encoding", records.ENCODINGS)
@pytest.mark.parametrize("in_memory", ["yes", "no"])
def test_same_images_as_from_the_source(folder, tmp_path, encoding, in_memory):
    manifest = _prepare(folder, tmp_path / "out", encoding=encoding)
    assert manifest.class_names == ["class0", "class1", "class2"] and manifest.class_counts == [17, 17, 16]
    assert manifest.short_sides == {"20": _COUNT}
    assert [shard["examples"] for shard in manifest.shards] == [8] * 6 + [2]
    source = data.open_dataset(f"folder:{folder}", image_size=_SIZE)
    again = data.open_dataset(f"records:{tmp_path}/out", image_size=_SIZE, in_memory=in_memory)
    assert again.class_names == source.class_names and again.num_examples == _COUNT
    for expected, found in (
        (source.once(20), again.once(20)),
        (source.batches(7, seed=1), again.batches(7, seed=1)),
    ):
        for (pixels, labels), (found_pixels, found_labels) in zip(
            expected.take(9), found.take(9), strict=True
        ):
            np.testing.assert_array_equal(labels, found_labels)
            difference = np.abs(pixels.numpy().astype(float) - found_pixels.numpy())
            if encoding in ("raw", "png"):
                assert difference.max() == 0
            else:  # noise is the hardest that these encodings can be given
                assert difference.mean() < (40 if pixels.dtype == tf.uint8 else 40 / 127.5)


def test_jpeg_is_decoded_as_pillow_does(folder, tmp_path):
    _prepare(folder, tmp_path / "out", encoding="jpeg")
    dataset = data.open_dataset(f"records:{tmp_path}/out", image_size=_SIZE, in_memory="no")
    files = sorted(str(path) for path in (tmp_path / "out").glob("*.tfrecord"))
    examples = [tf.train.Example.FromString(item.numpy()) for item in tf.data.TFRecordDataset(files)]
    pixels, labels = next(iter(dataset.once(_COUNT)))
    again = io.BytesIO()
    Image.fromarray(pixels[0].numpy()).save(again, "JPEG", quality=95)
    wanted = Image.open(again)
    for image, label, example in zip(pixels, labels, examples, strict=True):
        stored = example.features.feature["image"].bytes_list.value[0]
        assert Image.open(io.BytesIO(stored)).quantization == wanted.quantization
        np.testing.assert_array_equal(image, images.decode(stored, _SIZE))
        assert int(label) == example.features.feature["label"].int64_list.value[0]


class _Stops:
    """A source that ends the program at its n-th image, as far as the records can tell."""

    def __init__(self, folder, at):
        self._examples, self._at = FolderExamples(folder), at
        self.class_names, self.labels = self._examples.class_names, self._examples.labels

    def __len__(self):
        return len(self._examples)

    def describe(self, index):
        return self._examples.describe(index)

    def identify(self):
        return self._examples.identify()

    def get(self, index):
        if index >= self._at:
            raise KeyboardInterrupt
        return self._examples.get(index)


def test_interrupted_anywhere_the_bytes_are_the_same(folder, prepared, tmp_path):
    for at in (0, 3, 8, 23, 24, 49):
        with pytest.raises(KeyboardInterrupt):
            _prepare(folder, tmp_path / "out", workers=1, examples=_Stops(folder, at))
        with pytest.raises(UserError, match="not to the end"):
            data.open_dataset(f"records:{tmp_path}/out", image_size=_SIZE)
    _prepare(folder, tmp_path / "out", workers=3)
    assert _contents(tmp_path / "out") == _contents(prepared)
    lines = []
    _prepare(folder, tmp_path / "out", report=lines.append)
    assert "complete already" in lines[0]


def test_another_preparation_is_not_overwritten(folder, prepared, tmp_path):
    before = _contents(prepared)
    with pytest.raises(UserError, match="image_size: 16 before, 24 now"):
        _prepare(folder, prepared, size=24)
    with contextlib.suppress(KeyboardInterrupt):
        _prepare(folder, tmp_path / "half", workers=1, examples=_Stops(folder, 20))
    with pytest.raises(UserError, match="encoding: raw before, png now"):
        _prepare(folder, tmp_path / "half", encoding="png")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    with pytest.raises(UserError, match="holds other files"):
        _prepare(folder, tmp_path / "mine")
    with pytest.raises(UserError, match="cannot be written"):
        _prepare(folder, tmp_path / "mine" / "diary.txt")
    assert _contents(prepared) == before


def test_bad_images_are_named_in_the_manifest(folder, tmp_path):
    import shutil

    source = tmp_path / "source"
    shutil.copytree(folder, source)
    (source / "class1" / "004x.png").write_bytes(b"no image")
    (source / "class2" / "zzz.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"004x\.png: not an image"):
        _prepare(str(source), tmp_path / "refused")
    manifest = _prepare(str(source), tmp_path / "out", bad_images="skip")
    assert manifest.num_examples == _COUNT
    assert [(os.path.basename(name), why[:10]) for name, why in manifest.skipped] == [
        ("004x.png", "not an ima"),
        ("zzz.png", "empty file"),
    ]
    assert not [name for name in os.listdir(tmp_path / "out") if "notes" in name]


@pytest.mark.parametrize("damage", ["shard", "index", "manifest", "lost"])
def test_damage_is_found(folder, tmp_path, damage):
    out = tmp_path / "out"
    manifest = _prepare(folder, out)
    records.verify(str(out))
    shard = out / manifest.shards[3]["file"]
    if damage == "lost":
        shard.unlink()
    else:
        target = {"shard": shard, "index": out / records.INDEX, "manifest": out / records.MANIFEST}[damage]
        content = bytearray(target.read_bytes())
        content[len(content) // 2] ^= 255
        target.write_bytes(content)
    if damage == "shard":  # its size is right: only the checksum tells
        with pytest.raises(UserError, match=f"{shard.name}: is not what was written"):
            records.verify(str(out))
    else:
        name = {"lost": shard.name, "index": "index.npz", "manifest": "manifest.json"}[damage]
        with pytest.raises(UserError, match=name):
            data.open_dataset(f"records:{out}", image_size=_SIZE)


@pytest.mark.parametrize("encoding", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("in_memory", ["yes", "no"])
def test_a_damaged_image_in_records_names_the_folder(folder, tmp_path, encoding, in_memory):
    """As the file is as long as before, this shows only when the image is read."""
    out = tmp_path / "out"
    manifest = _prepare(folder, out, encoding=encoding)
    with np.load(out / records.INDEX) as index, open(out / manifest.shards[0]["file"], "r+b") as file:
        file.seek(index["offsets"][2])
        file.write(b"damaged!")
    with pytest.raises(UserError, match=f"^{out}: an image in it cannot be read.*damaged.*check_data"):
        data.open_dataset(f"records:{out}", image_size=_SIZE, in_memory=in_memory).source.read(np.arange(9))


def test_mistakes(prepared, tmp_path):
    with pytest.raises(UserError, match="no such directory"):
        data.open_dataset(f"records:{tmp_path}/nowhere", image_size=_SIZE)
    with pytest.raises(UserError, match="has no manifest.json"):
        data.open_dataset(f"records:{tmp_path}", image_size=_SIZE)
    with pytest.raises(UserError, match="16 x 16, and 32 is needed"):
        data.open_dataset(f"records:{prepared}", image_size=32)
    (tmp_path / "new").mkdir()
    manifest = json.loads((prepared / records.MANIFEST).read_text())
    (tmp_path / "new" / records.MANIFEST).write_text(json.dumps({**manifest, "version": 2}))
    with pytest.raises(UserError, match="version 2; allowed is 1"):
        data.open_dataset(f"records:{tmp_path}/new", image_size=_SIZE)


def test_two_at_once_are_kept_apart(folder, tmp_path):
    with prepare._lock(str(tmp_path)), pytest.raises(UserError, match="another process is preparing"):
        _prepare(folder, tmp_path)


def test_settings_are_all_compared(folder, tmp_path):
    with contextlib.suppress(KeyboardInterrupt):
        _prepare(folder, tmp_path, workers=1, examples=_Stops(folder, 0))
    settings, identity = _settings(folder), FolderExamples(folder).identify().identity
    state = tmp_path / "preparing.json"
    before = json.loads(state.read_text())
    del before["source_identity"]  # of an earlier version
    for field in dataclasses.fields(settings):
        if field.name == "source_digest":
            continue
        if field.name == "source":
            state.write_text(json.dumps(before))
        other = dataclasses.replace(settings, **{field.name: "other"})
        with pytest.raises(UserError, match=f"{field.name}: .* before, other now"):
            prepare._claim(str(tmp_path), other, identity)
    for damage in ("", "[]", "3"):
        state.write_text(damage)
        with pytest.raises(UserError, match="preparing.json: is damaged .*; remove"):
            prepare._claim(str(tmp_path), settings, identity)


@pytest.mark.parametrize("stops", [20, None])
@pytest.mark.parametrize("ending", ["bmp", "txt"])
def test_images_that_changed_are_not_mixed_with_those_before(tmp_path, stops, ending):
    """Not even if every file is as large as before, as bitmaps are. A folder may be renamed."""
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    for number in range(30):
        Image.new("RGB", (20, 20), (number, 0, 0)).save(source / f"{number:02d}.bmp")
    with contextlib.suppress(KeyboardInterrupt):
        stopped = _Stops(str(source), stops) if stops else None
        _prepare(str(source), out, workers=1, examples=stopped)
    before = _contents(out)
    pixel = (source / "03.bmp").read_bytes()
    if ending == "bmp":
        Image.new("RGB", (20, 20), "white").save(source / "03.bmp")
    else:
        os.rename(source / "03.bmp", source / "03.txt")
    with pytest.raises(UserError, match="holds records of other images"):
        _prepare(str(source), out)
    assert _contents(out) == before
    (source / f"03.{ending}").unlink()
    (source / "03.bmp").write_bytes(pixel)
    moved = source.rename(tmp_path / "moved")
    assert _prepare(str(moved), out).num_examples == 30


def test_images_without_labels_are_prepared_and_counted(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3), np.uint8)
    np.savez(tmp_path / "x.npz", images=pixels, y=np.arange(9) % 3 - 1)
    examples = data.open_examples(f"npz:{tmp_path}/x.npz")
    settings = records.Settings("x", "train", 16, "raw", 95, 4, "refuse", images.METHOD, "y")
    manifest = prepare.prepare(examples, settings, str(tmp_path / "out"), 2, lambda line: None)
    assert manifest.class_counts == [3, 3] and manifest.unlabelled == 3 and manifest.num_examples == 9
    spec = f"records:{tmp_path}/out"
    assert data.open_dataset(spec, image_size=16).source.labels.tolist() == (np.arange(9) % 3 - 1).tolist()
    with pytest.raises(UserError, match=f"--dataset={spec}: 3 of 9 images have no label$"):
        data.open_dataset(spec, image_size=16, needs_labels=True)


def test_256_classes_of_bytes_are_counted(tmp_path):
    pixels = np.zeros((256, 16, 16, 3), np.uint8)
    np.savez(tmp_path / "x.npz", images=pixels, y=np.arange(256, dtype=np.uint8))
    examples = data.open_examples(f"npz:{tmp_path}/x.npz")
    settings = records.Settings("x", "train", 16, "raw", 95, 256, "refuse", images.METHOD, "y")
    manifest = prepare.prepare(examples, settings, str(tmp_path / "out"), 2, lambda line: None)
    assert manifest.class_counts == [1] * 256 and len(manifest.class_names) == 256


def test_what_records_were_made_from_is_known(tmp_path, folder):
    examples = FolderExamples(folder)
    settings = records.Settings("x", "train", 16, "jpeg", 95, 40, "refuse", images.METHOD, "y")
    prepare.prepare(examples, settings, str(tmp_path), 2, lambda line: None)
    ours, theirs = (
        data.open_dataset(spec, image_size=16).identities()
        for spec in (f"records:{tmp_path}", f"folder:{folder}")
    )
    assert ours & theirs
    path = tmp_path / "manifest.json"  # of an earlier version
    fields = json.loads(path.read_text())
    del fields["source_identity"], fields["unlabelled"]
    path.write_text(json.dumps(fields))
    assert records.read_manifest(str(tmp_path)).source_identity == ""
