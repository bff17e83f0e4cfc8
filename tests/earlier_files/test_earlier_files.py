"""Files that version 0.1.0 wrote (see README.md beside this) are read, and give what they gave then."""

import pathlib
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf import data, layers, networks, train
from sagan_tf.evaluation import reference, samples
from sagan_tf.inspection import comparison
from sagan_tf.metrics import features
from sagan_tf.runs import restoring, run_files

HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def expected():
    with np.load(HERE / "expected.npz") as arrays:
        return dict(arrays)


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """A copy of the run; paths in its configuration are relative to this directory."""
    monkeypatch.chdir(HERE)
    return str(shutil.copytree(HERE / "run", tmp_path / "run"))


def assert_near(found, wanted, relative=1e-5):
    np.testing.assert_allclose(found, wanted, rtol=relative, atol=relative * np.abs(wanted).max())


@pytest.mark.parametrize(("ema", "images"), [(True, "images"), (False, "raw_images")])
def test_run_gives_the_same_networks(expected, ema, images):
    run = restoring.restore(str(HERE / "run"), "latest", ema=ema)
    assert run.step == 4 and run.class_names == ("bars", "discs")
    assert run.config.fast_forms == "auto"  # it names none: decided when it is read
    assert run.generator.fast == run.discriminator.fast == (not tf.config.list_physical_devices("GPU"))
    z, labels = expected["z"], expected["labels"]
    assert_near(run.generator(z, labels, training=False), expected[images])
    assert_near(run.discriminator(expected["images"], labels), expected["scores"])


def test_run_is_trained_on(workdir, capsys, eagerly):
    """With the optimizers' state, the records, the old statistics of training and the old scores."""
    config = run_files.read_config(workdir)
    config = type(config)(**vars(config) | {"workdir": workdir, "train_steps": 5, "evaluate_every_steps": 0})
    assert train.main(config, {"workdir", "train_steps"}) == 0
    assert "from step 4" in capsys.readouterr().out
    assert restoring.restore(workdir).step == 5


def test_run_is_compared(workdir):
    (run,) = comparison.read_runs([workdir])
    assert [line["step"] for line in run.lines] == [2, 4]
    assert [score["metric"] for score in run.scores] == 2 * ["frechet_distance"] + ["classifier_score"]
    assert [panel.title for panel in comparison.panels([run], ["scores"])] == 2 * ["frechet_distance"] + [
        "classifier_score"
    ]


def test_exported_model_gives_the_same_images(expected):
    generator = samples.from_saved_model(str(HERE / "export" / "1"))
    drawn = generator.generate(tf.constant(expected["z"]), tf.constant(expected["labels"]))
    levels = [samples.to_uint8(images).numpy().astype(int) for images in (drawn, expected["images"])]
    assert np.abs(np.subtract(*levels)).max() <= 1


def test_keras_files_give_the_same_networks(expected):
    z, labels, images = expected["z"], expected["labels"], expected["images"]
    generator = keras.saving.load_model(HERE / "generator.keras")
    assert type(generator) is networks.Generator
    assert_near(generator(z, labels, training=False), images)
    discriminator = keras.saving.load_model(HERE / "discriminator.keras")
    assert type(discriminator) is networks.Discriminator
    assert_near(discriminator(images, labels), expected["scores"])


def test_keras_file_holds_every_layer(expected):
    """Found by the names that they are registered under, whatever module they lie in."""
    model = keras.saving.load_model(HERE / "layers.keras")
    registered = {getattr(layers, name) for name in layers.__all__ if name not in NOT_REGISTERED}
    assert registered <= {type(layer) for layer in model.layers}
    output, embedding = model([expected["layer_image"], expected["labels"], expected["layer_vector"]])
    assert_near(output, expected["layer_output"])
    assert_near(embedding, expected["layer_embedding"])


NOT_REGISTERED = {
    "ATTENTION_FORMS",
    "SpectrallyNormalized",
    "SpectralNorm",
}  # a table, a base class, a newer one


def test_records_hold_the_same_pixels(expected):
    dataset = data.open_dataset(f"records:{HERE / 'records'}", image_size=32)
    assert tuple(dataset.class_names) == ("bars", "discs")
    pixels, labels = dataset.read(np.arange(dataset.num_examples))
    np.testing.assert_array_equal(pixels, expected["pixels"])
    np.testing.assert_array_equal(labels, expected["pixel_labels"])


def test_classifier_and_reference_fit_together(expected):
    network = features.load_network(str(HERE / "classifier"))
    found, logits = network(expected["pixels"])
    assert_near(found, expected["features"])
    assert_near(logits, expected["logits"])
    statistics = reference.Reference(str(HERE / "reference.h5"))
    statistics.check(network, 32)
    assert statistics.has_features and statistics.class_names == ("bars", "discs")
    np.testing.assert_array_equal(statistics.gaussian().mean, expected["mean"])
    np.testing.assert_allclose(statistics.gaussian().covariance(), expected["covariance"], rtol=1e-12)
