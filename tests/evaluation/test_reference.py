"""Files of reference statistics: what they hold, what they say, and where they are refused."""

import json
import os

import h5py
import numpy as np
import pytest

from sagan_tf.evaluation import pipeline, reference
from sagan_tf.metrics.moments import gaussian
from sagan_tf.system.errors import UserError
from tests.metrics.shapes import CLASSES, make_dataset


def _about(network, dataset, num_images=0, seed=0):
    return reference.protocol(
        dataset, "train", network, num_images=num_images, seed=seed, preprocessing="centre crop"
    )


def _write(path, network, dataset, *, keep_features=True, batch_size=32, num_images=0):
    return reference.write(
        str(path),
        dataset,
        network,
        _about(network, dataset, num_images),
        keep_features=keep_features,
        batch_size=batch_size,
        progress=lambda done: None,
    )


def _features(network, dataset, indices):
    return network(dataset.source.read(indices)[0])[0]


def test_holds_the_statistics_of_all_images(tmp_path, network):
    dataset = make_dataset(90)
    _write(tmp_path / "r.h5", network, dataset)
    made = reference.Reference(str(tmp_path / "r.h5"))
    features = _features(network, dataset, np.arange(90))
    np.testing.assert_allclose(made.features(1000, 0), features, atol=1e-5)
    np.testing.assert_allclose(made.class_features(1), features[1::3], atol=1e-5)
    expected = gaussian(features)
    np.testing.assert_allclose(made.gaussian().mean, expected.mean, atol=1e-5)
    np.testing.assert_allclose(made.gaussian().covariance(), expected.covariance(), atol=1e-5)
    assert made.gaussian().count == 90 and made.class_names == CLASSES
    assert np.bincount(made.labels).tolist() == [30, 30, 30]


def test_carries_its_protocol(tmp_path, network):
    made = _write(tmp_path / "r.h5", network, make_dataset(90))
    wanted = {
        "dataset": "shapes",
        "split": "train",
        "images": 90,
        "image_size": 16,
        "preprocessing": "centre crop",
        "network": "shapes classifier",
        "fingerprint": network.fingerprint,
        "resize": network.resize,
    }
    assert wanted.items() <= made.protocol.items() and "version" in made.protocol
    assert made.describe() == "shapes train, 90 images, 16x16"


def test_some_of_the_images(tmp_path, network):
    dataset = make_dataset(90)
    made = _write(tmp_path / "r.h5", network, dataset, num_images=20)
    assert made.describe() == "shapes train, 20 of 90 (seed 0) images, 16x16"
    everything = _features(network, dataset, np.arange(90))
    rows = [int(np.abs(everything - row).sum(axis=1).argmin()) for row in made.features(100, 0)]
    assert len(set(rows)) == 20 and rows != list(range(20))
    np.testing.assert_array_equal(made.labels, np.array(rows) % 3)
    assert len(made.features(7, 0)) == 7


def test_without_features(tmp_path, network):
    small = _write(tmp_path / "small.h5", network, make_dataset(90), keep_features=False)
    large = _write(tmp_path / "large.h5", network, make_dataset(90))
    assert not small.has_features and large.has_features
    np.testing.assert_array_equal(small.gaussian().root, large.gaussian().root)


@pytest.mark.parametrize("key", ["image_size", "network", "fingerprint", "resize"])
def test_mismatch_is_refused(key, tmp_path, network):
    made = _write(tmp_path / "r.h5", network, make_dataset(90))
    made.check(network, 16)
    made.protocol[key] = "another"
    with pytest.raises(UserError, match=f"{key} another there"):
        made.check(network, 16)


def test_size_is_compared(tmp_path, network):
    made = _write(tmp_path / "r.h5", network, make_dataset(90))
    with pytest.raises(UserError, match="image_size 16 there, 32 here"):
        made.check(network, 32)


def test_nothing_is_overwritten_and_nothing_half_is_left(tmp_path, network):
    path = tmp_path / "r.h5"
    _write(path, network, make_dataset(90))
    before = path.read_bytes()
    with pytest.raises(UserError, match="exists already"):
        _write(path, network, make_dataset(60))
    assert path.read_bytes() == before

    def fail(done):
        raise KeyboardInterrupt

    about = _about(network, make_dataset(60))
    with pytest.raises(KeyboardInterrupt):
        reference.write(
            str(tmp_path / "x.h5"),
            make_dataset(60),
            network,
            about,
            keep_features=True,
            batch_size=8,
            progress=fail,
        )
    assert os.listdir(tmp_path) == ["r.h5"]


def test_other_files_are_refused(tmp_path, network):
    with pytest.raises(UserError, match="no such file"):
        reference.Reference(str(tmp_path / "none.h5"))
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(UserError, match="no file of reference statistics"):
        reference.Reference(str(tmp_path / "text.h5"))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(UserError, match="no file of reference statistics"):
        reference.Reference(str(tmp_path / "other.h5"))
    path = tmp_path / "r.h5"
    _write(path, network, make_dataset(90))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UserError, match="no file of reference statistics"):
        reference.Reference(str(path))


def test_one_image_is_too_few(tmp_path, network):
    with pytest.raises(UserError, match="at least 2"):
        _write(tmp_path / "r.h5", network, make_dataset(1))


def test_computed_once_and_found_again(tmp_path, network):
    dataset, calls = make_dataset(90), []

    def get(metrics, split="train"):
        return pipeline.real_reference(
            dataset, split, network, metrics, folder=str(tmp_path), batch_size=90, progress=calls.append
        )

    first, again = get(["fid"]), get(["fid", "is"])
    assert first.path == again.path and calls == [90]
    assert get(["kid"]).has_features and not first.has_features
    assert get(["fid"], split="test").path != first.path and len(calls) == 3
    assert get(["is", "agreement"]) is None
    assert json.loads(json.dumps(first.protocol)) == first.protocol
