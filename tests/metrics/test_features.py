"""The networks that see the images: loading, resizing, fingerprints, and what is refused."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.metrics import features
from sagan_tf.system.errors import UserError
from tests.metrics.shapes import make_images


def _bilinear(image, size):
    """Bilinear interpolation with half-pixel centres, to a larger size; written out."""
    source = image.shape[0]
    place = np.clip((np.arange(size) + 0.5) * source / size - 0.5, 0, source - 1)
    low = np.floor(place).astype(int)
    high, share = np.minimum(low + 1, source - 1), place - low
    rows = image[low] * (1 - share)[:, None, None] + image[high] * share[:, None, None]
    return rows[:, low] * (1 - share)[None, :, None] + rows[:, high] * share[None, :, None]


def test_resize_is_bilinear_with_half_pixel_centres():
    images = make_images(2)
    expected = np.stack([_bilinear(image * (2 / 255) - 1, 299) for image in images])
    np.testing.assert_allclose(features.resize(tf.constant(images), 299), expected, atol=1e-5)


def test_resize_to_a_smaller_size_averages():
    """Without the wider filter every second pixel of a chequerboard would be dropped."""
    board = np.indices((32, 32)).sum(axis=0) % 2 * 255
    images = np.repeat(board[None, :, :, None], 3, axis=3).astype(np.uint8)
    inner = features.resize(tf.constant(images), 8).numpy()[:, 1:-1, 1:-1]
    np.testing.assert_allclose(inner, 0.0, atol=0.05)


def test_resize_to_the_same_size_only_scales():
    images = make_images(2)
    np.testing.assert_allclose(features.resize(tf.constant(images), 16), images * (2 / 255) - 1, atol=1e-6)


def test_inception_gets_299_and_is_called_inception(inception_folder):
    network = features.load_network(inception_folder)  # it refuses every other size
    assert network.is_inception and network.image_size == 299
    assert network.resize(32) == network.resize(299) == "to 299x299, tf.image.resize bilinear"
    assert network.resize(512) == "to 299x299, tf.image.resize bilinear, not antialiased"
    images = make_images(3)
    pool, logits = network(images)
    assert pool.shape == (3, 2048) and logits.shape == (3, 1008)
    np.testing.assert_allclose(pool[:, 0] * 2, images.mean(axis=(1, 2, 3)) * (2 / 255) - 1, atol=1e-3)


def test_inception_sees_what_tfgan_sees(inception_folder):
    """TF-GAN's own resizing, by its callers' `tf.image.resize`, drops pixels of images larger than 299."""
    network, images = features.load_network(inception_folder), make_images(2, size=512)
    images[:, ::2] //= 2
    seen = tf.image.resize(images * (2 / 255) - 1, (299, 299))
    pool, _ = network(images)
    np.testing.assert_allclose(pool[:, 0] * 2, tf.reduce_mean(seen, axis=(1, 2, 3)), atol=1e-5)
    assert np.abs(pool[:, 0] * 2 - images.mean(axis=(1, 2, 3)) * (2 / 255) + 1).max() > 1e-4  # antialiased


def test_classifier_keeps_its_name(network):
    assert not network.is_inception and network.name == "shapes classifier"
    assert network.class_names == ("circle", "square", "star")
    assert network.image_size == 16 and network.resize(32).endswith("bilinear, antialiased")


def test_a_classifier_sees_every_pixel_of_larger_images(network):
    """Without the wider filter of `resize` these dots would lie between the pixels that it takes."""
    dots = np.zeros((1, 64, 64, 3), np.uint8)
    dots[:, ::4, ::4] = 255
    assert np.abs(network(dots)[0] - network(np.zeros_like(dots))[0]).max() > 1e-3


def test_features_do_not_depend_on_the_batch(network):
    images = make_images(9)
    whole, _ = network(images)
    one_by_one = np.concatenate([network(images[i : i + 1])[0] for i in range(9)])
    np.testing.assert_allclose(whole, one_by_one, atol=1e-5)


def test_fingerprint_follows_the_weights_and_not_the_place(
    classifier_folder, inception_folder, tmp_path, network
):
    copy = str(tmp_path / "copy")
    shutil.copytree(classifier_folder, copy)
    assert features.load_network(copy).fingerprint == network.fingerprint
    assert features.load_network(inception_folder).fingerprint != network.fingerprint
    with open(f"{copy}/variables/variables.data-00000-of-00001", "r+b") as file:
        file.write(b"\1")
    assert features.fingerprint(copy) != network.fingerprint


class _Other(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 3), tf.float32)])
    def __call__(self, images):
        return {"pool_3": images[:, 0, 0], "classes": images[:, 0, 0]}


class _Unnamed(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, 299, 299, 3), tf.float32)])
    def __call__(self, images):
        return images[:, 0, 0]


class _Text(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def __call__(self, words):
        return {"logits": words, "pool_3": words}


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (_Other, "no output logits, but classes, pool_3"),
        (_Unnamed, "no output logits or pool_3, but (unnamed)"),
        (_Text, "does not take float32 images"),
        (tf.Module, "cannot be called and has no signature"),
    ],
)
def test_other_models_are_refused_in_a_line(module, message, tmp_path):
    module = module()
    kwargs = {"signatures": module.__call__} if isinstance(module, _Other) else {}
    tf.saved_model.save(module, str(tmp_path), **kwargs)
    with pytest.raises(UserError) as error:
        features.load_network(str(tmp_path))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(UserError, match="saved_model.pb is missing"):
        features.load_network(str(tmp_path))
    (tmp_path / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="cannot be loaded"):
        features.load_network(str(tmp_path))


def test_damaged_description_is_refused(classifier_folder, tmp_path):
    shutil.copytree(classifier_folder, tmp_path / "copy")
    (tmp_path / "copy" / "classifier.json").write_text('{"name": "x"}')
    with pytest.raises(UserError, match="classifier.json cannot be used"):
        features.load_network(str(tmp_path / "copy"))


def test_no_network_names_both_ways_out(monkeypatch, tmp_path):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    with pytest.raises(UserError) as error:
        features.load_network("https://127.0.0.1:9/inception/1")
    assert "give the unpacked directory" in str(error.value) and "sagan_tf.train_classifier" in str(
        error.value
    )
