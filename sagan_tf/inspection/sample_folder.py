"""The directory that samples are written to."""

import os

import numpy as np
from PIL import Image

from sagan_tf.system import files
from sagan_tf.system.output_folder import OutputFolder


class Folder(OutputFolder):
    """A directory of samples."""

    def write_images(self, images: np.ndarray, numbers: np.ndarray, labels: np.ndarray, class_names) -> None:
        """Writes one PNG for each image: `images/CLASS/NUMBER.png`, or `images/NUMBER.png` without classes.

        Args:
          images: uint8 (n, H, W, 3).
          numbers: int (n,), numbers of the samples.
          labels: int (n,).
          class_names: the name of each label; empty for an unconditional model.
        """
        for image, number, label in zip(images, numbers, labels, strict=True):
            name = _folder_name(label, class_names[label]) if class_names else ""
            os.makedirs(self.file("images", name), exist_ok=True)
            Image.fromarray(image).save(self.file("images", name, f"{number:06d}.png"))

    def write_npz(self, images: np.ndarray, labels: np.ndarray, class_names) -> str:
        """Writes `samples.npz`, which can be a dataset as well. Returns its path."""
        path = self.file("samples.npz")
        names = np.array(class_names, str)
        with files.whole(path, "wb") as file:
            np.savez_compressed(file, images=images, labels=labels.astype(np.int32), class_names=names)
        return path


def _folder_name(label: int, name: str) -> str:
    """The class's name, or its number if the name cannot be a folder's name."""
    return f"{label:04d}" if not name or name.startswith(".") or os.sep in name else name
