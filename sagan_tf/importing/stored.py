"""Arrays in files: their shape is known at once, their values are read when they are needed."""

import math
import typing

import numpy as np

from sagan_tf.system.errors import UserError


class Stored(typing.NamedTuple):
    """An array in a file.

    Attributes:
      shape: its shape.
      load: reads it; returns a NumPy array of that shape.
    """

    shape: tuple[int, ...]
    load: typing.Callable[[], np.ndarray]

    def read(self, name: str) -> np.ndarray:
        """The values, float32 where they are floating. Raises UserError if some are not finite."""
        array = self.load()
        if np.issubdtype(array.dtype, np.floating):
            if not np.isfinite(array).all():
                raise UserError(f"{name} holds values that are not finite")
            array = array.astype(np.float32, copy=False)
        return array

    @property
    def size(self) -> int:
        """The number of values."""
        return math.prod(self.shape)
