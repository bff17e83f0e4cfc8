"""Networks small enough for the tests of metrics."""

import keras
import pytest
import tensorflow as tf

from sagan_tf.metrics import classifier, features
from tests.metrics.shapes import CLASSES, SIZE


@pytest.fixture(scope="session")
def classifier_folder(tmp_path_factory):
    """The SavedModel of an untrained classifier of three classes."""
    keras.utils.set_random_seed(1)
    model = classifier.Classifier(SIZE, len(CLASSES), width=4)
    model(tf.zeros((1, SIZE, SIZE, 3)))
    folder = tmp_path_factory.mktemp("classifier") / "model"
    about = {"name": "shapes classifier", "image_size": SIZE, "class_names": CLASSES}
    classifier.save(model, str(folder), about)
    return str(folder)


@pytest.fixture(scope="session")
def network(classifier_folder):
    return features.load_network(classifier_folder)


class _Inception(tf.Module):
    """Stands for Inception: its outputs, its one image size, and its features in four dimensions."""

    def __init__(self):
        super().__init__()
        self.scale = tf.Variable(tf.linspace(0.5, 1.5, 2048))

    @tf.function(input_signature=[tf.TensorSpec((None, 299, 299, 3), tf.float32)])
    def __call__(self, images):
        means = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)  # (b, 1, 1, 1)
        return {"pool_3": means * self.scale, "logits": tf.tile(means[:, 0, 0], (1, 1008))}


@pytest.fixture(scope="session")
def inception_folder(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("inception") / "model")
    tf.saved_model.save(_Inception(), folder)
    return folder
