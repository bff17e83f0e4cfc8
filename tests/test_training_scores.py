"""Scores during training: in every report, each step once, and the best checkpoint is kept."""

import dataclasses
import json
import os

import pytest
import tensorflow as tf

from sagan_tf import cli, data, experiment, train
from sagan_tf.config import Config
from sagan_tf.distribution import make_workers
from sagan_tf.metrics import classifier, results
from sagan_tf.training.summaries import Reporter
from sagan_tf.training_scores import TrainingScores

TINY = (
    "--image_size=32 --batch_size=4 --z_dim=8 --generator_channels=1 --discriminator_channels=1"
    " --generator_attention= --discriminator_attention= --summary_every_steps=2 --sample_every_steps=6"
    " --checkpoint_every_steps=6 --steps_per_call=2 --devices=cpu:1 --train_steps=6"
    " --evaluate_every_steps=2 --evaluate_metrics=fid,agreement --evaluate_samples=60"
).split()


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """An untrained classifier of digits, as a SavedModel."""
    model = classifier.Classifier(32, 10, width=2)
    model(tf.zeros((1, 32, 32, 3)))
    folder = str(tmp_path_factory.mktemp("classifier") / "model")
    about = {"name": "tiny classifier", "image_size": 32, "class_names": tuple("0123456789")}
    classifier.save(model, folder, about)
    return folder


def run(capfd, *arguments):
    with pytest.raises(SystemExit) as stop:
        cli.run(train.main, Config, train.__doc__, program="sagan_tf.train", argv=arguments)
    out, error = capfd.readouterr()
    return stop.value.code, out, error


def test_training_is_scored_and_the_best_is_kept(network, tmp_path, capfd):
    workdir = str(tmp_path / "run")
    code, out, error = run(capfd, *TINY, f"--workdir={workdir}", f"--inception={network}")
    assert code == 0, error
    assert out.count("frechet_distance") == 3 and "tiny classifier" in out
    lines = results.read(os.path.join(workdir, "scores", "scores.jsonl"))
    scores = {line["step"]: line["value"] for line in lines if line["metric"] == "frechet_distance"}
    assert sorted(scores) == [2, 4, 6]
    best = min(scores, key=scores.get)
    assert experiment.best_checkpoints(workdir).steps() == [best]
    assert experiment.restore(workdir, "best").step == best
    with open(os.path.join(workdir, "metrics.jsonl")) as file:
        reported = [line for line in map(json.loads, file) if "scores/frechet_distance" in line]
    assert {line["step"]: line["scores/frechet_distance"] for line in reported} == scores


def test_a_step_is_scored_once_and_the_best_outlives_a_kill(network, tmp_path):
    config = Config(
        workdir=str(tmp_path),
        image_size=32,
        z_dim=8,
        generator_channels=1,
        discriminator_channels=1,
        generator_attention=(),
        discriminator_attention=(),
        evaluate_every_steps=1,
        evaluate_metrics=("agreement",),
        best_metric="agreement",
        evaluate_samples=20,
        keep_best_checkpoints=2,
        inception=network,
    )
    digits = data.open_dataset("digits", image_size=32)
    state = experiment.make_state(config, 10, make_workers("cpu:1").strategy)

    def scores():
        return TrainingScores(config, state, digits, Reporter(str(tmp_path), 0))

    first = scores()
    first(1)
    first(2)
    path = tmp_path / "scores" / "scores.jsonl"
    before = path.read_text()
    again = scores()
    again(2)
    assert path.read_text() == before
    again(3)
    assert path.read_text().count("\n") == before.count("\n") + 1
    assert len(experiment.read_best(str(tmp_path))) == 2
    kept = {step for step, _ in experiment.read_best(str(tmp_path))}
    assert kept == set(experiment.best_checkpoints(str(tmp_path)).steps())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--best_metric=kid"],
            "--best_metric=kid: is not measured; allowed with these --evaluate_metrics are fid, agreement",
        ),
        (["--evaluate_metrics=agreement", "--best_metric=agreement", "--inception=/no/model"], "/no/model"),
        (["--evaluate_samples=1"], "--evaluate_samples=1: must be at least 2"),
    ],
)
def test_mistakes_show_before_the_first_step(network, tmp_path, capfd, flags, message):
    code, out, error = run(capfd, *TINY, f"--workdir={tmp_path / 'run'}", f"--inception={network}", *flags)
    assert code == 2 and message in error and "Traceback" not in error, error
    assert "step 2/6" not in out


def test_no_best_yet(tmp_path):
    config = dataclasses.replace(Config(), workdir=str(tmp_path))
    experiment.write_description(config, ("a",))
    with pytest.raises(experiment.UserError, match="has no best checkpoint"):
        experiment._find_checkpoint(str(tmp_path), "best")
