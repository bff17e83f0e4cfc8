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
        "resize": network.resize(16),
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
    with pytest.raises(UserError, match="not a file of reference statistics"):
        reference.Reference(str(tmp_path / "text.h5"))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(UserError, match="not a file of reference statistics"):
        reference.Reference(str(tmp_path / "other.h5"))
    path = tmp_path / "r.h5"
    _write(path, network, make_dataset(90))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UserError, match="not a file of reference statistics"):
        reference.Reference(str(path))


def test_one_image_is_too_few(tmp_path, network):
    with pytest.raises(UserError, match="at least 2"):
        _write(tmp_path / "r.h5", network, make_dataset(1))


def _get(folder, network, dataset, metrics=("fid",), split="train", calls=None):
    progress = (lambda done: None) if calls is None else calls.append
    return pipeline.real_reference(
        dataset, split, network, metrics, folders=folder, batch_size=90, progress=progress
    )


def test_computed_once_and_found_again(tmp_path, network):
    dataset, calls, here = make_dataset(90), [], [str(tmp_path)]
    first = _get(here, network, dataset, calls=calls)
    assert _get(here, network, dataset, ["fid", "is"], calls=calls).path == first.path and calls == [90]
    assert _get(here, network, dataset, ["kid"], calls=calls).has_features and not first.has_features
    os.remove(first.path)
    assert _get(here, network, dataset, calls=calls).has_features and len(calls) == 2  # these do as well
    assert _get(here, network, dataset, ["is", "agreement"]) is None
    assert json.loads(json.dumps(first.protocol)) == first.protocol


def test_found_by_what_was_measured_and_not_by_its_name(tmp_path, network):
    calls, folders = [], [str(tmp_path / "run"), str(tmp_path / "elsewhere")]
    first = _get(folders, network, make_dataset(90), calls=calls)
    assert first.path.startswith(folders[1])
    os.rename(folders[1], folders[0])  # kept in the run, say, by its training
    renamed = make_dataset(90)
    renamed.name = "moved"
    again = _get(folders, network, renamed, split="all", calls=calls)
    assert calls == [90] and again.digest == first.digest
    assert again.describe() == "moved all, 90 images, 16x16"
    other = _get(folders, network, make_dataset(90, seed=1), calls=calls)  # the same name, other images
    assert calls == [90, 90] and other.digest != first.digest and other.describe() == first.describe()
    assert not np.allclose(other.gaussian().mean, first.gaussian().mean, atol=1e-3)


def test_every_change_of_what_is_measured_changes_the_digest(tmp_path, network):
    digests = set()
    for number, (dataset, count) in enumerate(
        [(make_dataset(90), 0), (make_dataset(90), 20), (make_dataset(60), 0), (make_dataset(90, size=32), 0)]
    ):
        digests.add(_write(tmp_path / f"{number}.h5", network, dataset, num_images=count).digest)
    assert len(digests) == 4


def test_a_damaged_file_that_was_kept_is_named(tmp_path, network):
    kept = _get([str(tmp_path)], network, make_dataset(90))
    with open(kept.path, "r+b") as file:
        file.truncate(3000)
    with pytest.raises(UserError, match=r"reference-\w+.h5: .*delete it"):
        _get([str(tmp_path)], network, make_dataset(90))
