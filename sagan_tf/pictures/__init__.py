"""Pictures from arrays: grids, captions, animations, attention drawn on images. NumPy and Pillow only."""

from sagan_tf.pictures.grids import (
    captioned_grid,
    enlarged,
    from_uint8,
    image_grid,
    save,
    save_animation,
    to_uint8,
)
from sagan_tf.pictures.text import write as write_text

__all__ = [
    "captioned_grid",
    "enlarged",
    "from_uint8",
    "image_grid",
    "save",
    "save_animation",
    "to_uint8",
    "write_text",
]
