"""Statistics of real images in a file that says how they were made, to compare generated images with.

The file is HDF5 and holds
  protocol   (attribute) JSON: dataset and its identity, split, images, image size, crop, resize, network, ...
  mean       float64 (D,)
  root       float64 (r, D); root^T root is the covariance, see `moments.Gaussian`
  labels     int32 (n,)
  features   float32 (n, D), if kept; some metrics need them
"""

import hashlib
import json
import os
import typing

import h5py
import numpy as np

import sagan_tf
from sagan_tf.data.subset import draw, read_once
from sagan_tf.evaluation.results import same_resize
from sagan_tf.metrics.moments import Gaussian, Moments
from sagan_tf.system import files
from sagan_tf.system.errors import UserError

_FORMAT = 1
# Fields that tell real images apart, besides the network. Names do not count.
_WHAT = ("identity", "images", "seed", "image_size", "preprocessing")


class Reference:
    """An open file of reference statistics.

    Attributes:
      path: the file.
      protocol: what was measured, and how.
      labels: int32 (n,), classes of the real images.
    """

    def __init__(self, path: str):
        """Opens a file. Raises UserError if `write` did not make it, or it is damaged."""
        self.path = path
        if not os.path.isfile(path):
            raise UserError("no such file")
        try:
            with h5py.File(path) as file:
                if file.attrs["format"] != _FORMAT:
                    raise UserError(f"has format {file.attrs['format']}; this version reads {_FORMAT}")
                self.protocol = json.loads(file.attrs["protocol"])
                self.labels = file["labels"][:]
                self._mean, self._root = file["mean"][:], file["root"][:]
                # Contiguous, so the rows of one class can be read without the rest.
                self._offset = file["features"].id.get_offset() if "features" in file else None
        except (OSError, KeyError, ValueError) as error:
            raise UserError(f"is not a file of reference statistics, or it is damaged ({error})") from error

    @property
    def has_features(self) -> bool:
        """Whether the features themselves are in the file."""
        return self._offset is not None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes; label i is `class_names[i]`."""
        return tuple(self.protocol["class_names"])

    def describe(self) -> str:
        """Dataset, split, number and size of the images, for the protocol beside a score."""
        p = self.protocol
        drawn = f" of {p['of_images']:,} (seed {p['seed']})" if p["seed"] is not None else ""
        size = f"{p['image_size']}x{p['image_size']}"
        _, _, cut = p["preprocessing"].partition("; ")  # of a run with random crops
        return f"{p['dataset']} {p['split']}, {p['images']:,}{drawn} images, {size}{cut and ', '}{cut}"

    @property
    def digest(self) -> str:
        """Digest of the images, 16 hexadecimal digits; names do not count."""
        what = [self.protocol.get(name) for name in _WHAT]
        if what[0] is None:  # an earlier version wrote the file: only the statistics say what they are of
            what[0] = hashlib.sha256(self._mean.tobytes()).hexdigest()
        return _digest(what)[:16]

    def gaussian(self) -> Gaussian:
        """Mean and covariance of the features of all images."""
        return Gaussian(len(self.labels), self._mean, self._root)

    def features(self, limit: int, seed: int) -> np.ndarray:
        """Features of all images, or of `limit` images drawn at random if there are more; float32 (n, D)."""
        mapped = self._mapped()
        if len(mapped) <= limit:
            return np.array(mapped)
        return mapped[np.sort(np.random.default_rng(seed).permutation(len(mapped))[:limit])]

    def class_features(self, label: int) -> np.ndarray:
        """Features of the images of one class, float32 (n, D)."""
        return self._mapped()[np.flatnonzero(self.labels == label)]

    def _mapped(self) -> np.ndarray:
        shape = (len(self.labels), len(self._mean))
        return np.memmap(self.path, np.float32, "r", self._offset, shape)

    def check(self, network, image_size: int) -> None:
        """Raises UserError unless images of this size, seen by this network, may be compared with it."""
        here = {
            "image_size": image_size,
            "network": network.name,
            "fingerprint": network.fingerprint,
            "resize": network.resize(image_size),
        }
        there = {key: self.protocol[key] for key in here}
        if same_resize(there["resize"], here["resize"]):
            del there["resize"]
        differences = [
            f"{key} {value} there, {here[key]} here" for key, value in there.items() if value != here[key]
        ]
        if differences:
            raise UserError(
                f"{self.path}: was made for something else ({'; '.join(differences)});"
                " such scores would mean nothing. Make one for this network and size"
                " (sagan_tf.make_reference), or give a dataset instead"
            )


def protocol(dataset, split: str, network, num_images: int, seed: int, preprocessing: str) -> dict:
    """The protocol of a reference of a dataset's images.

    Args:
      dataset: see `sagan_tf.data`.
      split: the split that it was opened with.
      network: see `features.FeatureNetwork`.
      num_images: how many images, drawn at random; 0 for all.
      seed: of the draw.
      preprocessing: crop and resize that brought the images to the dataset's size.
    """
    subset = 0 < num_images < dataset.num_examples
    return {
        "dataset": dataset.name,
        "identity": dataset.digest.identity,
        "split": split,
        "images": num_images if subset else dataset.num_examples,
        "of_images": dataset.num_examples,
        "seed": seed if subset else None,
        "image_size": dataset.image_size,
        "preprocessing": preprocessing,
        "class_names": list(dataset.class_names),
        "network": network.name,
        "fingerprint": network.fingerprint,
        "resize": network.resize(dataset.image_size),
    }


def _digest(value) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def write(
    path: str, dataset, network, about: dict, *, keep_features: bool, batch_size: int, progress
) -> Reference:
    """Computes the statistics of a dataset's images and writes them to a file, which appears when complete.

    Args:
      path: the file; must not exist.
      dataset, network: as in `protocol`.
      about: made by `protocol`.
      keep_features: whether the features are kept, 4 D bytes an image.
      batch_size: images that pass through the network together.
      progress: called with the number of images done after each batch.

    Raises:
      UserError: the file exists or cannot be written, or an image cannot be read.
    """
    if os.path.exists(path):
        raise UserError(f"{path}: exists already; name another file")
    if about["seed"] is not None:
        dataset, _ = draw(dataset, about["images"], about["seed"])
    if dataset.num_examples < 2:
        raise UserError(
            f"{dataset.name}: holds only {dataset.num_examples} image; a reference needs at least 2"
        )
    partial = f"{path}.{os.getpid()}.partial"
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with h5py.File(partial, "w") as file:
            _fill(file, dataset, network, keep_features, batch_size, progress)
            file.attrs["format"] = _FORMAT
            file.attrs["protocol"] = json.dumps(about | {"version": sagan_tf.__version__})
        files.publish(partial, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        if os.path.exists(partial):
            os.remove(partial)
    return Reference(path)


def _fill(file, dataset, network, keep_features: bool, batch_size: int, progress) -> None:
    count, done = dataset.num_examples, 0
    moments = Moments(network.num_features)
    labels = file.create_dataset("labels", (count,), np.int32)
    if keep_features:
        kept = file.create_dataset("features", (count, network.num_features), np.float32)
    for (images, batch_labels), features, _ in network.over(read_once(dataset, batch_size)):
        rows = slice(done, done + len(images))
        moments.update(features)
        labels[rows] = batch_labels
        if keep_features:
            kept[rows] = features
        done += len(images)
        progress(done)
    gaussian = moments.result()
    file["mean"], file["root"] = gaussian.mean, gaussian.root


def cached(
    folders: typing.Sequence[str],
    dataset,
    network,
    about: dict,
    *,
    keep_features: bool,
    batch_size: int,
    progress,
) -> Reference:
    """The reference of these images, kept from an earlier call or made now; see `write`.

    A file is found by what was measured, so images that were replaced are measured anew.

    Args:
      folders: where such files may be; a new one is written to the last.
    """
    names = {"dataset": dataset.name, "split": about["split"]}
    key = {name: value for name, value in about.items() if name not in names}
    key["freshness"] = dataset.digest.freshness
    paths = [f"reference-{_digest([key, kept])[:12]}.h5" for kept in {keep_features, True}]
    for path in (os.path.join(folder, name) for folder in folders for name in paths):
        if os.path.exists(path):
            try:
                found = Reference(path)
            except UserError as error:
                raise UserError(f"{path}: {error}; delete it") from error
            found.protocol |= names
            return found
    path = os.path.join(folders[-1], f"reference-{_digest([key, keep_features])[:12]}.h5")
    return write(
        path, dataset, network, about, keep_features=keep_features, batch_size=batch_size, progress=progress
    )
