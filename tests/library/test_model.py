"""`load`, `train` and `evaluate` against the commands, and what they say of mistakes."""

import shutil

import numpy as np
import pytest

import sagan_tf
from sagan_tf import export, sample, train
from sagan_tf.inspection import source as sources
from sagan_tf.library import commands
from sagan_tf.runs.config import Config
from sagan_tf.system import options
from tests import tiny_run
from tests.earlier_files.test_earlier_files import HERE


@pytest.fixture(scope="module")
def workdir(finished_run):
    return str(finished_run[0])


@pytest.fixture(scope="module")
def exported(workdir, tmp_path_factory):
    """The directory of a version, by `Model.export`."""
    return sagan_tf.load(workdir).export(tmp_path_factory.mktemp("export") / "digits", also=["keras"])


def assert_within_one_level(images, expected):
    """Batches of other sizes round otherwise on some machines."""
    np.testing.assert_allclose(images.astype(int), expected.astype(int), rtol=0, atol=1)


def test_samples_are_those_of_the_command(workdir, tmp_path, capsys):
    command = f"--workdir={workdir} --what=npz --samples_per_class=2 --classes=3,1 --seed=5 --truncation=0.7"
    asked, given = options.parse(sample.Options, [*command.split(), f"--output={tmp_path}"])
    assert sample.main(asked, given) == 0
    (file,) = tmp_path.glob("*.npz")
    model = sagan_tf.load(workdir)
    images = model.sample(["3", 1], n=4, seed=5, truncation=0.7)
    assert images.dtype == np.uint8 and images.shape == (4, 32, 32, 3)
    with np.load(file) as arrays:
        written = arrays["images"] if "images" in arrays else arrays["arr_0"]
    assert_within_one_level(images, written)
    assert model.class_names == tuple("0123456789") and model.step == 8 and model.conditional
    assert_within_one_level(model.sample("3", n=1, seed=5, truncation=0.7), images[:1])


def test_run_export_and_keras_file_are_one_model(workdir, exported):
    of_run = sagan_tf.load(workdir)
    expected, seen = of_run.sample(n=3).astype(int), of_run.attention(n=3)
    assert seen.labels.tolist() == [0, 1, 2] and seen.maps[16].shape == (3, 256, 64)
    np.testing.assert_array_equal(seen.images, expected)
    folder = exported.rpartition("/")[0]
    for path in (exported, folder, f"{exported}/generator.keras"):
        model = sagan_tf.load(path)
        assert (model.class_names, model.image_size, model.z_dim) == (tuple("0123456789"), 32, 8)
        assert np.abs(model.sample(n=3).astype(int) - expected).max() <= 1
        np.testing.assert_allclose(model.attention(n=3).maps[16], seen.maps[16], atol=1e-4)
        with pytest.raises(ValueError, match="holds no run; only runs are exported"):
            model.export("elsewhere")


def test_three_lines_train_a_run_that_the_command_takes_up(tmp_path, capsys, eagerly):
    workdir = tmp_path / "run"
    config = Config(
        **vars(options.parse(Config, [*tiny_run.PLAIN, f"--workdir={workdir}"])[0]) | {"train_steps": 2}
    )
    model = sagan_tf.train(config)
    assert model.step == 2 and model.sample(n=1).shape == (1, 32, 32, 3)
    flagfile = tmp_path / "tiny.cfg"
    flagfile.write_text("\n".join(tiny_run.PLAIN))
    assert sagan_tf.train(flagfile, workdir=workdir, train_steps=4).step == 4
    assert callable(train) and train.main and sagan_tf.train is train  # the command's module, callable


def test_evaluate_gives_the_lines_that_it_adds(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(HERE)
    workdir = str(shutil.copytree(HERE / "run", tmp_path / "run"))
    arguments = {"metrics": ["is"], "inception": "classifier", "num_samples": 8, "splits": 2}
    (line,) = sagan_tf.evaluate(sagan_tf.load(workdir), **arguments)
    assert (line["samples"], line["step"]) == (8, 4) and np.isfinite(line["value"])
    (again,) = sagan_tf.evaluate(workdir, **arguments)
    assert again["value"] == line["value"]
    (other,) = sagan_tf.evaluate("export/1", output=str(tmp_path / "scores.jsonl"), **arguments)
    assert other["value"] == pytest.approx(line["value"], rel=1e-3)


def test_commands_use_the_weights_that_were_loaded(workdir, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(sagan_tf.evaluate, "main", lambda options, given: asked.append((options, given)))
    monkeypatch.setattr(export, "main", lambda options, given: (asked.append((options, given)), 1 / 0))
    for weights, statistics in (("raw", "moving"), ("ema", "estimated")):
        monkeypatch.setattr(
            sources,
            "from_run",
            lambda *arguments, found=sources.from_run: found(
                *arguments[:3],
                "moving",  # estimating takes long
            ),
        )
        model = sagan_tf.load(workdir, weights=weights, batch_statistics=statistics)
        sagan_tf.evaluate(
            model, metrics=["is"], inception=f"{HERE}/classifier", output=str(tmp_path / "scores.jsonl")
        )
        options, given = asked[-1]
        assert (options.weights, options.batch_statistics, options.checkpoint) == (weights, statistics, "8")
        assert {"weights", "batch_statistics"} <= given
    with pytest.raises(ZeroDivisionError):
        model.export(tmp_path / "export")
    assert asked[-1][0].batch_statistics == "estimated"


def test_a_change_counts_also_where_it_is_the_default(tmp_path):
    config = Config(workdir=str(tmp_path), evaluate_every_steps=300)
    changed, given = commands._read(config, {"evaluate_every_steps": 0, "train_steps": 1_000_000})
    assert changed.evaluate_every_steps == 0
    assert given == {"workdir", "evaluate_every_steps", "train_steps"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model.sample(classes="ten"), "^classes=ten: no such class; allowed are names"),
        (lambda model: model.sample(classes=[10]), "^classes=10: no such class; .* numbers from 0 to 9$"),
        (lambda model: model.sample(n=0), "^n=0: must be at least 1"),
        (lambda model: model.sample(truncation=-1), "^truncation=-1: must be a positive number"),
        (lambda model: model.sample(batch_size=0), "^batch_size=0: must be at least 1"),
        (
            lambda model: model.export("x", precison="float32"),
            "^precison: no such option; did you mean precision",
        ),
        (lambda model: model.export("x", precision="int8"), "^precision=int8: allowed are float32, bfloat16"),
        (lambda model: sagan_tf.load("nowhere"), "^path=nowhere: no such directory"),
        (lambda model: sagan_tf.load("nowhere.keras"), "^path=nowhere.keras: no such file"),
        (lambda model: sagan_tf.load(model.path, checkpoint=5), "^checkpoint=5: allowed are latest, best, "),
        (lambda model: sagan_tf.load(model.path, weights="mean"), "^weights='mean': allowed are ema, raw"),
        (lambda model: sagan_tf.train("nowhere.cfg"), "^config=nowhere.cfg: no such file"),
        (lambda model: sagan_tf.train(Config()), "^workdir is missing"),
        (
            lambda model: sagan_tf.train(Config(), train_step=1),
            "^train_step: no such option; did you mean train_steps",
        ),
        (
            lambda model: sagan_tf.train(model.config, z_dim=9),
            "^workdir=.*: holds a run of another configuration",
        ),
        (lambda model: sagan_tf.evaluate(model, metrics=["fids"]), "^metrics=fids: allowed are"),
        (lambda model: sagan_tf.evaluate("nowhere"), "^generated=nowhere: no such folder"),
    ],
)
def test_mistakes_are_value_errors_without_flags(workdir, call, message):
    with pytest.raises(ValueError, match=message) as error:
        call(sagan_tf.load(workdir))
    assert "--" not in str(error.value) and "\n" not in str(error.value)


def test_a_keras_file_of_something_else_is_refused():
    with pytest.raises(ValueError, match="holds Discriminator, not a Generator"):
        sagan_tf.load(HERE / "discriminator.keras")
    assert sagan_tf.load(HERE / "generator.keras").sample(n=1).shape == (1, 32, 32, 3)
    assert export.Options is not None
