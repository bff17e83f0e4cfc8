"""Labels in arrays as people store them: understood where they are clear, refused by name otherwise."""

import h5py
import numpy as np
import pytest

from sagan_tf import data
from sagan_tf.data import labels as label_arrays
from sagan_tf.system.errors import UserError

_COUNT = 12
_PIXELS = np.random.default_rng(0).integers(0, 256, (_COUNT, 8, 8, 3), np.uint8)
_LABELS = np.arange(_COUNT) % 3
_INDEX = np.arange(_COUNT)


@pytest.fixture(params=["npz", "hdf5"])
def opened(request, tmp_path):
    """Writes arrays and opens them as a dataset."""

    def write_and_open(**arrays):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.{request.param}"
        if request.param == "npz":
            np.savez(path, images=_PIXELS, **arrays)
        else:
            with h5py.File(path, "w") as file:
                file["images"] = _PIXELS
                for name, array in arrays.items():
                    is_text = array.dtype.kind == "U"
                    file.create_dataset(name, data=array.astype(object) if is_text else array)
        return data.open_dataset(f"{request.param}:{path}", image_size=8)

    return write_and_open


@pytest.mark.parametrize(
    "array",
    [
        np.eye(3, dtype=np.float32)[_LABELS],
        np.eye(3, dtype=bool)[_LABELS],
        np.eye(3, dtype=np.int64)[_LABELS],
        _LABELS.astype(np.float64),
        _LABELS.astype(np.float32)[:, None],
        _LABELS.astype(np.uint8),
        _LABELS.astype(np.uint64)[:, None],
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
@pytest.mark.parametrize("name", ["y", "onehot", "other"])
def test_what_is_clear_is_understood(opened, array, name):
    dataset = opened(**{name: array})
    assert dataset.source.labels.tolist() == _LABELS.tolist() and dataset.class_names == ("0", "1", "2")


def test_other_arrays_are_not_taken_for_labels(opened):
    dataset = opened(y=np.eye(3, dtype=np.float32)[_LABELS], index=_INDEX, weight=np.linspace(0, 1, _COUNT))
    assert dataset.num_classes == 3 and dataset.source.labels.tolist() == _LABELS.tolist()
    for array in (np.random.default_rng(0).normal(size=(_COUNT, 5)), _INDEX):  # every image has its own
        assert opened(other=array).class_names == ("all",)


def test_text_names_the_classes(opened):
    dataset = opened(labels=np.array(["größe", "ant", "cat"])[_LABELS])
    assert dataset.class_names == ("ant", "cat", "größe")
    assert dataset.source.labels.tolist() == [(2, 0, 1)[label] for label in _LABELS]


def test_names_beside_numbers(opened):
    """As `sample --what=npz` writes them."""
    dataset = opened(labels=_LABELS, class_names=np.array(["x/y", "b", "c", "never seen"]))
    assert dataset.class_names == ("x/y", "b", "c", "never seen")
    assert dataset.source.labels.tolist() == _LABELS.tolist()


@pytest.mark.parametrize(
    "array",
    [
        _LABELS + 0.5,
        np.where(_LABELS == 0, np.nan, _LABELS),
        np.ones((_COUNT, 3)),
        np.zeros((_COUNT, 3)),
        np.ones(_COUNT, np.complex64),
    ],
    ids=["halves", "NaN", "all ones", "all zeros", "complex"],
)
def test_the_rest_is_refused_by_name_and_type(opened, array):
    with pytest.raises(UserError, match=f"the array y, {array.dtype}.*, does not hold labels"):
        opened(y=array)


@pytest.mark.parametrize("array", [_LABELS[:-2], np.eye(3)[_LABELS[:-2]]], ids=["numbers", "one-hot"])
def test_labels_of_some_images_are_refused(opened, array):
    with pytest.raises(UserError, match="the array y, .*10.*, does not have one label for each of the 12"):
        opened(y=array)


def test_labels_of_another_split_are_of_no_concern(tmp_path):
    path = tmp_path / "images.npz"
    np.savez(path, x_train=_PIXELS, x_test=_PIXELS[:4], y_test=_LABELS[:4])
    assert data.open_dataset(f"npz:{path}", image_size=8).class_names == ("all",)
    assert data.open_dataset(f"npz:{path}", split="test", image_size=8).num_classes == 3


def test_bytes_that_are_no_text_are_refused(tmp_path):
    np.savez(tmp_path / "images.npz", x=_PIXELS, y=np.array([b"ant", b"caf\xe9", b"cat"])[_LABELS])
    with pytest.raises(UserError, match=r"the array y has b'caf.xe9', which is not text in UTF-8"):
        data.open_dataset(f"npz:{tmp_path / 'images.npz'}", image_size=8)


def test_two_candidates_are_refused(opened):
    with pytest.raises(UserError, match="must have one array of labels"):
        opened(y=_LABELS, label=_LABELS)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int64, np.uint32])
def test_arithmetic_is_not_that_of_the_arrays_type(dtype):
    most = np.iinfo(dtype).max if dtype in (np.uint8, np.int8) else 300
    values = np.arange(most + 1).astype(dtype)
    found = label_arrays.read({"y": values}, len(values), lambda names: next(iter(names)))
    assert found.values.tolist() == values.tolist() and len(found.class_names) == most + 1


def test_255_may_stand_for_unknown(opened):
    dataset = opened(y=np.where(_LABELS == 2, 255, _LABELS).astype(np.uint8))
    assert dataset.class_names == ("0", "1") and (dataset.source.labels == label_arrays.NO_LABEL).sum() == 4


class _Unknown:
    """A source of which only the examples know their labels, as of TFDS."""

    labels = None

    def __init__(self, source):
        self.read = source.read


def test_images_without_a_label_are_refused_with_their_number_where_labels_are_needed(opened, monkeypatch):
    dataset = opened(y=_LABELS - 1)
    assert dataset.class_names == ("0", "1")
    assert dataset.without_label() == "4 of 12 images have no label"
    with pytest.raises(UserError, match="^--dataset=.*: 4 of 12 images have no label$"):
        data.open_dataset(dataset.name, image_size=8, needs_labels=True)
    monkeypatch.setattr(dataset, "source", _Unknown(dataset.source))
    assert dataset.without_label() == "4 of 12 images looked at, of 12 have no label"
    assert opened(y=_LABELS).without_label() == ""
    with pytest.raises(UserError, match="everywhere"):
        opened(y=np.full(_COUNT, -1))
