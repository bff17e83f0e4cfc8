"""Samples, scores, attention and exports of a run are of one function, whatever the run's precision."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf import attention, data, evaluate, export, sample
from sagan_tf.evaluation import pipeline, results
from sagan_tf.evaluation.run_scoring import RunScorer
from sagan_tf.evaluation.scoring import Scorer
from sagan_tf.evaluation.training_scores import TrainingScores
from sagan_tf.inspection import source
from sagan_tf.metrics import classifier
from sagan_tf.metrics.catalog import metric_of
from sagan_tf.metrics.features import load_network
from sagan_tf.monitoring.summaries import Reporter
from sagan_tf.runs import objects, restoring, run_files
from sagan_tf.runs.config import Config
from sagan_tf.system import cli
from sagan_tf.system.devices import make_workers
from sagan_tf.system.errors import UserError

COUNT = 20


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run in bfloat16 at step 5: its configuration, state and dataset, and a network that sees digits."""
    folder = tmp_path_factory.mktemp("bfloat16")
    digits = data.open_dataset("digits", image_size=32)
    model = classifier.Classifier(32, 10, width=2)
    model(tf.zeros((1, 32, 32, 3)))
    about = {"name": "tiny classifier", "image_size": 32, "class_names": digits.class_names}
    classifier.save(model, str(folder / "network"), about)
    config = Config(
        workdir=str(folder / "run"),
        image_size=32,
        z_dim=8,
        generator_channels=1,
        discriminator_channels=1,
        generator_attention=(16,),
        discriminator_attention=(),
        precision="bfloat16",
        inception=str(folder / "network"),
        evaluate_every_steps=1,
        evaluate_metrics=("agreement",),
        best_metric="agreement",
        evaluate_samples=COUNT,
    )
    state = objects.make_state(config, 10, make_workers("cpu:1").strategy)
    state.ema_generator.last_norm.gain.assign(tf.fill(state.ema_generator.last_norm.gain.shape, 20.0))
    run_files.checkpoints(config.workdir).save(state.checkpoint(), 5)
    run_files.write_description(config, digits.class_names)
    return config, state, digits


@pytest.fixture
def seen(monkeypatch):
    """The images that are scored, uint8."""
    images, original = [], Scorer.score

    def score(self, samples, *arguments, **keywords):
        images.append(np.concatenate(list(samples.batches(COUNT))))
        return original(self, samples, *arguments, **keywords)

    monkeypatch.setattr(Scorer, "score", score)
    return images


def _samples(config, **keywords) -> np.ndarray:
    """The same z and labels as `sagan_tf.sample` draws them."""
    generator = source.from_run(config.workdir, "latest", True, **keywords).generator
    scorer = Scorer(None, None, (), range(10))
    drawn = pipeline.generator_samples(scorer, generator, num_samples=COUNT)
    return np.concatenate(list(drawn.batches(COUNT)))


def test_evaluate_scores_the_images_of_sample(run, seen, tmp_path):
    config, _, digits = run
    scorer = Scorer(load_network(config.inception), None, ("agreement",), digits.class_names)
    evaluated = evaluate.Options(workdir=config.workdir, metrics=("agreement",), num_samples=COUNT)
    output = str(tmp_path / "scores.jsonl")
    RunScorer(
        config.workdir,
        scorer,
        lambda generator: pipeline.generator_samples(scorer, generator, num_samples=COUNT),
        evaluate._protocol(evaluated, scorer, config.image_size),
        ema=True,
        output=output,
        batch_statistics="moving",
        devices=(None,),
    ).score("latest")
    expected = _samples(config)
    assert expected.std() > 10
    np.testing.assert_array_equal(seen[0], expected)
    (line,) = results.read(output)
    assert (line["precision"], line["batch_statistics"]) == ("float32", "moving")


def test_training_scores_the_images_of_sample(run, seen, tmp_path):
    config, state, digits = run
    config = dataclasses.replace(config, workdir=str(tmp_path))
    scores = TrainingScores(config, state, digits, Reporter(str(tmp_path), 0))
    scores(5)
    np.testing.assert_array_equal(seen[0], _samples(run[0]))
    state.ema_generator.last_norm.gain.assign(tf.fill(state.ema_generator.last_norm.gain.shape, 10.0))
    scores(6)  # it follows what is trained
    assert (seen[1] != seen[0]).any()
    lines = results.read(str(tmp_path / "scores" / "scores.jsonl"))
    assert [(line["step"], line["precision"]) for line in lines] == [(5, "float32"), (6, "float32")]


def test_scores_of_an_earlier_version_are_not_the_same_measurement(run):
    """Those of a bfloat16 run were measured in bfloat16, and its lines say nothing of it."""
    config, _, digits = run
    scorer = Scorer(load_network(config.inception), None, ("agreement",), digits.class_names)
    evaluated = evaluate.Options(workdir=config.workdir, metrics=("agreement",))
    protocol = evaluate._protocol(evaluated, scorer, config.image_size).replace(**results.EXPORTED)
    line = {"metric": "agreement"} | protocol.of_metric(metric_of("agreement")).fields()
    assert results.missing([line], ["agreement"], protocol) == []
    old = {key: value for key, value in line.items() if key not in ("precision", "batch_statistics")}
    assert results.missing([old], ["agreement"], protocol) == ["agreement"]
    described = results.describe(protocol)
    assert "computed in float32" in described and "moving batch statistics" in described


def test_estimated_statistics_are_those_of_the_weights(run, monkeypatch):
    estimate = functools.partial(restoring.estimate_statistics, batches=30)
    monkeypatch.setattr(restoring, "estimate_statistics", estimate)
    moving = restoring.restore(run[0].workdir).generator
    estimated = restoring.restore(run[0].workdir, batch_statistics="estimated").generator
    again = restoring.restore(run[0].workdir, batch_statistics="estimated").generator
    z = np.random.default_rng(0).standard_normal((200, 8)).astype(np.float32)
    labels = np.arange(200) % 10
    by_batch = estimated(z, labels, training=True, update_state=False).numpy()
    errors = [np.abs(network(z, labels).numpy() - by_batch).mean() for network in (estimated, moving)]
    assert errors[0] < 0.2 * errors[1]
    for one, other in zip(estimated.variables, again.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


@pytest.mark.parametrize("command", [attention, evaluate, export, sample])
def test_every_command_takes_them(command, run, tmp_path, monkeypatch, capfd):
    def restore(workdir, checkpoint="latest", ema=True, batch_statistics="moving"):
        raise UserError(f"asked for {batch_statistics} statistics")

    monkeypatch.setattr(restoring, "restore", restore)
    arguments = [f"--workdir={run[0].workdir}", "--batch_statistics=estimated"]
    if command is export:
        arguments.append(f"--export_dir={tmp_path}/model")
    if command is evaluate:
        arguments += ["--metrics=agreement", f"--inception={run[0].inception}"]
    with pytest.raises(SystemExit) as stop:
        cli.run(command.main, command.Options, command.__doc__, program=command.__name__, argv=arguments)
    assert stop.value.code == 2 and "asked for estimated statistics" in capfd.readouterr().err
