"""The 1,797 handwritten digits (8x8, 16 grey levels) that scikit-learn carries."""

import numpy as np

from sagan_tf.data import images
from sagan_tf.data.sources import ArraySource
from sagan_tf.options import UserError

_TEST_EVERY = 5


def open_digits(split: str, image_size: int) -> tuple[ArraySource, tuple[str, ...]]:
    """Reads the digits.

    Args:
      split: "train" (four fifths), "test" (of each class every fifth digit), or "all".
      image_size: height and width; the 8x8 images are enlarged, their values 0..16 become 0..255.

    Returns:
      The examples and the names of the classes.

    Raises:
      UserError: another split, or scikit-learn is not installed.
    """
    if split not in ("train", "test", "all"):
        raise UserError(f"--split={split}: digits has train, test and all")
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise UserError(f"--dataset=digits: needs scikit-learn ({error})") from error
    values, labels = load_digits(return_X_y=True)
    chosen = np.ones(len(labels), bool)
    if split != "all":
        rank_in_class = np.empty(len(labels), int)
        for label in range(10):
            rank_in_class[labels == label] = np.arange(np.sum(labels == label))
        chosen = (rank_in_class % _TEST_EVERY == _TEST_EVERY - 1) == (split == "test")
    grey = np.rint(values[chosen].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    pixels = np.stack([images.square(digit, image_size) for digit in grey])
    return ArraySource(pixels, labels[chosen]), tuple(str(digit) for digit in range(10))
