"""What networks compute, to be compared between processes whose Keras was set up in different ways.

Usage: keras_outputs.py FILE.npz HOW. HOW is `command`, or `library` for a program that imports the package.
"""

import dataclasses
import sys
import tempfile

import numpy as np


@dataclasses.dataclass(frozen=True)
class Options:
    """No options."""


def outputs() -> dict[str, np.ndarray]:
    """Images and logits of networks with random weights; the second logits are a SavedModel's."""
    import keras
    import tensorflow as tf

    from sagan_tf.metrics import classifier, features
    from sagan_tf.networks import Generator

    keras.utils.set_random_seed(0)
    generator = Generator(32, channels=1, classes=3, z_dim=4, attention=(8,))
    images = generator(tf.ones((2, 4)), tf.constant([0, 2]), training=True)
    model = classifier.Classifier(32, 3, width=1)
    logits = model(images, training=True)["logits"]
    with tempfile.TemporaryDirectory() as folder:
        about = {"name": "x", "image_size": 32, "class_names": ["a", "b", "c"]}
        classifier.save(model, f"{folder}/model", about)
        saved = features.load_network(f"{folder}/model")(tf.zeros((2, 32, 32, 3), tf.uint8))[1]
    return {"images": images.numpy(), "logits": logits.numpy(), "saved": np.asarray(saved)}


def main(options, given) -> int:
    """Writes the outputs to the file that the command line names."""
    del options, given
    np.savez(sys.argv[1], **outputs())
    return 0


if __name__ == "__main__":
    if sys.argv[2] == "command":
        from sagan_tf.system import cli

        cli.run(main, Options, "Writes outputs.", program="outputs", argv=[])
    np.savez(sys.argv[1], **outputs())
