"""The directory that samples are written to: what made it stands in it, nothing else is overwritten."""

import dataclasses
import os

import numpy as np
from PIL import Image

from sagan_tf import options
from sagan_tf.options import UserError

_RECORD = "sample.cfg"


class Folder:
    """A directory of pictures, new, empty or made with the same options.

    Args:
      path: the directory; made if need be.
      made_by: the options, complete; those that `may_change` do not matter.

    Raises:
      UserError: it holds something else, or cannot be written.
    """

    def __init__(self, path: str, made_by):
        self.path = path
        try:
            os.makedirs(path, exist_ok=True)
            self._check(made_by)
            text = options.to_flagfile(made_by, "The options that made these pictures: a flagfile.")
            with open(self.file(_RECORD), "w", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise UserError(f"--output={path}: cannot be written ({error.strerror})") from error

    def _check(self, made_by) -> None:
        if not os.listdir(self.path):
            return
        if not os.path.isfile(self.file(_RECORD)):
            raise UserError(f"--output={self.path}: holds other files; name a new or empty directory")
        old = options.from_flagfile(type(made_by), self.file(_RECORD))
        changes = options.difference(dataclasses.replace(old, output=made_by.output), made_by)
        if changes:
            raise UserError(
                f"--output={self.path}: holds what other options made ({'; '.join(changes)});"
                " name another directory"
            )

    def file(self, *names: str) -> str:
        """The path of a file in it."""
        return os.path.join(self.path, *names)

    def write_images(self, images: np.ndarray, numbers: np.ndarray, labels: np.ndarray, class_names) -> None:
        """Writes single PNGs, `images/CLASS/NUMBER.png`; without class names `images/NUMBER.png`.

        Args:
          images: uint8 (n, H, W, 3).
          numbers: int (n,), of the samples.
          labels: int (n,).
          class_names: of all labels; empty for an unconditional model.
        """
        for image, number, label in zip(images, numbers, labels, strict=True):
            name = _folder_name(label, class_names[label]) if class_names else ""
            os.makedirs(self.file("images", name), exist_ok=True)
            Image.fromarray(image).save(self.file("images", name, f"{number:06d}.png"))

    def write_npz(self, images: np.ndarray, labels: np.ndarray, class_names) -> str:
        """Writes `samples.npz`, which `--dataset=npz:` reads too; returns its path."""
        path = self.file("samples.npz")
        partial = f"{path}.partial.npz"
        np.savez_compressed(
            partial, images=images, labels=labels.astype(np.int32), class_names=np.array(class_names, str)
        )
        os.replace(partial, path)
        return path


def _folder_name(label: int, name: str) -> str:
    """The class's name, or its number where that is no name for a folder."""
    return f"{label:04d}" if not name or name.startswith(".") or os.sep in name else name
