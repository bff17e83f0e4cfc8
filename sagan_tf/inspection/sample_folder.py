"""The directory that samples are written to."""

import os

import numpy as np

from sagan_tf import pictures
from sagan_tf.system import files
from sagan_tf.system.class_names import to_folder
from sagan_tf.system.output_folder import OutputFolder


class Folder(OutputFolder):
    """A directory of samples."""

    def write_images(self, images: np.ndarray, numbers: np.ndarray, labels: np.ndarray, class_names) -> None:
        """Writes one PNG for each image: `images/CLASS/NUMBER.png`, or `images/NUMBER.png` without classes.

        A folder has the name of its class as `class_names.to_folder` writes it, which the datasets read.

        Args:
          images: uint8 (n, H, W, 3).
          numbers: int (n,), numbers of the samples.
          labels: int (n,).
          class_names: the name of each label; empty for an unconditional model.
        """
        for image, number, label in zip(images, numbers, labels, strict=True):
            name = to_folder(class_names[label]) or f"{label:04d}" if class_names else ""
            os.makedirs(self.file("images", name), exist_ok=True)
            pictures.save(self.file("images", name, f"{number:06d}.png"), image)

    def write_npz(self, images: np.ndarray, labels: np.ndarray, class_names) -> str:
        """Writes `samples.npz`, which can be a dataset as well. Returns its path."""
        path = self.file("samples.npz")
        names = np.array(class_names, str)
        with files.whole(path, "wb") as file:
            np.savez_compressed(file, images=images, labels=labels.astype(np.int32), class_names=names)
        return path
