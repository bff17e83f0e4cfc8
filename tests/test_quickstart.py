"""The quick start's flagfile makes digits: slow, run it with `-m slow`."""

import pathlib

import numpy as np
import pytest
from PIL import Image
from sklearn import datasets, model_selection, svm

from sagan_tf import cli, train
from sagan_tf.config import Config

ROOT = pathlib.Path(__file__).resolve().parent.parent


def shrink(images):
    """float32 (n, 32, 32, 3) in [-1, 1] -> (n, 64) in [0, 1]: back to the 8x8 of the real digits."""
    grey = ((images.mean(axis=-1) + 1) * 127.5).clip(0, 255).astype(np.uint8)
    small = [np.asarray(Image.fromarray(image).resize((8, 8), Image.Resampling.BOX)) for image in grey]
    return np.reshape(small, (len(small), 64)) / 255.0


@pytest.mark.slow
def test_samples_are_the_digits_that_were_asked_for(tmp_path):
    with pytest.raises(SystemExit) as stop:
        flags = [f"--flagfile={ROOT / 'flags' / 'digits.cfg'}", f"--workdir={tmp_path}"]
        cli.run(train.main, Config, "", program="sagan_tf.train", argv=flags)
    assert stop.value.code == 0
    agreement, variety = judge(tmp_path)
    print(f"agreement {agreement:.3f}, variety {variety:.2f}")
    assert agreement >= 0.95
    assert variety >= 0.5


def judge(workdir):
    """Share of 1,000 EMA samples that an SVM gives the class asked for, and their variety.

    Variety is the standard deviation of a pixel within a class, mean over pixels and classes, as a
    share of that of the real images as training sees them.
    """
    from sagan_tf import data, experiment

    digits = datasets.load_digits()
    pixels = digits.data / 16.0
    learn, hold, learn_labels, hold_labels = model_selection.train_test_split(
        pixels, digits.target, test_size=0.3, random_state=0, stratify=digits.target
    )
    classifier = svm.SVC(C=10).fit(learn, learn_labels)
    assert classifier.score(hold, hold_labels) >= 0.95
    run = experiment.restore(str(workdir))
    labels = np.arange(1000, dtype=np.int32) % 10
    z = np.random.default_rng(1).standard_normal((1000, run.config.z_dim)).astype(np.float32)
    images = [run.generator(z[i : i + 100], labels[i : i + 100]).numpy() for i in range(0, 1000, 100)]
    samples = np.concatenate(images)
    real = list(data.open_dataset("digits", image_size=32).once(256))
    real_images, real_labels = (np.concatenate(part) for part in zip(*real, strict=True))

    def spread(x, y):
        return np.mean([x[y == label].std(axis=0).mean() for label in range(10)])

    variety = spread(samples, labels) / spread(real_images * (2 / 255), real_labels)
    return classifier.score(shrink(samples), labels), variety
