"""A small residual classifier, for features of data that Inception does not know, and for the CAS."""

import json
import os
import shutil
import typing

import keras
import numpy as np
import tensorflow as tf

from sagan_tf.metrics.features import CLASSIFIER_FILE, FEATURES, LOGITS, resize
from sagan_tf.networks.pixels import from_uint8
from sagan_tf.system import files
from sagan_tf.system.errors import writing

_LAYOUT = "channels_last"  # set here, so keras.json does not matter
_LEARNING_RATE = 2e-3
_WEIGHT_DECAY = 0.05
_WARM_UP_SHARE = 0.1
_MAXIMAL_SHIFT = 1 / 8  # of the image size


class Classifier(keras.Model):
    """A stem, one stage for each halving of the resolution down to 4, then the mean over positions.

    A stage is conv3x3, batch norm, ReLU, max-pool and a residual pair of such blocks; the number of
    channels doubles with each stage up to eight times `width`.

    Args:
      image_size: height and width of its images, at least 8.
      classes: number of classes.
      width: channels of the stem.
    """

    def __init__(self, image_size: int, classes: int, width: int):
        super().__init__()
        self.image_size, self.classes = image_size, classes
        self.num_features = min(width * 2 ** int(np.log2(image_size // 4)), 8 * width)
        self.stem = _conv_block(width)
        self.stages = []
        while image_size >= 8:
            width = min(2 * width, self.num_features)
            inner = [_conv_block(width) for _ in range(2)]
            self.stages.append((_conv_block(width), keras.layers.MaxPooling2D(data_format=_LAYOUT), inner))
            image_size //= 2
        self.top = keras.layers.Dense(classes, dtype="float32")

    def call(self, images, training=False):
        """float32 (b, H, W, 3) in [-1, 1] -> {"logits": (b, classes), "pool_3": (b, features)}, float32."""
        x = self.stem(images, training=training)
        for down, pool, inner in self.stages:
            x = y = pool(down(x, training=training))  # pooled after ReLU: the maximum commutes with it
            for block in inner:
                y = block(y, training=training)
            x = x + y
        features = tf.cast(tf.reduce_mean(x, axis=(1, 2)), tf.float32)
        return {LOGITS: self.top(features), FEATURES: features}


def _conv_block(width: int) -> keras.Sequential:
    return keras.Sequential(
        [
            keras.layers.Conv2D(width, 3, padding="same", use_bias=False, data_format=_LAYOUT),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
        ]
    )


def fit(batches: tf.data.Dataset, model: Classifier, *, steps: int, flip: bool, seed: int, report) -> None:
    """Trains a classifier: AdamW, cosine schedule with warm-up, shifts by up to an eighth of the image.

    Args:
      batches: endless (images float32 (b, size, size, 3) in [-1, 1], labels int32 (b,)), shuffled.
      model: what to train.
      steps: number of updates.
      flip: whether images are also mirrored at random.
      seed: of the shifts and flips.
      report: called with a line now and then.
    """
    warm_up = max(1, int(steps * _WARM_UP_SHARE))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warm_up), warmup_target=_LEARNING_RATE, warmup_steps=warm_up
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=_WEIGHT_DECAY)
    model(tf.zeros((1, model.image_size, model.image_size, 3)))
    optimizer.build(model.trainable_variables)

    @tf.function
    def step(images, labels, number):
        images = _augment(images, model.image_size, flip, tf.stack([tf.cast(seed, tf.int64), number]))
        with tf.GradientTape() as tape:
            logits = model(images, training=True)[LOGITS]
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
            loss = tf.reduce_mean(losses)
        variables = [variable.value for variable in model.trainable_variables]
        optimizer.apply(tape.gradient(loss, variables), model.trainable_variables)
        return loss

    for number, (images, labels) in enumerate(batches.take(steps), 1):
        loss = step(images, labels, tf.constant(number, tf.int64))
        if number % max(1, steps // 10) == 0:
            report(f"classifier: step {number}/{steps}, loss {float(loss):.3f}")


def _augment(images, image_size: int, flip: bool, seed):
    """Shifts, and perhaps mirrors, each image of (b, H, W, 3) by itself."""
    margin = max(1, int(image_size * _MAXIMAL_SHIFT))
    padded = tf.pad(images, ((0, 0), (margin, margin), (margin, margin), (0, 0)), "REFLECT")
    count = tf.shape(images)[0]
    corner = tf.random.stateless_uniform((count, 2), seed, 0, 2 * margin + 1, tf.int32)
    rows = corner[:, :1] + tf.range(image_size)  # (b, H)
    columns = corner[:, 1:] + tf.range(image_size)  # (b, W)
    if flip:
        mirrored = tf.random.stateless_uniform((count, 1), seed + 1) < 0.5
        columns = tf.where(mirrored, columns[:, ::-1], columns)
    return tf.gather(tf.gather(padded, rows, batch_dims=1), columns, axis=2, batch_dims=1)


def accuracy(model: Classifier, batches: typing.Iterable) -> tuple[float, int]:
    """Share of (uint8 images (b, H, W, 3), labels (b,)) that the classifier gets right, and their number."""

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)])
    def predict(images):
        return tf.argmax(model(resize(images, model.image_size))[LOGITS], axis=1)

    right = total = 0
    for images, labels in batches:
        predicted = predict(images).numpy()
        right += int(np.sum(predicted == np.asarray(labels)))
        total += len(predicted)
    return right / total, total


def save(model: Classifier, directory: str, about: dict) -> None:
    """Writes a SavedModel that `features.FeatureNetwork` reads, into a directory that does not exist yet.

    It is called with uint8 images [0, 255] or float32 images [-1, 1] of (b, size, size, 3), and
    returns `logits` and `pool_3`. It has no resize of its own: `features.resize` brings images to
    its size. `classifier.json` beside it holds `about`: name, image_size, class_names and how it was made.

    Raises:
      UserError: the directory cannot be written.
    """
    size = model.image_size
    module = tf.Module()
    module.model_variables = [variable.value for variable in model.variables]  # tracked, so saved

    @tf.function(autograph=False)
    def call(images):
        if images.dtype == tf.uint8:
            images = from_uint8(images)
        return model(images)

    as_floats, as_bytes = (
        call.get_concrete_function(tf.TensorSpec((None, size, size, 3), dtype, "images"))
        for dtype in (tf.float32, tf.uint8)
    )
    module.__call__ = call
    partial = f"{directory}{files.PARTIAL}"
    with writing("output", directory):
        shutil.rmtree(partial, ignore_errors=True)  # left by a killed process
        tf.saved_model.save(module, partial, signatures={"serving_default": as_floats, "uint8": as_bytes})
        with open(os.path.join(partial, CLASSIFIER_FILE), "w", encoding="utf-8") as file:
            json.dump(about, file, indent=1)
        files.publish(partial, directory)
