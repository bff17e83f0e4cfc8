"""The command `evaluate`: runs, folders and SavedModels; every checkpoint once; mistakes in one line each."""

import dataclasses
import functools
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import unicodedata

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sagan_tf import evaluate
from sagan_tf.data import open_dataset
from sagan_tf.evaluation import pipeline, results
from sagan_tf.metrics import classification_accuracy, classifier, features, tfgan
from sagan_tf.runs import objects, run_files, training_data
from sagan_tf.runs.config import NO_DATASET, Config
from sagan_tf.system.devices import make_workers
from sagan_tf.system.errors import UserError
from sagan_tf.training.checkpoint import Checkpoints
from tests.commands import refused, run_command
from tests.conftest import ROOT

CONFIG = Config(
    precision="float32",
    dataset="digits",
    image_size=32,
    z_dim=8,
    generator_channels=1,
    discriminator_channels=1,
    generator_attention=(),
    discriminator_attention=(),
    batch_size=4,
    train_steps=20,
    devices="cpu:1",
)
DIGITS = tuple("0123456789")
BALANCED = "--class_distribution=balanced"


@pytest.fixture(scope="module")
def inception(tmp_path_factory):
    """An untrained classifier of digits, as a SavedModel."""
    keras.utils.set_random_seed(0)  # some weights see hardly a difference between seeds of z
    model = classifier.Classifier(32, 10, width=2)
    model(tf.zeros((1, 32, 32, 3)))
    folder = str(tmp_path_factory.mktemp("classifier") / "model")
    classifier.save(model, folder, {"name": "tiny classifier", "image_size": 32, "class_names": DIGITS})
    return folder


_load_network = functools.cache(features.load_network)  # once for all tests


@functools.cache
def _state():
    """One for all tests, and the averaged generator's weights at first."""
    state = objects.make_state(CONFIG, 10, make_workers("cpu:1").strategy)
    return state, state.ema_generator.get_weights()


class _Run:
    """A run's directory, to which checkpoints can be added."""

    def __init__(self, workdir, **changes):
        self.workdir = str(workdir)
        workdir.mkdir()
        self.config = dataclasses.replace(CONFIG, workdir=self.workdir, **changes)
        run_files.write_description(self.config, DIGITS)
        self.state, initial = _state()
        self.state.ema_generator.set_weights(initial)
        self.scores = os.path.join(self.workdir, "scores", "scores.jsonl")

    def save(self, step):
        """Adds a checkpoint, whose averaged generator is unlike that of every other step."""
        for variable in self.state.ema_generator.trainable_variables:
            variable.assign(variable + 0.001 * step * tf.random.stateless_normal(variable.shape, (step, 0)))
        run_files.checkpoints(self.workdir).save(self.state.checkpoint(), step)

    def lines(self):
        return results.read(self.scores)


@pytest.fixture
def run(tmp_path):
    made = _Run(tmp_path / "run")
    made.save(10)
    made.save(20)
    return made


@pytest.fixture
def command(inception, capfd, monkeypatch):
    """Runs the command in this process: exit code, standard output, standard error."""
    monkeypatch.setattr(features, "load_network", _load_network)

    def call(*arguments):
        arguments = [f"--inception={inception}", "--num_samples=60", *arguments]
        return run_command(evaluate, *arguments), *capfd.readouterr()

    return call


def _refusal(command, *arguments):
    code, _, error = command(*arguments)
    return refused("evaluate", code, error)


def test_scores_the_newest_checkpoint(run, command):
    code, out, error = command(f"--workdir={run.workdir}", "--metrics=is,fid,intra_fid", BALANCED)
    assert code == 0, error
    for part in (
        "step 20, EMA weights",
        "60 images",
        "digits train, 1,442 images",
        "tiny classifier",
        "frechet_distance",
    ):
        assert part in out
    assert "fid " not in out.replace("intra_fid_", "")  # no Inception, no FID
    lines = run.lines()
    assert [line["metric"] for line in lines] == [
        "classifier_score",
        "frechet_distance",
        "intra_frechet_distance",
    ]
    assert all(line["step"] == 20 and line["samples"] == 60 for line in lines)
    assert len(open(os.path.join(run.workdir, "scores", "intra_fid_00000020.csv")).readlines()) == 11
    assert len(os.listdir(os.path.join(run.workdir, "tensorboard", "evaluate"))) == 1


def test_same_score_whatever_the_batch_size_and_another_with_other_weights_or_samples(run, command):
    arguments = (f"--workdir={run.workdir}", "--metrics=fid")
    others = ("--weights=raw", "--checkpoint=10", "--seed=1", "--truncation=0.5", BALANCED)
    for more in ("--batch_size=60", "--batch_size=7", *others):
        assert command(*arguments, more)[0] == 0
    first, same, *others = [line["value"] for line in run.lines()]
    assert same == pytest.approx(first, rel=1e-4)
    assert all(abs(value / first - 1) > 1e-3 for value in others)


def test_all_and_again_only_what_is_new(run, command):
    arguments = (f"--workdir={run.workdir}", "--checkpoint=all", "--metrics=is")
    command(*arguments)
    assert [line["step"] for line in run.lines()] == [10, 20]
    command(*arguments)
    assert len(run.lines()) == 2
    run.save(15)
    command(*arguments[:2], "--metrics=is,fid")
    assert [(line["step"], line["metric"]) for line in run.lines()[2:]] == [
        (10, "frechet_distance"),
        (15, "classifier_score"),
        (15, "frechet_distance"),
        (20, "frechet_distance"),
    ]


def test_all_says_that_there_is_nothing_to_do(run, command):
    arguments = (f"--workdir={run.workdir}", "--checkpoint=all", "--metrics=is")
    assert "scored already" not in _evaluated(command, *arguments)
    assert f"2 checkpoints scored already, in {run.scores}\n" in _evaluated(command, *arguments)


def test_all_of_a_run_without_checkpoints_is_refused(tmp_path, command):
    run = _Run(tmp_path / "run")
    line = _refusal(command, f"--workdir={run.workdir}", "--checkpoint=all", "--metrics=is")
    assert f"--workdir={run.workdir}: has no checkpoint yet" in line


def test_all_are_also_those_that_are_kept_for_their_scores(run, command):
    """The best may be the only ones that are left."""
    arguments = (f"--workdir={run.workdir}", "--checkpoint=all", "--metrics=is")
    os.makedirs(os.path.join(run.workdir, "best"))
    os.rename(*(os.path.join(run.workdir, folder, "00000010") for folder in ("checkpoints", "best")))
    _evaluated(command, *arguments)
    assert [line["step"] for line in run.lines()] == [10, 20]
    shutil.rmtree(os.path.join(run.workdir, "checkpoints"))
    assert "1 checkpoint scored already" in _evaluated(command, *arguments)


def test_killed_at_any_result_nothing_is_skipped_or_repeated(run, command, monkeypatch):
    arguments = (f"--workdir={run.workdir}", "--watch", "--watch_every_seconds=0.1", "--metrics=is,fid")
    append, left = results.append, [3]

    def die_at_the_third(path, line):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        append(path, line)

    monkeypatch.setattr(results, "append", die_at_the_third)
    assert command(*arguments)[0] == 130
    assert len(run.lines()) == 2
    monkeypatch.setattr(results, "append", append)
    code, out, _ = command(*arguments)
    assert code == 0
    done = [(line["step"], line["metric"]) for line in run.lines()]
    assert sorted(done) == sorted(
        (step, metric) for step in (10, 20) for metric in ("classifier_score", "frechet_distance")
    )


def test_watch_scores_what_appears_and_ends_with_the_run(tmp_path, command):
    run = _Run(tmp_path / "run")  # no checkpoint yet

    def train():
        for step in (5, 10, 20):
            time.sleep(1.0)
            run.save(step)

    trainer = threading.Thread(target=train)
    trainer.start()
    code, _, error = command(
        f"--workdir={run.workdir}", "--watch", "--watch_every_seconds=0.1", "--metrics=is"
    )
    trainer.join()
    assert code == 0, error
    assert [line["step"] for line in run.lines()] == [5, 10, 20]


def test_damaged_checkpoint_is_left_out_and_the_others_are_scored(run, command):
    folder = os.path.join(run.workdir, "checkpoints", "00000010")
    name = next(name for name in os.listdir(folder) if "data" in name)
    with open(os.path.join(folder, name), "r+b") as file:
        file.truncate(100)
    os.makedirs(os.path.join(run.workdir, "checkpoints", "00000030.partial"))  # being written
    code, _, error = command(f"--workdir={run.workdir}", "--checkpoint=all", "--metrics=is")
    assert code == 1 and "step 10 is left out" in error and "Traceback" not in error
    assert [line["step"] for line in run.lines()] == [20]


def test_checkpoint_deleted_while_it_is_read_is_left_out(run, command, monkeypatch):
    verify = Checkpoints.verify

    def verify_and_train_on(saved, step):
        verify(saved, step)
        if step == 10:
            saved.delete(10)

    monkeypatch.setattr(Checkpoints, "verify", verify_and_train_on)
    code, _, error = command(f"--workdir={run.workdir}", "--checkpoint=all", "--metrics=is")
    assert code == 1 and "step 10 is left out" in error and "Traceback" not in error
    assert [line["step"] for line in run.lines()] == [20]


def _save_pictures(folder, count=40, size=32):
    dataset = open_dataset("digits", split="test", image_size=size)
    images, labels = next(iter(dataset.once(count)))
    for number, (image, label) in enumerate(zip(images.numpy(), labels.numpy(), strict=True)):
        path = folder / str(label) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)


def test_own_dataset_is_opened_as_the_run_opened_it(tmp_path, command, inception):
    _save_pictures(tmp_path / "real", size=64)
    (tmp_path / "real" / "3" / "bad.png").write_bytes(b"no picture")
    run = _Run(
        tmp_path / "run",
        dataset=f"folder:{tmp_path}/real",
        bad_images="skip",
        random_crop=True,
        train_steps=9,
    )
    run.save(9)
    arguments = {"folders": [os.path.join(run.workdir, "scores")]}
    of_training = pipeline.real_reference(
        objects.open_dataset(run.config), "train", _load_network(inception), ["fid"], **arguments
    )
    code, _, error = command(f"--workdir={run.workdir}", "--metrics=fid")
    assert code == 0, error
    (line,) = run.lines()
    assert line["reference"] == of_training.describe()
    assert line["reference"].endswith("train, 40 images, 32x32, centre cut from 36x36")
    folder = arguments["folders"][0]
    assert [name for name in os.listdir(folder) if name.endswith(".h5")] == [
        os.path.basename(of_training.path)
    ]
    (tmp_path / "real" / "3" / "bad.png").unlink()
    whole = open_dataset(run.config.dataset, image_size=32)
    other = pipeline.real_reference(whole, "train", _load_network(inception), ["fid"], **arguments)
    assert other.path != of_training.path and "cut" not in other.describe()


def test_a_run_is_compared_with_the_images_that_it_names(tmp_path, command):
    """As its scores while it was trained; what the user names wins."""
    run = _Run(tmp_path / "run", evaluate_reference="digits", evaluate_reference_split="test", train_steps=9)
    run.save(9)
    choices = ((), ("--reference=",), ("--reference_split=train",), ("--reference=digits",))
    for arguments in choices:
        code, _, error = command(f"--workdir={run.workdir}", "--metrics=fid", *arguments)
        assert code == 0, error
    named, empty, split, given = [line["reference"] for line in run.lines()]
    assert named.startswith("digits test") and empty == named
    assert split.startswith("digits train") and given == split
    changed = dataclasses.replace(run.config, evaluate_reference="folder:gone")
    run_files.write_description(changed, DIGITS)
    for arguments in choices[:-1]:
        line = _refusal(command, f"--workdir={run.workdir}", *arguments)
        assert "--evaluate_reference=folder:gone: no such folder" in line


def test_a_run_is_compared_with_its_own_split(tmp_path, command):
    run = _Run(tmp_path / "run", split="test")
    run.save(20)
    for arguments in ((), ("--reference=",), ("--reference_split=train",)):
        assert command(f"--workdir={run.workdir}", "--metrics=fid", *arguments)[0] == 0
    splits = [line["reference"].split(",")[0] for line in run.lines()]
    assert splits == ["digits test", "digits test", "digits train"]


def test_the_run_s_split_is_not_that_of_a_file(tmp_path, command):
    """A run may name a dataset with a split at first, and then a file."""
    run = _Run(tmp_path / "run", evaluate_reference="digits", evaluate_reference_split="test")
    run.save(20)
    assert command(f"--workdir={run.workdir}", "--metrics=fid")[0] == 0
    (file,) = (tmp_path / "run" / "scores").glob("*.h5")
    changed = dataclasses.replace(run.config, evaluate_reference=str(file))
    run_files.write_description(changed, DIGITS)
    code, _, error = command(f"--workdir={run.workdir}", "--metrics=fid")
    assert code == 0, error
    first, second = run.lines()
    assert first["value"] == second["value"] and first["step"] == second["step"]
    line = _refusal(command, f"--workdir={run.workdir}", "--reference_split=test")
    assert f"--reference_split=test: {file} is a file, which has no splits" in line


def test_a_run_that_was_imported_without_images(tmp_path, command):
    run = _Run(tmp_path / "run", dataset=NO_DATASET)
    run.save(20)
    line = _refusal(command, f"--workdir={run.workdir}", "--metrics=fid")
    assert "--reference is missing: the run was imported without images" in line
    assert "cas needs real images" in _refusal(command, f"--workdir={run.workdir}", "--metrics=cas")
    assert command(f"--workdir={run.workdir}", "--metrics=fid", "--reference=digits")[0] == 0


def test_images_of_a_run_are_found_from_another_directory(tmp_path, command, monkeypatch):
    _save_pictures(tmp_path / "real")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    run = _Run(tmp_path / "run", dataset="folder:real")
    dataset = open_dataset("folder:real", image_size=32)
    training_data.write(run.workdir, training_data.describe(run.config, dataset))
    run.save(20)
    monkeypatch.chdir(tmp_path / "elsewhere")
    code, _, error = command(f"--workdir={run.workdir}", "--metrics=fid")
    assert code == 0, error
    assert f"folder:{tmp_path}/real" in run.lines()[-1]["reference"]


def test_real_images_are_opened_only_for_metrics_that_compare_with_them(tmp_path, command, monkeypatch):
    run = _Run(tmp_path / "run", dataset="folder:/no/such", evaluate_reference="folder:/no/other")
    run.save(20)
    monkeypatch.setattr(classifier, "fit", lambda batches, model, **_: model(next(iter(batches))[0]))
    metrics = ("--metrics=is,agreement,cas", "--cas_dataset=digits")
    code, _, error = command(f"--workdir={run.workdir}", *metrics)
    assert code == 0, error
    assert [line["reference"] for line in run.lines()] == [None] * 3
    line = _refusal(command, f"--workdir={run.workdir}", "--metrics=is,fid")
    assert "--evaluate_reference=folder:/no/other: no such folder; --reference names other images" in line
    run_files.write_description(dataclasses.replace(run.config, evaluate_reference=""), DIGITS)
    line = _refusal(command, f"--workdir={run.workdir}", "--metrics=is,fid")
    assert "--dataset=folder:/no/such: no such folder; --reference names other images" in line


def test_folder(tmp_path, command):
    _save_pictures(tmp_path / "pictures")
    metrics = "--metrics=is,fid,kid,precision_recall,density_coverage,agreement"
    code, out, error = command(
        f"--generated={tmp_path}/pictures", "--reference=digits", metrics, "--num_samples=40"
    )
    assert code == 0, error
    assert "40 images" in out and "truncation" not in out
    lines = [json.loads(line) for line in open(f"{tmp_path}/pictures.scores.jsonl")]
    assert {"recall", "coverage", "agreement"} <= {line["metric"] for line in lines}
    assert all(line["truncation"] is None and line["step"] is None for line in lines)


def test_folder_refusals(tmp_path, command):
    folder = f"--generated={tmp_path}/pictures"
    assert "no such folder" in _refusal(command, folder, "--metrics=is", "--num_samples=40")
    _save_pictures(tmp_path / "pictures")
    assert "give --reference" in _refusal(command, folder, "--metrics=is,fid", "--num_samples=40")
    assert "holds 40 images" in _refusal(command, folder, "--metrics=is", "--num_samples=41")
    Image.new("RGB", (16, 16)).save(tmp_path / "pictures" / "3" / "x.png")
    assert "x.png: is 16x16" in _refusal(command, folder, "--metrics=is", "--num_samples=40")


class _Served(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, 8), tf.float32), tf.TensorSpec((None,), tf.int32)])
    def __call__(self, z, labels):
        return tf.tile(
            tf.tanh(z[:, None, None, :3] + tf.cast(labels, tf.float32)[:, None, None, None]), (1, 32, 32, 1)
        )


@pytest.mark.parametrize("flag", ["--truncation=0.5", "--class_distribution=balanced"])
def test_what_only_a_generator_has_is_refused_for_a_folder(tmp_path, command, flag):
    _save_pictures(tmp_path / "pictures", count=3)
    line = _refusal(command, f"--generated={tmp_path}/pictures", "--reference=digits", flag)
    assert f"{flag}: needs a generator" in line


def test_saved_model(tmp_path, command):
    model = _Served()
    tf.saved_model.save(model, str(tmp_path / "model"), {"serving_default": model.__call__})
    code, out, error = command(
        f"--generated={tmp_path}/model", "--reference=digits", "--metrics=fid", "--truncation=0.5"
    )
    assert code == 0, error
    assert "truncation 0.5" in out and os.path.isfile(tmp_path / "model.scores.jsonl")
    assert "--reference is missing" in _refusal(command, f"--generated={tmp_path}/model", "--metrics=is")


def test_classes_of_a_saved_model_are_those_of_the_reference(tmp_path, command):
    (tmp_path / "labels.txt").write_text("".join(f"{name}\n" for name in reversed(DIGITS)))
    model = _Served()
    model.class_names = tf.saved_model.Asset(str(tmp_path / "labels.txt"))
    tf.saved_model.save(model, str(tmp_path / "model"), {"serving_default": model.__call__})
    generated = f"--generated={tmp_path}/model"
    line = _refusal(command, generated, "--reference=digits", "--metrics=fid,intra_fid")
    assert "intra_fid needs a reference with the classes" in line and "another order" in line
    code, out, error = command(generated, "--reference=digits", "--metrics=fid")  # needs no classes
    assert code == 0 and "note: the real images have other classes" in out, error
    code, _, error = command(generated, "--metrics=is")  # it says itself what its classes are
    assert code == 0, error


def test_classification_accuracy(run, command, monkeypatch):
    seen = {}

    def fit(batches, model, *, steps, **_):
        images, labels = next(iter(batches))
        seen.update(steps=steps, shape=images.shape, low=float(tf.reduce_min(images)), labels=labels.numpy())
        model(images)

    monkeypatch.setattr(classifier, "fit", fit)
    code, out, error = command(f"--workdir={run.workdir}", "--metrics=cas", "--cas_epochs=5")
    assert code == 0, error
    assert "of 355 real images (digits test)" in out
    assert seen["steps"] == round(5 * 60 / 64) and seen["shape"][1:] == (32, 32, 3) and seen["low"] >= -1
    assert len(np.unique(seen["labels"])) > 3
    assert "is what the generator learnt" in _refusal(
        command, f"--workdir={run.workdir}", "--metrics=cas", "--cas_split=train"
    )


def test_classification_accuracy_on_a_folder(run, command, monkeypatch, tmp_path):
    monkeypatch.setattr(classifier, "fit", lambda batches, model, **_: model(next(iter(batches))[0]))
    _save_pictures(tmp_path / "test")
    arguments = (f"--workdir={run.workdir}", "--metrics=cas", f"--cas_dataset=folder:{tmp_path}/test")
    code, out, error = command(*arguments)  # which has no splits to be named
    assert code == 0, error
    assert f"of 40 real images (folder:{tmp_path}/test train)" in out
    assert "no splits" in _refusal(command, *arguments, "--cas_split=test")
    os.rename(tmp_path / "test" / "3", tmp_path / "test" / "three")
    line = _refusal(command, *arguments)
    assert "cas needs real test images with the classes" in line and "(10 instead of 10)" in line


def test_classification_accuracy_is_another_measurement_with_other_epochs_and_images(
    tmp_path, command, monkeypatch
):
    run = _Run(tmp_path / "run")
    run.save(20)
    monkeypatch.setattr(classification_accuracy, "classification_accuracy", lambda *_, **__: (0.5, 355))
    arguments = (f"--workdir={run.workdir}", "--metrics=cas,is", "--checkpoint=all")
    for more in (["--cas_epochs=5"], ["--cas_epochs=5"], ["--cas_epochs=0.5"], ["--cas_split=all"]):
        assert command(*arguments, *more)[0] == 0
    lines = run.lines()
    assert [line["real_test"] for line in lines if line["metric"] == "cas"] == [
        "digits test, after 5 epochs",
        "digits test, after 0.5 epochs",
        "digits all, after 15 epochs",
    ]
    assert [line["real_test"] for line in lines if line["metric"] != "cas"] == [None]


def test_reference_file_of_another_size_or_network_is_refused(run, command, tmp_path, inception):
    dataset = open_dataset("digits", split="test", image_size=64)
    network = features.FeatureNetwork(inception)
    other = pipeline.real_reference(dataset, "test", network, ["fid"], folders=[str(tmp_path)])
    line = _refusal(command, f"--workdir={run.workdir}", f"--reference={other.path}")
    assert "image_size 64 there, 32 here" in line
    dataset = open_dataset("digits", split="test", image_size=32)
    network.fingerprint = "another"
    other = pipeline.real_reference(dataset, "test", network, ["fid"], folders=[str(tmp_path)])
    assert "fingerprint another there" in _refusal(
        command, f"--workdir={run.workdir}", f"--reference={other.path}"
    )


def test_mistakes_are_one_line(tmp_path, run, command):
    assert "either --workdir" in _refusal(command)
    assert "either --workdir" in _refusal(command, "--workdir=a", "--generated=b")
    assert "needs --workdir" in _refusal(command, "--generated=b", "--watch")
    assert "allowed are latest, best, all" in _refusal(command, "--workdir=a", "--checkpoint=newest")
    assert "allowed are agreement, cas" in _refusal(command, "--workdir=a", "--metrics=FIDO")
    assert "holds no run" in _refusal(command, f"--workdir={tmp_path}")
    assert "--metrics=is,kid: kid needs at least 20 images; there are 19" in _refusal(
        command, f"--workdir={run.workdir}", "--metrics=is,kid", "--num_samples=19"
    )
    assert "allowed are latest" in _refusal(
        command, f"--workdir={run.workdir}", "--checkpoint=11", "--metrics=is"
    )
    assert run.lines() == []


def test_options_are_checked_without_tensorflow():
    with pytest.raises(UserError, match="--metrics=: is empty"):
        evaluate.Options(workdir="a", metrics=()).check()


def test_tfgan_computes_the_inception_metrics(tmp_path, command, monkeypatch, inception):
    """Whatever TF-GAN's functions say is the score: nothing of the project's own takes their place."""
    run = _Run(tmp_path / "run")
    run.save(20)
    monkeypatch.setattr(features, "load_network", features.FeatureNetwork)
    evaluation, seen = tfgan.evaluation(), []

    def run_inception(images, classifier_fn):
        seen.append((images.dtype, tuple(images.shape[1:])))
        return evaluation.run_classifier_fn(images, classifier_fn)

    monkeypatch.setattr(evaluation, "run_inception", run_inception)
    monkeypatch.setattr(evaluation, "classifier_score_from_logits", lambda logits: len(logits))
    monkeypatch.setattr(evaluation.classifier_metrics, "trace_sqrt_product", lambda a, b: -1e6)
    name = "kernel_classifier_distance_and_std_from_activations"
    monkeypatch.setattr(evaluation, name, lambda a, b, max_block_size: (100 * len(a) + len(b), None))
    code, out, error = command(f"--workdir={run.workdir}", "--metrics=is,fid,kid,agreement", "--splits=4")
    assert code == 0, error
    values = {line["metric"]: (line["value"], line["library"]) for line in run.lines()}
    library = f"TF-GAN {importlib.metadata.version('tensorflow-gan')}"
    assert values["classifier_score"] == (15, library) and values["kernel_distance"] == (606, library)
    assert values["frechet_distance"][0] > 1e3  # in the features' own unit, 2e6 times the mean variance
    assert values["frechet_distance"][1] == library and values["agreement"][1] is None
    assert seen == [(tf.float32, (32, 32, 3))] and f"computed   fid, is, kid by {library}" in out


def _evaluated(command, *arguments):
    code, out, error = command(*arguments)
    assert code == 0, error
    return out


def _replace_pictures(folder):
    """Other images under the same names, in files of the same size."""
    for path in folder.rglob("*.bmp"):
        with Image.open(path) as image:
            changed = Image.fromarray(255 - np.asarray(image))
        changed.save(path)


def _save_bitmaps(folder, count=40):
    _save_pictures(folder, count)
    for path in folder.rglob("*.png"):
        with Image.open(path) as image:
            image.save(path.with_suffix(".bmp"))
        path.unlink()


def test_images_that_were_replaced_are_measured_anew(tmp_path, command, monkeypatch):
    """In place, or by another working directory in which the same relative name stands for others."""
    run = _Run(tmp_path / "run", dataset="folder:real")
    run.save(20)
    _save_bitmaps(tmp_path / "here" / "real")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    _replace_pictures(tmp_path / "there" / "real")
    arguments = (f"--workdir={run.workdir}", "--checkpoint=all", "--metrics=is,fid")
    for folder in ("here", "there", "here"):
        monkeypatch.chdir(tmp_path / folder)
        _evaluated(command, *arguments)
    _replace_pictures(tmp_path / "here" / "real")  # now it holds what the other does
    _evaluated(command, *arguments)
    first, second = (line for line in run.lines() if line["metric"] == "frechet_distance")
    assert len(run.lines()) == 3  # the Inception score compares with nothing
    assert first["reference"] == second["reference"] and abs(second["value"] / first["value"] - 1) > 1e-3
    assert results.measure(first) != results.measure(second)


def test_a_run_under_another_name_is_not_scored_twice(run, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("run", "run/", "./run", str(tmp_path / "run")):
        _evaluated(command, f"--workdir={name}", "--checkpoint=all", "--metrics=is,fid", "--output=all.jsonl")
        _evaluated(command, f"--workdir={name}", "--checkpoint=all", "--metrics=fid")
    os.rename("run", "moved")
    _evaluated(command, "--workdir=moved", "--checkpoint=all", "--metrics=is,fid", "--output=all.jsonl")
    _evaluated(command, "--workdir=moved", "--checkpoint=all", "--metrics=fid")
    lines = results.read("all.jsonl")
    assert len(lines) == 4 and {line["source"] for line in lines} == {"run"}
    assert len(results.read("moved/scores/scores.jsonl")) == 2
    assert len([name for name in os.listdir("moved/scores") if name.endswith(".h5")]) <= 1


def test_another_run_of_the_same_name_is_scored_anew(tmp_path, command):
    values = []
    for step in (1, 2):  # other weights
        run = _Run(tmp_path / "run", train_steps=step)
        run.save(step)
        os.rename(run_files.checkpoints(run.workdir).path(step), run_files.checkpoints(run.workdir).path(7))
        arguments = (f"--workdir={run.workdir}", "--checkpoint=all", "--metrics=agreement,is")
        _evaluated(command, *arguments, f"--output={tmp_path}/all.jsonl")
        values.append([line["value"] for line in results.read(str(tmp_path / "all.jsonl"))])
        shutil.rmtree(run.workdir)
    assert len(values[0]) == 2 and len(values[1]) == 4


def test_images_of_the_working_directory(command, tmp_path, monkeypatch):
    """Nothing is written among them; results stand beside the folder, under its name."""
    folder = tmp_path / "pictures"
    _save_pictures(folder)
    before = sorted(folder.rglob("*"))
    monkeypatch.chdir(folder)
    for _ in range(2):
        code, _, error = command("--generated=.", "--reference=digits", "--metrics=fid", "--num_samples=40")
        assert code == 0, error
    assert sorted(folder.rglob("*")) == before and (tmp_path / "pictures.scores.jsonl").is_file()
    line = _refusal(command, "--generated=.", "--reference=digits", "--metrics=fid", "--output=s.jsonl")
    assert "--output=s.jsonl: lies within ., among the images" in line


def test_a_message_names_the_option_that_was_given(run, command):
    arguments = (f"--workdir={run.workdir}", "--metrics=fid", "--reference=digits")
    assert "--reference_split=foo" in _refusal(command, *arguments, "--reference_split=foo")


def test_a_run_that_cannot_be_written(run, command, tmp_path):
    """Files stand where its folders would be made."""
    for name in ("scores", "tensorboard"):
        open(os.path.join(run.workdir, name), "w").close()
    line = _refusal(command, f"--workdir={run.workdir}")
    assert f"--workdir={run.workdir}: " in line and "scores.jsonl cannot be written (Not a directory)" in line
    code, _, error = command(f"--workdir={run.workdir}", "--metrics=fid", f"--output={tmp_path}/out/s.jsonl")
    assert code == 0 and "not in TensorBoard" in error, error
    assert sorted(name[:9] for name in os.listdir(tmp_path / "out")) == ["reference", "s.jsonl"]


def test_mistakes_are_seen_before_tensorflow_is_imported(run, tmp_path, inception):
    """And so before a network is fetched, a reference computed or an image drawn."""
    (tmp_path / "file").write_text("")
    (tmp_path / "export" / "7").mkdir(parents=True)
    (tmp_path / "export" / "7" / "saved_model.pb").touch()
    workdir, network = {"workdir": run.workdir}, {"inception": inception}
    cas = {"metrics": ("cas",)}
    gone = str(tmp_path / "gone")
    mistakes = {
        "holds no run": {"workdir": gone},
        "allowed are latest, best, 10, 20": workdir | network | {"checkpoint": "11"},
        "has no best checkpoint": workdir | network | {"checkpoint": "best"},
        "no such file, and no dataset": workdir | network | {"reference": "gone.h5"},
        f"--reference={tmp_path}: no such file, and no dataset; did you mean folder:{tmp_path}?": workdir
        | network
        | {"reference": str(tmp_path)},
        "--reference=folder:gone: no such folder": workdir | network | {"reference": "folder:gone"},
        "--reference_split=test: folder:": workdir
        | network
        | {"reference": f"folder:{tmp_path}", "reference_split": "test"},
        "--weights=raw: needs --workdir": network | {"generated": str(tmp_path), "weights": "raw"},
        "--batch_statistics=estimated: needs --workdir": network
        | {"generated": str(tmp_path), "batch_statistics": "estimated"},
        f"is an export; name its version, {tmp_path}/export/7": network
        | {"generated": f"{tmp_path}/export", "reference": "digits"},
        "--cas_split=test: folder:": workdir
        | network
        | cas
        | {"cas_dataset": f"folder:{tmp_path}", "cas_split": "test"},
        "--cas_dataset=npz:gone: no such file": workdir | network | cas | {"cas_dataset": "npz:gone"},
        "--cas_epochs=5.0: belongs to the metric cas": workdir | network | {"cas_epochs": 5.0},
        "cannot be written (Not a directory)": workdir | network | {"output": f"{tmp_path}/file/s.jsonl"},
        "cannot be written (Is a directory)": workdir | network | {"output": str(tmp_path)},
        f"--inception={gone}: no such folder": workdir | {"inception": gone},
        "is not a SavedModel": workdir | {"inception": str(tmp_path)},
        "kid needs at least 20 images": workdir | network | {"metrics": ("kid",), "num_samples": 19},
        "--generated=": network | {"generated": gone},
    }
    program = (
        "import json, sys; from sagan_tf import evaluate\n"
        "for text, options in json.load(sys.stdin).items():\n"
        "    try:\n"
        "        evaluate.Options(**options).check()\n"
        "    except evaluate.UserError as error:\n"
        "        assert text in str(error), (text, str(error))\n"
        "    else:\n"
        "        raise SystemExit(text)\n"
        "raise SystemExit('tensorflow' if 'tensorflow' in sys.modules else 0)"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, input=json.dumps(mistakes), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_any_number_of_devices_gives_the_same_lines(run, command, tmp_path):
    """60 images in batches of 8: the last is short, and no number of devices divides them."""
    arguments = (f"--workdir={run.workdir}", "--metrics=is,fid", "--batch_size=8")
    files = {count: tmp_path / str(count) / "scores.jsonl" for count in (1, 3)}
    for count, file in files.items():
        _evaluated(command, *arguments, f"--output={file}", f"--devices=cpu:{count}")
    one, three = ([line | {"time": 0} for line in results.read(str(file))] for file in files.values())
    assert len(one) == 2 and one == three
    _evaluated(command, *arguments, f"--output={files[1]}", "--devices=cpu:2", "--checkpoint=all")
    assert [line["step"] for line in results.read(str(files[1]))] == [20, 20, 10, 10]  # 20 not anew


def test_devices_that_are_not_here(run, command, monkeypatch):
    monkeypatch.setattr(features, "load_network", None)  # fails when it is called
    for devices, text in (
        ("gpu:9", "TensorFlow sees 0 GPUs here; allowed are only auto"),
        ("gpu", "allowed"),
    ):
        assert f"--devices={devices}: {text}" in _refusal(
            command, f"--workdir={run.workdir}", f"--devices={devices}"
        )


def test_only_metrics_of_classes_need_classes_that_agree(run, command, tmp_path, monkeypatch):
    _save_pictures(tmp_path / "flat")
    os.rename(tmp_path / "flat", tmp_path / "classes")
    (tmp_path / "flat").mkdir()
    for number, path in enumerate((tmp_path / "classes").rglob("*.png")):
        shutil.copy(path, tmp_path / "flat" / f"{number}.png")
    arguments = (f"--workdir={run.workdir}", f"--reference=folder:{tmp_path}/flat")
    metrics = "is,fid,kid,precision_recall,density_coverage"
    out = _evaluated(command, *arguments, f"--metrics={metrics}")
    assert "note: the real images have other classes (1 instead of 10)" in out
    monkeypatch.setattr(features, "load_network", None)  # fails when it is called
    line = _refusal(command, *arguments, "--metrics=fid,intra_fid")
    assert "intra_fid needs a reference with the classes of the generated images" in line
    generated = (f"--generated={tmp_path}/flat", "--reference=digits", "--num_samples=40")
    assert "intra_fid needs the class of each image" in _refusal(command, *generated, "--metrics=intra_fid")
    line = _refusal(command, arguments[0], "--metrics=cas", f"--cas_dataset=folder:{tmp_path}/flat")
    assert "cas needs real test images with the classes" in line


def test_classes_that_are_only_numbers_agree_with_as_many_names(run, command, tmp_path):
    """Those of imported weights, say."""
    _save_pictures(tmp_path / "real", 100)
    for number, name in enumerate(sorted(os.listdir(tmp_path / "real"))):
        os.rename(tmp_path / "real" / name, tmp_path / "real" / ("abcdefghij"[number]))
    arguments = (f"--workdir={run.workdir}", f"--reference=folder:{tmp_path}/real", "--metrics=intra_fid")
    out = _evaluated(command, *arguments, BALANCED)
    assert "note: one side has only numbers for names of classes" in out


def test_both_unicode_forms_of_a_class_are_one(tmp_path, command, monkeypatch):
    for form in ("NFC", "NFD"):
        _save_pictures(tmp_path / form, 100)
        os.rename(tmp_path / form / "9", tmp_path / form / unicodedata.normalize(form, "café"))
    arguments = (f"--generated={tmp_path}/NFC", f"--reference=folder:{tmp_path}/NFD", "--num_samples=100")
    _evaluated(command, *arguments, "--metrics=intra_fid")
    (line,) = results.read(f"{tmp_path}/NFC.scores.jsonl")
    assert line["value"] == 0.0


def test_a_set_against_its_own_copy(tmp_path, command):
    """With each image six times, so all radii are 0."""
    _save_pictures(tmp_path / "real", 30)
    for path in list((tmp_path / "real").rglob("*.png")):
        for copy in range(5):
            shutil.copy(path, path.with_name(f"{copy}_{path.name}"))
    shutil.copytree(tmp_path / "real", tmp_path / "copy")
    metrics = "--metrics=fid,intra_fid,precision_recall,density_coverage"
    arguments = (f"--generated={tmp_path}/copy", f"--reference=folder:{tmp_path}/real")
    _evaluated(command, *arguments, metrics, "--num_samples=180", "--batch_size=50")
    values = {line["metric"]: line["value"] for line in results.read(f"{tmp_path}/copy.scores.jsonl")}
    assert values.pop("density") > 0.9
    assert values == {
        "frechet_distance": 0.0,
        "intra_frechet_distance": 0.0,
        "precision": 1.0,
        "recall": 1.0,
        "coverage": 1.0,
    }


def test_watch_waits_for_the_run_and_ends_when_it_diverged(tmp_path, command):
    def train():
        time.sleep(0.5)
        run = _Run(tmp_path / "run")
        run.save(5)
        line = {"step": 7, "time": time.time(), "reason": "the discriminator has won"}
        results.append(os.path.join(run.workdir, "divergence.jsonl"), line)

    trainer = threading.Thread(target=train)
    trainer.start()
    out = _evaluated(
        command, f"--workdir={tmp_path}/run", "--watch", "--watch_every_seconds=0.1", "--metrics=is"
    )
    trainer.join()
    assert f"waiting for a run in {tmp_path}/run" in out
    assert f"{tmp_path}/run: the run diverged at step 7 (the discriminator has won)" in out
    assert [line["step"] for line in results.read(f"{tmp_path}/run/scores/scores.jsonl")] == [5]
