"""Differentiable augmentation (Zhao et al. 2020, arXiv:2006.10738), ranges as in section 3 and its code.

D sees reals and fakes only after random changes, so that it cannot learn few images by heart. G's gradient
passes through the changes, so that G does not learn to make them.
"""

import tensorflow as tf

POLICIES = ("color", "translation", "cutout")
_TRANSLATION = 1 / 8  # largest shift, as a share of the side
_CUTOUT = 1 / 2  # side of the square that is cut out, as a share of the side


def augment(images: tf.Tensor, seed: tf.Tensor, policies=POLICIES) -> tf.Tensor:
    """Changes each image at random.

    Args:
      images: (B, H, W, C), [-1, 1], any floating type.
      seed: integer (2,), as for `tf.random.stateless_uniform`. The same seed gives the same changes, so
        reals, fakes and replicas need different seeds.
      policies: some of `POLICIES`. color: brightness +-0.5, then saturation x 0..2, then contrast x 0.5..1.5;
        values may leave [-1, 1]. translation: up to 1/8 of the side each way. cutout: a square of half the
        side, which may reach over an edge. Pixels that are moved in or cut out are 0, mid-grey.

    Returns:
      Images of the same shape and type.

    Raises:
      ValueError: an unknown policy.
    """
    for policy in policies:
        if policy not in POLICIES:
            raise ValueError(f"policy {policy!r}: allowed are {', '.join(POLICIES)}")
    seeds = tf.random.split(seed, num=3)
    if "color" in policies:
        images = _color(images, seeds[0])
    if "translation" in policies:
        images = _translate(images, seeds[1])
    if "cutout" in policies:
        images = _cut_out(images, seeds[2])
    return images


def _color(images, seed):
    # In float32, because of the means over many pixels.
    x = tf.cast(images, tf.float32)
    draws = tf.random.stateless_uniform((3, tf.shape(x)[0], 1, 1, 1), seed)
    x += draws[0] - 0.5
    grey = tf.reduce_mean(x, axis=3, keepdims=True)  # (B, H, W, 1)
    x = (x - grey) * (draws[1] * 2.0) + grey
    mean = tf.reduce_mean(x, axis=(1, 2, 3), keepdims=True)  # (B, 1, 1, 1)
    x = (x - mean) * (draws[2] + 0.5) + mean
    return tf.cast(x, images.dtype)


def _translate(images, seed):
    seeds = tf.random.split(seed, num=2)
    images = _shift(images, seeds[0])
    return tf.transpose(_shift(tf.transpose(images, (0, 2, 1, 3)), seeds[1]), (0, 2, 1, 3))


def _shift(images, seed):
    """Shifts each image along its height."""
    batch, height = tf.shape(images)[0], images.shape[1]
    largest = int(height * _TRANSLATION + 0.5)
    shift = tf.random.stateless_uniform((batch, 1), seed, -largest, largest + 1, tf.int32)
    # Row 0 of the padded image is 0, and so is row height + 1.
    rows = tf.clip_by_value(tf.range(height)[None] - shift + 1, 0, height + 1)  # (B, H)
    return tf.gather(tf.pad(images, ((0, 0), (1, 1), (0, 0), (0, 0))), rows, axis=1, batch_dims=1)


def _cut_out(images, seed):
    seeds = tf.random.split(seed, num=2)
    rows = _in_span(tf.shape(images)[0], images.shape[1], seeds[0])[:, :, None, None]
    columns = _in_span(tf.shape(images)[0], images.shape[2], seeds[1])[:, None, :, None]
    return images * tf.cast(~(rows & columns), images.dtype)


def _in_span(batch, side, seed):
    """Whether each place lies in a span of half the side around a random center: bool (B, side)."""
    length = int(side * _CUTOUT + 0.5)
    start = tf.random.stateless_uniform((batch, 1), seed, 0, side + 1 - length % 2, tf.int32) - length // 2
    places = tf.range(side)[None]
    return (places >= start) & (places < start + length)
