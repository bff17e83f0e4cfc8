"""Scores during training: in every report, each step once, and the best checkpoint is kept."""

import json
import os

import pytest
import tensorflow as tf

from sagan_tf import data
from sagan_tf.data.subset import draw
from sagan_tf.evaluation import results, training_scores
from sagan_tf.evaluation.pipeline import score_and_keep
from sagan_tf.evaluation.training_scores import TrainingScores
from sagan_tf.metrics import classifier
from sagan_tf.monitoring.guards import Diverged, Guards
from sagan_tf.monitoring.samples import Sampler
from sagan_tf.monitoring.summaries import Reporter
from sagan_tf.runs import objects, restoring, run_files
from sagan_tf.runs.config import Config
from sagan_tf.system.devices import make_workers
from sagan_tf.system.errors import UserError
from tests.tiny_run import run

TINY = (
    "--image_size=32 --batch_size=4 --z_dim=8 --generator_channels=1 --discriminator_channels=1"
    " --generator_attention= --discriminator_attention= --summary_every_steps=2 --sample_every_steps=100"
    " --checkpoint_every_steps=6 --steps_per_call=2 --devices=cpu:1 --train_steps=6 --split=test"
    " --evaluate_every_steps=2 --evaluate_metrics=fid,agreement --evaluate_samples=20"
).split()


SMALL = {
    "precision": "float32",
    "image_size": 32,
    "z_dim": 8,
    "generator_channels": 1,
    "discriminator_channels": 1,
    "generator_attention": (),
    "discriminator_attention": (),
    "evaluate_every_steps": 1,
    "evaluate_metrics": ("agreement",),
    "best_metric": "agreement",
    "evaluate_samples": 20,
    "keep_best_checkpoints": 2,
}


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """An untrained classifier of digits, as a SavedModel."""
    model = classifier.Classifier(32, 10, width=2)
    model(tf.zeros((1, 32, 32, 3)))
    folder = str(tmp_path_factory.mktemp("classifier") / "model")
    about = {"name": "tiny classifier", "image_size": 32, "class_names": tuple("0123456789")}
    classifier.save(model, folder, about)
    return folder


def test_training_is_scored_and_the_best_is_kept(network, tmp_path, eagerly, no_pictures):
    workdir = str(tmp_path / "run")
    code, out, error = run(*TINY, f"--workdir={workdir}", f"--inception={network}")
    assert code == 0, error
    assert out.count("frechet_distance") == 3 and "tiny classifier" in out
    lines = results.read(os.path.join(workdir, "scores", "scores.jsonl"))
    scores = {line["step"]: line["value"] for line in lines if line["metric"] == "frechet_distance"}
    assert sorted(scores) == [2, 4, 6]
    best = min(scores, key=scores.get)
    assert run_files.best_checkpoints(workdir).steps() == [best]
    assert restoring.restore(workdir, "best").step == best
    with open(os.path.join(workdir, "metrics.jsonl")) as file:
        reported = [line for line in map(json.loads, file) if "scores/frechet_distance" in line]
    assert {line["step"]: line["scores/frechet_distance"] for line in reported} == scores


@pytest.fixture(scope="module")
def made():
    """What takes long to make: a state and its data."""
    digits = data.open_dataset("digits", image_size=32)
    return objects.make_state(Config(**SMALL), 10, make_workers("cpu:1").strategy), digits


@pytest.fixture
def scores(made, network, tmp_path):
    """Makes scores of that state, as a process that starts or takes up a run would."""

    def make(**changes):
        config = Config(**SMALL | {"workdir": str(tmp_path), "inception": network} | changes)
        return TrainingScores(config, *made, Reporter(str(tmp_path), 0))

    return make


def test_every_replica_of_the_training_draws_and_sees(made, network, tmp_path):
    """With the average at the step that is scored, not the raw weights, nor those of the beginning."""
    state = objects.make_state(Config(**SMALL), 10, make_workers("cpu:2").strategy)
    assert (state.devices, made[0].devices) == (("CPU:0", "CPU:1"), ("CPU:0",))
    values, initial = [], made[0].ema_generator.get_weights()
    raw = made[0].generator.get_weights()
    options = SMALL | {"inception": network, "evaluate_metrics": ("fid",), "best_metric": "fid"}
    options["evaluate_samples"] = 70  # in batches of 64: one for each replica
    for count, trained in ((1, made[0]), (2, state)):
        config = Config(**options | {"workdir": str(tmp_path / str(count))})
        scores = TrainingScores(config, trained, made[1], Reporter(config.workdir, 0))
        assert [copy.variables[0].value.device[-5:] for copy in scores._copies] == [*trained.devices]
        trained.ema_generator.set_weights([weight + 0.1 for weight in initial])
        trained.generator.set_weights([weight + 0.1 * count for weight in raw])
        scores(1)
        (line,) = results.read(f"{config.workdir}/scores/scores.jsonl")
        values.append(line["value"])
    made[0].ema_generator.set_weights(initial)
    made[0].generator.set_weights(raw)
    assert values[0] == values[1] > 0


def test_a_step_is_scored_once_and_the_best_outlives_a_kill(scores, tmp_path):
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
    assert len(run_files.read_best(str(tmp_path))) == 2
    kept = {step for step, _ in run_files.read_best(str(tmp_path))}
    assert kept == set(run_files.best_checkpoints(str(tmp_path)).steps())


def test_what_another_measure_kept_is_not_compared_with(scores, tmp_path, capfd):
    """Agreement is at most 1: a distance would never be beaten by it."""
    both = {"evaluate_metrics": ("fid", "agreement"), "keep_best_checkpoints": 1}
    scores(best_metric="fid", **both)(1)
    assert "another measure" not in capfd.readouterr().out
    (tmp_path / "best" / "best.json").write_text("[[1, 42.0]]")  # as by an earlier version, of what not
    for changes in ({"best_metric": "agreement"}, {"best_metric": "agreement", "evaluate_samples": 25}):
        taken_up = scores(**both | changes)
        assert capfd.readouterr().out.count("best/ were kept by another measure") == 1
        taken_up(1 + len(changes))
        assert [step for step, _ in run_files.read_best(str(tmp_path))] == [1 + len(changes)]
    same = scores(**both | changes)
    assert "another measure" not in capfd.readouterr().out
    best = tmp_path / "best" / "best.json"
    kept = json.loads(best.read_text())
    for name in ("precision", "batch_statistics", "seed", "truncation", "class_distribution"):
        assert same._comparable()
        best.write_text(json.dumps(kept | {"measure": kept["measure"] | {name: "another"}}))
        assert not same._comparable(), name
        best.write_text(json.dumps(kept))


def test_what_was_kept_against_other_images_is_not_compared_with(scores, made, tmp_path, capfd, network):
    """The run goes on, on images that were replaced under the same name."""
    both = {"evaluate_metrics": ("fid", "is"), "best_metric": "fid", "keep_best_checkpoints": 1}
    scores(**both)(1)
    assert scores(**both)._comparable() == run_files.read_best(str(tmp_path))
    capfd.readouterr()
    half, _ = draw(made[1], 700, seed=0)
    config = Config(**SMALL | {"workdir": str(tmp_path), "inception": network} | both)
    other = TrainingScores(config, made[0], half, Reporter(str(tmp_path), 0))
    assert capfd.readouterr().out.count("best/ were kept by another measure") == 1
    other(1)
    lines = results.read(str(tmp_path / "scores" / "scores.jsonl"))
    assert [line["metric"] for line in lines] == ["frechet_distance", "classifier_score", "frechet_distance"]
    assert lines[0]["reference_digest"] != lines[2]["reference_digest"]
    assert other._comparable() == [(1, lines[2]["value"])] == run_files.read_best(str(tmp_path))


def test_scores_compare_with_the_images_that_are_named(scores, made, network, tmp_path):
    """As a run that learns those, with the same weights; a file of their statistics says the same."""
    fid = {"evaluate_metrics": ("fid",), "best_metric": "fid", "evaluate_reference": "digits"}
    named = scores(**fid, evaluate_reference_split="test")
    named(1)
    file = named._scorer.reference.path
    scores(**fid | {"evaluate_reference": file})(2)
    scores(**fid | {"evaluate_reference": ""})(3)
    others = data.open_dataset("digits", split="test", image_size=32)
    config = Config(
        **SMALL | fid | {"workdir": str(tmp_path), "inception": network, "evaluate_reference": ""}
    )
    TrainingScores(config, made[0], others, Reporter(str(tmp_path), 0))(4)
    lines = results.read(str(tmp_path / "scores" / "scores.jsonl"))
    of_name, of_file, own, as_own = [line["value"] for line in lines]
    assert of_name == of_file == as_own != own
    assert [line["reference"].split(",")[0] for line in lines[:3]] == ["digits test"] * 2 + ["digits train"]
    for name, value in (
        ("evaluate_reference_split", "foo"),
        ("evaluate_reference", str(tmp_path / "best.h5")),
    ):
        with pytest.raises(UserError) as raised:
            scores(**fid | {name: value})
        assert raised.value.option == name


def test_what_an_earlier_version_kept_by_the_same_measure_counts(scores, tmp_path, capfd):
    scores()(1)
    ((step, value),) = run_files.read_best(str(tmp_path))
    (tmp_path / "best" / "best.json").write_text(json.dumps([[step, value]]))
    scores()(2)
    assert "another measure" not in capfd.readouterr().out
    assert {step for step, _ in run_files.read_best(str(tmp_path))} == {1, 2}


@pytest.fixture
def no_pictures(monkeypatch):
    """Samples are scored, but not drawn."""
    for name in ("write_samples", "write_divergence"):
        monkeypatch.setattr(Sampler, name, lambda sampler, step: "")
    monkeypatch.setattr(Sampler, "diversity", lambda sampler: {"all images": 1.0})
    monkeypatch.setattr(Sampler, "attention_shares", lambda sampler: {})


class Killed(BaseException):
    """In place of SIGKILL: nothing in the program catches it."""


def test_a_step_whose_scoring_was_killed_is_scored_when_taken_up(
    network, tmp_path, eagerly, monkeypatch, no_pictures
):
    """Step 4, on the way, and step 6, the last, at which the run is complete when it is taken up."""
    flags = [*TINY, "--checkpoint_every_steps=2", f"--workdir={tmp_path}", f"--inception={network}"]
    path = tmp_path / "scores" / "scores.jsonl"
    deadly = [4, 6]

    def score_or_die(scorer, images, protocol, *places):
        if protocol.step in deadly:
            deadly.remove(protocol.step)
            raise Killed
        score_and_keep(scorer, images, protocol, *places)

    def scored():
        return [line for line in results.read(str(path)) if line["metric"] == "frechet_distance"]

    monkeypatch.setattr(training_scores, "score_and_keep", score_or_die)
    for steps in ([2], [2, 4]):
        with pytest.raises(Killed):
            run(*flags)
        assert [line["step"] for line in scored()] == steps
    code, out, error = run(*flags)
    assert code == 0 and "is complete at step 6" in out, error
    assert [line["step"] for line in scored()] == [2, 4, 6]
    best = min(scored(), key=lambda line: line["value"])["step"]
    assert [step for step, _ in run_files.read_best(str(tmp_path))] == [best]
    # Once more: there is nothing to do, and the network is not even looked for.
    before = path.read_text()
    code, out, error = run(*flags, "--inception=/no/network")
    assert code == 0 and "is complete" in out and path.read_text() == before, error


def test_a_run_that_goes_back_is_scored_anew(network, tmp_path, eagerly, monkeypatch, no_pictures):
    """Lost at step 6, well at step 3: the score of step 4 and its checkpoint are not the new weights'.

    It is stopped; taken up it is lost again and goes back.
    """
    flags = [*TINY, "--checkpoint_every_steps=2", f"--workdir={tmp_path}", f"--inception={network}"]
    flags += ["--keep_best_checkpoints=3"]
    see, to_be_lost = Guards.see_losses, [6, 6]

    def lose(guards, step, *arguments):
        see(guards, step, *arguments)
        if step in to_be_lost:
            to_be_lost.remove(step)
            raise Diverged("won", "the discriminator has won", 3)

    def scores(name):
        lines = results.read(str(tmp_path / "scores" / name))
        return [(line["step"], line["value"]) for line in lines if line["metric"] == "frechet_distance"]

    monkeypatch.setattr(Guards, "see_losses", lose)
    code, _, error = run(*flags)
    assert code == 3 and [step for step, _ in scores("scores.jsonl")] == [2, 4], error
    code, _, error = run(*flags, "--on_divergence=restore")
    assert code == 0 and not to_be_lost, error
    assert [step for step, _ in scores("scores.jsonl")] == [2, 4, 6]
    aside = scores("scores.diverged.jsonl")
    assert [step for step, _ in aside] == [4, 4]  # of the first process, and of the second till it went back
    assert dict(scores("scores.jsonl"))[4] != aside[1][1]  # other numbers were drawn
    assert sorted(run_files.read_best(str(tmp_path))) == scores("scores.jsonl")
    assert (tmp_path / "best" / "00000004.diverged").is_dir()


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
def test_mistakes_show_before_the_first_step(network, tmp_path, flags, message):
    code, out, error = run(*TINY, f"--workdir={tmp_path / 'run'}", f"--inception={network}", *flags)
    assert code == 2 and message in error and "Traceback" not in error, error
    assert "steps: 2 of 6" not in out


def test_no_best_yet(tmp_path):
    config = Config(**SMALL | {"workdir": str(tmp_path)})
    run_files.write_description(config, ("a",))
    with pytest.raises(restoring.UserError, match="has no best checkpoint"):
        restoring.restore(str(tmp_path), "best")
