"""Digests say whether sources hold the same images, wherever these lie and whatever they are called."""

import os
import shutil
import tarfile
import unicodedata
import zipfile

import h5py
import numpy as np
import pytest
from PIL import Image

from sagan_tf import data
from sagan_tf.data import digest
from sagan_tf.data.subset import draw

_SIZE = 16
_KINDS = ("folder", "zip", "tar", "npz", "hdf5", "records")


def _pixels(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (12, _SIZE, _SIZE, 3), np.uint8)


def _write_folder(place, pixels):
    """As BMP: files of equal size whatever is in them."""
    for number, image in enumerate(pixels):
        path = place / ("cat", "dog")[number % 2] / f"{number:02d}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)


def _write(kind, place, pixels):
    """Writes a source, replacing what is there; returns how it is asked for."""
    labels = np.arange(len(pixels)) % 2
    if kind == "folder":
        _write_folder(place, pixels)
    elif kind == "npz":
        with open(place, "wb") as file:
            np.savez(file, images=pixels, labels=labels)
    elif kind == "hdf5":
        with h5py.File(place, "w") as file:
            file["imgs"], file["labels"] = pixels, labels
    elif kind == "records":
        from sagan_tf import prepare_data

        if place.exists():
            shutil.rmtree(place)
        folder = place.parent / f"source of {place.name}"
        _write_folder(folder, pixels)
        options = prepare_data.Options(
            f"folder:{folder}", image_size=_SIZE, output=str(place), encoding="png"
        )
        assert prepare_data.main(options, set()) == 0
    else:
        folder = place.parent / "members"
        _write_folder(folder, pixels)
        names = sorted(path.relative_to(folder) for path in folder.rglob("*.bmp"))
        if kind == "zip":
            with zipfile.ZipFile(place, "w") as archive:
                for name in names:
                    archive.write(folder / name, name)
        else:
            with tarfile.open(place, "w:") as archive:
                for name in names:
                    archive.add(folder / name, name)
    return f"{'archive' if kind in ('zip', 'tar') else kind}:{place}"


def _digest(spec, in_memory="no", split="train"):
    if spec.startswith("hdf5"):
        in_memory = "yes"
    return data.open_dataset(spec, split=split, image_size=_SIZE, in_memory=in_memory).digest


@pytest.mark.parametrize("kind", _KINDS)
def test_images_replaced_in_place_are_others(kind, tmp_path):
    """One pixel of one image, in a file of the same name and mostly of the same size."""
    before = _digest(_write(kind, tmp_path / "images", _pixels()))
    changed = _pixels()
    changed[3, 5, 7, 0] ^= 1
    after = _digest(_write(kind, tmp_path / "images", changed))
    assert after.identity != before.identity and after.freshness != before.freshness


@pytest.mark.parametrize("kind", _KINDS)
def test_a_place_and_a_name_do_not_matter(kind, tmp_path, monkeypatch):
    spec = _write(kind, tmp_path / "images", _pixels())
    before, kind = _digest(spec), spec.partition(":")[0]
    monkeypatch.chdir(tmp_path)
    os.rename("images", "pictures")
    assert _digest(f"{kind}:{tmp_path}/pictures") == _digest(f"{kind}:pictures") == before
    os.system("cp -r pictures copy")
    assert _digest(f"{kind}:copy").identity == before.identity


def test_held_in_memory_or_not_is_no_difference(tmp_path):
    spec = _write("folder", tmp_path / "images", _pixels())
    assert _digest(spec, "yes") == _digest(spec, "no")


def test_a_file_written_again_is_fresh_and_the_same(tmp_path):
    spec = _write("folder", tmp_path / "images", _pixels())
    before = _digest(spec)
    os.utime(tmp_path / "images" / "cat" / "02.bmp", ns=(0, 0))
    after = _digest(spec)
    assert after.identity == before.identity and after.freshness != before.freshness


def test_names_classes_splits_and_subsets_are_told_apart(tmp_path):
    spec = _write("folder", tmp_path / "images", _pixels())
    found = {_digest(spec).identity}
    os.rename(tmp_path / "images" / "dog", tmp_path / "images" / "fox")
    found.add(_digest(spec).identity)
    os.rename(tmp_path / "images" / "cat" / "02.bmp", tmp_path / "images" / "fox" / "02.bmp")
    found.add(_digest(spec).identity)
    digits = data.open_dataset("digits", image_size=8)
    parts = [digits, *draw(digits, 10, seed=0), draw(digits, 10, seed=1)[0]]
    found |= {part.digest.identity for part in parts} | {_digest("digits", split="test").identity}
    assert len(found) == 8
    assert draw(digits, 10, seed=0)[0].digest == parts[1].digest


def test_both_unicode_forms_of_a_name_are_one(tmp_path):
    found = set()
    for form in ("NFC", "NFD"):
        name = unicodedata.normalize(form, "café")
        _write_folder(tmp_path / form / "images", _pixels())
        os.rename(tmp_path / form / "images" / "cat", tmp_path / form / "images" / name)
        found.add(_digest(f"folder:{tmp_path}/{form}/images").identity)
    assert len(found) == 1


def test_of_large_sources_pieces_are_read(tmp_path, monkeypatch):
    """All sizes and times, and of the contents no more than the limit."""
    for name, limit in (("_PIECE_BYTES", 100), ("_READ_BYTES", 4000)):
        monkeypatch.setattr(digest, name, limit)
    spec, read = _write("folder", tmp_path / "images", _pixels()), []
    read_piece = digest._read
    monkeypatch.setattr(digest, "_read", lambda *place: read.append(place) or read_piece(*place))
    before = _digest(spec)
    assert 1000 < 100 * len(read) <= 4000 and len({path for path, _ in read}) == 12
    changed = _pixels() ^ 1
    _write("folder", tmp_path / "images", changed)
    assert _digest(spec).identity != before.identity
