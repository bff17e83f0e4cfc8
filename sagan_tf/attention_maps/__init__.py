"""What an attention layer attends to, as pictures and as a page. NumPy and Pillow only."""

from sagan_tf.attention_maps.figures import attention_grid, overlay
from sagan_tf.attention_maps.geometry import choose_positions, position_at, sides, to_pixels

__all__ = ["attention_grid", "choose_positions", "overlay", "position_at", "sides", "to_pixels"]
