"""Drawing in batches, and classes that are mixtures."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf import data, sample
from sagan_tf.evaluation import samples
from sagan_tf.evaluation.compiled import callable_of
from sagan_tf.inspection import sample_folder
from sagan_tf.inspection.source import draw, mixed_classes
from sagan_tf.networks import Generator
from sagan_tf.pictures import to_uint8
from tests.agreement import ROUNDING, assert_pictures_agree


def network(**arguments):
    keras.utils.set_random_seed(0)
    made = Generator(32, channels=1, classes=3, z_dim=4, attention=(16,), **arguments)
    made.build()
    random = np.random.default_rng(0)
    for variable in made.trainable_variables:  # tables too: else all classes are the same
        variable.assign_add(0.3 * random.standard_normal(variable.shape))
    return made


def z_of(count):
    return np.random.default_rng(1).standard_normal((count, 4)).astype(np.float32)


def test_batches_do_not_matter_and_rows_stay_in_place():
    def generate(z, labels):
        shades = tf.tanh(z[:, :3] + tf.cast(labels, tf.float32)[:, None])
        return tf.tile(shades[:, None, None, :], (1, 2, 2, 1))

    generator = samples.SampledGenerator(generate, 4, 2, True)
    z, labels = z_of(11), np.arange(11, dtype=np.int32) % 3
    expected = to_uint8(np.tanh(z[:, :3] + labels[:, None]))
    for batch_size in (1, 4, 11, 64):
        images = draw(generator, z, labels, batch_size)
        assert images.shape == (11, 2, 2, 3)
        assert_pictures_agree(images[:, 1, 1], expected)


def test_no_more_images_are_drawn_than_are_wanted():
    sizes = []

    def generate(z, labels):
        sizes.append(len(z))
        return tf.zeros((len(z), 2, 2, 3))

    generator = samples.SampledGenerator(generate, 4, 2, True)
    draw(generator, z_of(2), np.zeros(2, np.int32), 5000)
    list(samples.GeneratorSamples(generator, np.zeros(2, np.int32), 0, 0.0).batches(5000))
    draw(generator, z_of(5), np.zeros(5, np.int32), 4)
    assert sizes == [2, 2, 4, 4]


@pytest.mark.parametrize("arguments", [{}, {"embedding_size": 5, "hierarchical_z": True}])
def test_an_unmixed_class_is_the_class(arguments):
    whole = network(**arguments)
    mixed = mixed_classes(whole, np.eye(3, dtype=np.float32)[[2, 0]])
    z = z_of(3)
    ours = callable_of(mixed).generate(z, np.array([1, 0, 0], np.int32))
    np.testing.assert_allclose(ours, whole(z, np.array([0, 2, 2]), training=False), atol=ROUNDING)
    assert np.abs(ours - whole(z, np.array([1, 1, 1]), training=False)).max() > 0.01


def test_a_mixture_is_the_class_whose_tables_are_mixed():
    whole, weights = network(), np.array([[0.25, 0.0, 0.75]], np.float32)
    mixed = mixed_classes(whole, weights)
    z = z_of(2)
    ours = mixed(z, np.zeros(2, np.int32), training=False)
    tables = 0
    for block in whole.blocks:
        for norm in (block.norm_1, block.norm_2):
            for table in (norm.gain, norm.bias):
                rows = table.numpy()
                rows[1] = 0.25 * rows[0] + 0.75 * rows[2]
                table.assign(rows)
                tables += 1
    assert tables == 12
    np.testing.assert_allclose(ours, whole(z, np.ones(2, np.int32), training=False), atol=ROUNDING)


def test_samples_of_any_class_are_read_as_images_of_it(tmp_path):
    """As of SUN397, whose classes are called /a/abbey."""
    names = ("/a/abbey", "..", "100%25", "größe", "do\u2028g", ".x")
    options = sample.Options(workdir="run", output=str(tmp_path / "out"))
    folder = sample_folder.Folder(options.output, options, record="sample.cfg")
    images = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), np.uint8)
    folder.write_images(images, np.arange(6), np.arange(6), names)
    read = samples.FolderSamples(folder.file("images"), 10, seed=0)
    read.name_classes(names)
    order = np.argsort(read.labels)
    assert read.labels[order].tolist() == list(range(6))
    np.testing.assert_array_equal(next(read.batches(6))[order], images)
    path = folder.write_npz(images, np.arange(6), names)
    assert data.open_dataset(f"npz:{path}", image_size=16).class_names == names
