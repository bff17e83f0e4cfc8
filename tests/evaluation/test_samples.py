"""Where generated images come from: the i-th is the same whatever the batch; folders; SavedModels."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sagan_tf.evaluation import samples
from sagan_tf.system.errors import UserError
from tests.agreement import assert_pictures_agree
from tests.metrics.shapes import make_images


def _generator(z_dim=6, conditional=True):
    """Each image shows its own z and label, so the tests can tell them apart."""

    def generate(z, labels):
        shades = tf.tanh(z[:, :3] + tf.cast(labels, tf.float32)[:, None])
        return tf.tile(shades[:, None, None, :], (1, 8, 8, 1))

    return samples.SampledGenerator(generate, z_dim, 8, conditional)


def _draw(batch_size, truncation=0.0, seed=3, count=23):
    labels = samples.draw_labels("uniform", count, 4, seed, None)
    drawn = samples.GeneratorSamples(_generator(), labels, seed, truncation)
    return np.concatenate(list(drawn.batches(batch_size))), drawn


def test_batch_size_does_not_matter():
    images, drawn = _draw(23)
    assert images.shape == (23, 8, 8, 3) and images.dtype == np.uint8 and drawn.count == 23
    for batch_size in (1, 7, 64):
        assert_pictures_agree(images, _draw(batch_size)[0])


def test_more_samples_begin_with_the_same_ones():
    assert_pictures_agree(_draw(16, count=40)[0][:23], _draw(16)[0])


def test_seed_matters():
    assert (_draw(23)[0] != _draw(23, seed=4)[0]).any()
    for distribution in ("uniform", "reference"):
        first, second = (samples.draw_labels(distribution, 50, 4, seed, np.arange(4)) for seed in (3, 4))
        assert (first != second).any()


def test_images_are_of_truncated_z():
    images, drawn = _draw(23, truncation=0.5)
    largest = (np.tanh(drawn.labels[:, None] + 0.5) + 1) * 127.5
    smallest = (np.tanh(drawn.labels[:, None] - 0.5) + 1) * 127.5
    shades = images[:, 0, 0]
    assert (smallest - 1 < shades).all() and (shades < largest + 1).all()


def test_z_is_normal_and_independent():
    z = samples.draw_z(np.arange(4000), 0, 8, 0.0).numpy()
    assert np.abs(z.mean(axis=0)).max() < 0.08 and np.abs(z.std(axis=0) - 1).max() < 0.05
    assert np.abs(np.corrcoef(z.T) - np.eye(8)).max() < 0.08


@pytest.mark.parametrize("limit", [0.5, 2.0])
def test_truncated_z_is_the_normal_within_the_limit(limit):
    z = samples.draw_z(np.arange(3000), 0, 8, limit).numpy()
    assert np.isfinite(z).all() and np.abs(z).max() <= limit * (1 + 1e-5)
    normal = np.random.default_rng(0).normal(size=200_000)
    expected = normal[np.abs(normal) <= limit]
    quantiles = np.linspace(0.05, 0.95, 19)
    np.testing.assert_allclose(np.quantile(z, quantiles), np.quantile(expected, quantiles), atol=0.03)


def test_distributions_of_classes():
    real = np.array([0, 0, 0, 2], np.int32)
    uniform = np.bincount(samples.draw_labels("uniform", 4000, 4, 0, None))
    assert (np.abs(uniform - 1000) < 120).all() and not (uniform == 1000).all()
    assert np.bincount(samples.draw_labels("balanced", 10, 4, 0, None)).tolist() == [3, 3, 2, 2]
    as_real = np.bincount(samples.draw_labels("reference", 4000, 4, 0, real), minlength=4)
    assert as_real[1] == as_real[3] == 0 and abs(as_real[0] - 3000) < 150
    with_unknown = np.array([-1, 0, 0, -1, 0, 2, -1], np.int32)
    as_known = np.bincount(samples.draw_labels("reference", 4000, 4, 0, with_unknown), minlength=4)
    assert (as_known == as_real).all()


def test_images_are_rounded_as_in_a_file():
    values = np.array([-1.2, -1, -0.9999, 0.0, 0.5, 1, 1.5], np.float32)
    images = tf.constant(np.tile(values[:, None, None, None], (1, 2, 2, 3)))
    generator = samples.SampledGenerator(lambda z, labels: images, 2, 2, False)
    (drawn,) = samples.GeneratorSamples(generator, np.zeros(7, np.int32), 0, 0.0).batches(7)
    assert drawn[:, 0, 0, 0].tolist() == [0, 0, 0, 128, 191, 255, 255]


def test_unconditional_images_have_no_labels():
    assert (
        samples.GeneratorSamples(_generator(conditional=False), np.zeros(4, np.int32), 0, 0.0).labels is None
    )


def _write(folder, images, names):
    for image, name in zip(images, names, strict=True):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / name)


def test_folder_with_classes(tmp_path):
    images = make_images(6)
    _write(tmp_path, images, [f"{name}/{i}.png" for name in ("b", "a") for i in range(3)])
    folder = samples.FolderSamples(str(tmp_path), 100, 0)
    folder.name_classes(("z", "b", "a"))
    assert (folder.count, folder.image_size) == (6, 16)
    assert folder.labels.tolist() == [2, 2, 2, 1, 1, 1]
    np.testing.assert_array_equal(np.concatenate(list(folder.batches(4))), images[[3, 4, 5, 0, 1, 2]])
    folder = samples.FolderSamples(str(tmp_path), 100, 0)
    folder.name_classes(("a", "c"))
    assert folder.labels is None


def test_some_of_a_folder(tmp_path):
    images = make_images(8)
    _write(tmp_path, images, [f"{i}.png" for i in range(8)])
    first, again, other = (samples.FolderSamples(str(tmp_path), 3, seed) for seed in (0, 0, 1))
    assert first.count == 3 and first.labels is None
    (chosen,) = first.batches(10)
    np.testing.assert_array_equal(chosen, next(again.batches(10)))
    assert (chosen != next(other.batches(10))).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: Image.new("RGB", (12, 12)).save(folder / "x.png"), "x.png: is 12x12, "),
        (lambda folder: (folder / "x.png").write_bytes(b"no image"), "x.png: cannot be read as an image"),
        (lambda folder: (folder / "x.png").write_bytes(b""), "x.png: cannot be read as an image"),
        (
            lambda folder: Image.new("1", (19_000, 19_000)).save(folder / "x.png"),  # too large for Pillow
            "x.png: cannot be read as an image (damaged image (Image size",
        ),
    ],
)
def test_bad_folders_are_refused_before_any_work(change, message, tmp_path):
    _write(tmp_path, make_images(3), ["a.png", "b.png", "z.png"])
    change(tmp_path)
    with pytest.raises(UserError) as error:
        samples.FolderSamples(str(tmp_path), 100, 0)
    assert message in str(error.value)


def test_truncated_image_is_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3)).astype(np.uint8)
    _write(tmp_path, noise, ["a.png", "b.png", "c.png"])
    content = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(content[: len(content) // 2])
    folder = samples.FolderSamples(str(tmp_path), 100, 0)
    with pytest.raises(UserError, match="b.png"):
        list(folder.batches(2))


def test_oblong_and_missing_and_empty_folders(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        samples.FolderSamples(str(tmp_path / "none"), 100, 0)
    with pytest.raises(UserError, match="holds no images"):
        samples.FolderSamples(str(tmp_path), 100, 0)
    Image.new("RGB", (12, 16)).save(tmp_path / "x.png")
    with pytest.raises(UserError, match="12x16"):
        samples.FolderSamples(str(tmp_path), 100, 0)


class _Served(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, 6), tf.float32), tf.TensorSpec((None,), tf.int32)])
    def conditional(self, z, labels):
        return {"images": _generator().generate(z, labels)}

    @tf.function(input_signature=[tf.TensorSpec((None, 6), tf.float32)])
    def unconditional(self, z):
        return {"images": _generator().generate(z, tf.zeros_like(z[:, 0]))}

    @tf.function(input_signature=[tf.TensorSpec((None, 6), tf.float32)])
    def misnamed(self, noise):
        return {"images": _generator().generate(noise, tf.zeros_like(noise[:, 0]))}


def test_saved_model_gives_the_same_images_as_its_generator(tmp_path):
    served = _Served()
    tf.saved_model.save(served, str(tmp_path), {"serving_default": served.conditional})
    loaded = samples.from_saved_model(str(tmp_path))
    assert (loaded.z_dim, loaded.image_size, loaded.conditional) == (6, 8, True)
    labels = samples.draw_labels("uniform", 23, 4, 3, None)
    (images,) = samples.GeneratorSamples(loaded, labels, 3, 0.0).batches(23)
    assert_pictures_agree(images, _draw(23)[0])


def test_unconditional_saved_model(tmp_path):
    served = _Served()
    tf.saved_model.save(served, str(tmp_path), {"serving_default": served.unconditional})
    assert not samples.from_saved_model(str(tmp_path)).conditional


def test_other_saved_models_are_refused(tmp_path):
    served = _Served()
    tf.saved_model.save(served, str(tmp_path / "other"), {"serving_default": served.misnamed})
    with pytest.raises(
        UserError, match=r"needs a signature serving_default .* it has serving_default: noise -> images"
    ):
        samples.from_saved_model(str(tmp_path / "other"))
    tf.saved_model.save(served, str(tmp_path / "none"))
    with pytest.raises(UserError, match="it has none"):
        samples.from_saved_model(str(tmp_path / "none"))
    with pytest.raises(UserError, match="cannot be loaded"):
        samples.from_saved_model(str(tmp_path))
