"""npz, HDF5 and archives."""

import io
import os
import tarfile
import zipfile

import h5py
import numpy as np
import pytest
from PIL import Image

from sagan_tf import data
from sagan_tf.data import sources
from sagan_tf.system.errors import UserError

_RNG = np.random.default_rng(0)
_PIXELS = _RNG.integers(0, 256, (30, 8, 8, 3), np.uint8)
_LABELS = np.arange(30) % 4


def _open(spec, **options):
    dataset = data.open_dataset(spec, image_size=8, **options)
    images, labels = next(iter(dataset.once(100)))
    return dataset, images.numpy(), labels.numpy()


@pytest.mark.parametrize("names", [("images", "labels"), ("arr_0", "arr_1"), ("x_train", "y_train")])
@pytest.mark.parametrize("layout", ["last", "first"])
def test_npz(tmp_path, names, layout):
    path = tmp_path / "x.npz"
    pixels = _PIXELS if layout == "last" else _PIXELS.transpose(0, 3, 1, 2)
    arrays = {names[0]: pixels, names[1]: _LABELS}
    if names[0] == "x_train":
        arrays |= {"x_test": _PIXELS[:3], "y_test": _LABELS[:3, None]}
    np.savez(path, **arrays)
    dataset, images, labels = _open(f"npz:{path}")
    np.testing.assert_array_equal(images, _PIXELS)
    np.testing.assert_array_equal(labels, _LABELS)
    assert dataset.class_names == ("0", "1", "2", "3")
    if names[0] == "x_train":
        assert _open(f"npz:{path}", split="test")[0].num_examples == 3


@pytest.mark.parametrize("kind", ["npz", "hdf5"])
def test_split_that_no_array_is_named_after_is_refused(tmp_path, kind):
    def write(**arrays):
        path = tmp_path / f"{'_'.join(arrays)}.{kind}"
        if kind == "npz":
            np.savez(path, **arrays)
            return path
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
        return path

    for names in (("images", "labels"), ("x_train", "y_train"), ("images", "y_test")):
        path = write(**dict(zip(names, (_PIXELS, _LABELS), strict=True)))
        with pytest.raises(UserError, match=f"^--split=test: {kind}:.*{names[0]} uint8.*train as the split"):
            _open(f"{kind}:{path}", split="test")
        assert _open(f"{kind}:{path}", split="train")[0].num_examples == 30
    path = write(x_test=_PIXELS, labels=_LABELS)
    assert _open(f"{kind}:{path}", split="test")[2].tolist() == _LABELS.tolist()


@pytest.mark.parametrize("kind", ["npz", "hdf5"])
def test_splits_share_images_if_they_are_of_one_array(tmp_path, kind):
    path = tmp_path / f"x.{kind}"
    arrays = {"x_test": _PIXELS, "x_train": _PIXELS, "y": _LABELS}
    if kind == "npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            file.update(arrays)
    assert data.count_shared(f"{kind}:{path}", "train", "test") == 0
    assert data.count_shared(f"{kind}:{path}", "x_tr", "train") == 30


def test_grey_npz_without_labels_is_one_class(tmp_path):
    np.savez(tmp_path / "x.npz", _PIXELS[..., 0])
    dataset, images, labels = _open(f"npz:{tmp_path}/x.npz")
    assert dataset.num_classes == 1 and not labels.any()
    np.testing.assert_array_equal(images, np.repeat(_PIXELS[..., :1], 3, -1))


@pytest.mark.parametrize("chunks", [None, (7, 3, 8, 8)])
def test_hdf5_of_biggan(tmp_path, chunks, monkeypatch):
    path = tmp_path / "ILSVRC8.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("imgs", data=_PIXELS.transpose(0, 3, 1, 2), chunks=chunks)
        file.create_dataset("labels", data=_LABELS.astype(np.int64))
    _, images, labels = _open(f"hdf5:{path}")
    np.testing.assert_array_equal(images, _PIXELS)
    np.testing.assert_array_equal(labels, _LABELS)
    with pytest.raises(UserError, match="prepare records"):
        _open(f"hdf5:{path}", in_memory="no")
    monkeypatch.setattr(sources, "MEMORY_LIMIT_BYTES", _PIXELS.nbytes - 1)
    with pytest.raises(UserError, match="prepare records"):
        _open(f"hdf5:{path}")
    np.testing.assert_array_equal(_open(f"hdf5:{path}", in_memory="yes")[1], _PIXELS)


def test_array_files_that_cannot_be_used(tmp_path):
    path = tmp_path / "x.npz"

    def refused(match, **arrays):
        np.savez(path, **arrays)
        with pytest.raises(UserError, match=match):
            _open(f"npz:{path}")

    refused("must be uint8", a=_PIXELS.astype(np.float32))
    refused("must have one array of images", a=_LABELS)
    refused("must have one array of images .*a uint8.*b uint8", a=_PIXELS, b=_PIXELS)
    refused("must have one array of labels", a=_PIXELS, b=_LABELS, c=_LABELS)
    refused("must count from 0", a=_PIXELS, b=_LABELS - 2)
    refused("1 or 3 channels", a=np.zeros((5, 4, 4, 7), np.uint8))
    np.savez_compressed(path, images=_PIXELS, y=_LABELS)
    content = bytearray(path.read_bytes())
    content[60:90] = bytes(30)
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read .*"):
        _open(f"npz:{path}")
    with open(path, "wb") as file:
        np.save(file, _PIXELS)
    with pytest.raises(UserError, match="no .npz file, as numpy.savez writes them"):
        _open(f"npz:{path}")
    path.write_bytes(b"PK\x03\x04 and then nothing")
    (tmp_path / "x.hdf5").write_bytes(b"nothing")
    for kind in ("npz", "hdf5"):
        with pytest.raises(UserError, match="cannot be read"):
            _open(f"{kind}:{tmp_path}/x.{kind}")
        with pytest.raises(UserError, match="no such file"):
            _open(f"{kind}:{tmp_path}/y.{kind}")


def _png(number):
    file = io.BytesIO()
    Image.fromarray(_PIXELS[number]).save(file, "PNG")
    return file.getvalue()


def _pack(path, members):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in members.items():
            item = tarfile.TarInfo(name)
            item.size = len(content)
            archive.addfile(item, io.BytesIO(content))


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
@pytest.mark.parametrize("prefix", ["", "data/train/"])
def test_archive(tmp_path, suffix, prefix):
    path = tmp_path / f"x{suffix}"
    members = {
        f"{prefix}{'dog' if number % 2 else 'cat'}/{number:02d}.png": _png(number) for number in range(10)
    }
    _pack(path, {**members, "__MACOSX/cat/._00.png": b"x", f"{prefix}.DS_Store": b"x"})
    dataset, images, labels = _open(f"archive:{path}")
    assert dataset.class_names == ("cat", "dog") and labels.tolist() == [0] * 5 + [1] * 5
    np.testing.assert_array_equal(images, _PIXELS[[0, 2, 4, 6, 8, 1, 3, 5, 7, 9]])


def test_archives_that_cannot_be_used(tmp_path):
    def refused(match, name, members):
        _pack(tmp_path / name, members)
        with pytest.raises(UserError, match=match):
            _open(f"archive:{tmp_path}/{name}")

    refused("not side by side", "a.zip", {"train/cat/1.png": _png(1), "val/cat/1.png": _png(2)})
    refused("not side by side", "b.tar", {"cat/1.png": _png(1), "1.png": _png(2)})
    refused("holds no images", "c.zip", {})
    refused("uncompressed .tar", "d.tar.gz", {"cat/1.png": _png(1)})
    refused(r"d\.zip: cat/1\.png: not an image", "d.zip", {"cat/1.png": b"x"})
    with pytest.raises(UserError, match="no such file"):
        _open(f"archive:{tmp_path}/nowhere.zip")


def test_archive_of_images_alone_is_one_class(tmp_path):
    _pack(tmp_path / "x.zip", {"a.png": _png(0), "b.png": _png(1)})
    assert _open(f"archive:{tmp_path}/x.zip")[0].num_classes == 1


def test_damaged_member_is_skipped(tmp_path, capsys):
    path = tmp_path / "x.zip"
    _pack(path, {f"{number}.png": _png(number) for number in range(3)})
    content = bytearray(path.read_bytes())
    content[content.index(_png(1)) + 30] ^= 255  # its checksum fails
    path.write_bytes(content)
    assert _open(f"archive:{path}", bad_images="skip")[0].num_examples == 2
    assert "1.png: cannot be unpacked" in capsys.readouterr().err


def _tar(path, add):
    with tarfile.open(path, "w") as archive:

        def file(name, content):
            item = tarfile.TarInfo(name)
            item.size = len(content)
            archive.addfile(item, io.BytesIO(content))

        def link(name, target, kind):
            item = tarfile.TarInfo(name)
            item.type, item.linkname = kind, target
            archive.addfile(item)

        add(file, link)
    return str(path)


def test_links_in_a_tar_are_followed(tmp_path):
    def add(file, link):
        file("d/cat/1.png", _png(1))
        link("d/cat/2.png", "d/cat/1.png", tarfile.LNKTYPE)
        link("d/dog/3.png", "../cat/2.png", tarfile.SYMTYPE)
        link("d/eel", "cat", tarfile.SYMTYPE)

    dataset, images, labels = _open(f"archive:{_tar(tmp_path / 'x.tar', add)}")
    assert dataset.class_names == ("cat", "dog", "eel") and labels.tolist() == [0, 0, 1, 2, 2]
    assert all(np.array_equal(image, _PIXELS[1]) for image in images)


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE])
def test_links_out_of_a_tar_are_refused(tmp_path, kind):
    def add(file, link):
        file("cat/1.png", _png(1))
        link("cat/2.png", "/etc/passwd", kind)

    with pytest.raises(UserError, match="holds the link cat/2.png to .*which is not in it"):
        _open(f"archive:{_tar(tmp_path / 'x.tar', add)}")


def test_a_link_that_leads_out_of_the_archive_is_none_to_a_member(tmp_path):
    def add(file, link):
        file("cat/1.png", _png(1))
        link("cat/2.png", "../../cat/1.png", tarfile.SYMTYPE)

    with pytest.raises(UserError, match="holds the link cat/2.png to ../../cat/1.png, which is not in it"):
        _open(f"archive:{_tar(tmp_path / 'x.tar', add)}")


def test_names_from_above_the_current_folder(tmp_path):
    def add(file, link):
        file("../cat/1.png", _png(1))
        file("/dog/2.png", _png(2))
        link("../dog/3.png", "../cat/1.png", tarfile.LNKTYPE)

    dataset, _, labels = _open(f"archive:{_tar(tmp_path / 'x.tar', add)}")
    assert dataset.class_names == ("cat", "dog") and labels.tolist() == [0, 1, 1]


def test_the_last_file_of_a_name_counts(tmp_path):
    path = _tar(tmp_path / "x.tar", lambda file, link: [file("a.png", _png(0)), file("./a.png", _png(1))])
    _, images, _ = _open(f"archive:{path}")
    assert len(images) == 1 and np.array_equal(images[0], _PIXELS[1])


def test_archives_that_are_not_whole_are_refused(tmp_path):
    def add(file, link):
        for number in range(4):
            file(f"{number}.png", _png(number))

    whole = open(_tar(tmp_path / "x.tar", add), "rb").read()
    broken = bytearray(whole)
    broken[whole.index(b"2.png") + 100] ^= 255  # a header's checksum
    for content in (whole[: whole.index(b"3.png") + 100], bytes(broken), whole + whole):
        (tmp_path / "y.tar").write_bytes(content)
        with pytest.raises(UserError, match="cannot be read"):
            _open(f"archive:{tmp_path}/y.tar")
    _pack(tmp_path / "x.zip", {f"{number}.png": _png(number) for number in range(4)})
    content = (tmp_path / "x.zip").read_bytes()
    (tmp_path / "y.zip").write_bytes(content[:200] + content[260:])
    with pytest.raises(UserError, match="cannot be (read|unpacked)|holds no images"):
        _open(f"archive:{tmp_path}/y.zip")


def test_a_zip_made_on_windows_has_its_folders(tmp_path):
    _pack(tmp_path / "x.zip", {"cat\\1.png": _png(1), "dog\\2.png": _png(2)})
    assert _open(f"archive:{tmp_path}/x.zip")[0].class_names == ("cat", "dog")


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_documents_beside_the_classes_are_not_images(tmp_path, kind, capsys):
    files = {"cat/1.png": _png(1), "dog/2.png": _png(2), "README.md": b"# Photos", "LICENSE": b"CC0"}
    files |= {"labels.csv": b"1,cat\n"}
    if kind == "archive":
        _pack(tmp_path / "x.zip", {f"set/{name}": content for name, content in files.items()})
        dataset = _open(f"archive:{tmp_path}/x.zip")[0]
    else:
        for name, content in files.items():
            (tmp_path / "c" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "c" / name).write_bytes(content)
        dataset = _open(f"folder:{tmp_path}/c")[0]
    assert dataset.class_names == ("cat", "dog") and dataset.num_examples == 2
    assert capsys.readouterr().err.count("not read, as it is not an image") == 3


def test_class_folders_whose_names_are_not_text(tmp_path):
    folder = tmp_path / "c"
    for name in (b"caf\xe9", b"tea"):
        path = os.path.join(os.fsencode(folder), name)
        os.makedirs(path)
        with open(os.path.join(path, b"\xe9.png"), "wb") as file:
            file.write(_png(0))
    with pytest.raises(
        UserError, match=r"the class name 'caf\\xe9' is not one line of text in UTF-8: rename"
    ):
        _open(f"folder:{folder}")
    os.rename(os.path.join(os.fsencode(folder), b"caf\xe9"), folder / "café")
    assert _open(f"folder:{folder}")[0].class_names == ("café", "tea")  # names of files may be anything
