"""What is done about a run that is lost: real networks, their real figures, real checkpoints."""

import dataclasses
import glob
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sagan_tf.monitoring import samples
from sagan_tf.monitoring.guards import Diverged, Guards
from sagan_tf.monitoring.samples import Sampler, deviations, real_images
from sagan_tf.monitoring.summaries import Reporter
from sagan_tf.monitoring.watch import Watch
from sagan_tf.runs import objects, run_files
from sagan_tf.system import json_lines
from sagan_tf.training import histogram
from tests.training import game

TINY = dataclasses.replace(game.TINY, generator_attention=(), discriminator_attention=())
HEALTHY = {"loss/discriminator": 1.2, "loss/generator": 0.6, "logits/real": 0.3, "logits/fake": -0.3}


@pytest.fixture(scope="module")
def made(digits, tmp_path_factory):
    """What takes long to make: state and sampler, and the weights that they began with."""
    state = objects.make_state(TINY, 10, tf.distribute.get_strategy())
    sampler = Sampler(state, Reporter(str(tmp_path_factory.mktemp("unused")), 0), 0, digits)
    variables = tf.nest.flatten([state.restores, *(network.variables for network in networks(state))])
    return state, sampler, [(variable, variable.numpy()) for variable in variables]


def networks(state):
    return state.generator, state.discriminator, state.ema_generator


class Run:
    """A run in a directory, without the loop."""

    def __init__(self, made, workdir, capsys, ignore=False):
        self.state, self.sampler, initial = made
        for variable, value in initial:
            variable.assign(value)
        self.workdir, self._capsys = workdir, capsys
        self.saved = run_files.checkpoints(str(workdir), keep=2)
        self.reporter = self.sampler._reporter = Reporter(str(workdir), 0)
        self.watch = Watch(self.state, self.saved, self.reporter, self.sampler, Guards(0), ignore)

    def lines(self):
        """What was printed since the last call, on standard output and on standard error."""
        return [text.splitlines() for text in self._capsys.readouterr()]

    def spoil(self, value=np.nan):
        self.state.generator.last_conv.bias.assign([0.0, value, 0.0])


@pytest.fixture
def run(made, tmp_path, capsys):
    return Run(made, tmp_path, capsys)


def test_nan_never_gets_into_a_checkpoint(run):
    run.watch.save(10)
    run.spoil()
    with pytest.raises(Diverged, match="in generator/last_conv/bias;") as raised:
        run.watch.save(20)
    assert run.saved.steps() == [10]
    assert run.watch.record(raised.value) == 10
    _, (complaint,) = run.lines()
    assert complaint.startswith("train: diverged at ") and "good checkpoint is of step 10" in complaint
    line = json.loads((run.workdir / "divergence.jsonl").read_text())
    assert line["kind"] == "not finite" and "singular_value/generator/dense" in line
    picture = np.asarray(Image.open(run.workdir / "samples" / "divergence_00000000.png"))
    assert (picture[-64:, -64:, 1] == 128).all()  # of the generator itself; NaN, its green, is grey
    assert picture[-64:, -64:, 0].std() > 1


def test_going_back_draws_other_numbers_and_gives_up_in_the_end(run):
    bias = run.state.generator.last_conv.bias
    run.watch.save(10)
    for step in (10, 20):
        run.reporter.scalars(step, HEALTHY)
    for attempt in range(1, 4):
        run.spoil()
        with pytest.raises(Diverged) as raised:
            run.watch.diagnose(20, {})
        good = run.watch.record(raised.value)
        assert run.watch.go_back(good) == 10
        assert np.isfinite(bias.numpy()).all()
        assert int(run.state.restores.numpy()) == attempt
        assert f"try {attempt} of 3" in run.lines()[0][-1]
        assert [line["step"] for line in json_lines.read(str(run.workdir / "metrics.jsonl"))] == [10]
    run.spoil()
    with pytest.raises(Diverged) as raised:
        run.watch.diagnose(20, {})
    assert run.watch.go_back(run.watch.record(raised.value)) is None
    assert len((run.workdir / "divergence.jsonl").read_text().splitlines()) == 4


def test_without_a_checkpoint_there_is_no_way_back(run):
    run.spoil(np.inf)
    with pytest.raises(Diverged) as raised:
        run.watch.diagnose(20, {})
    assert run.watch.record(raised.value) is None
    assert "there is no good checkpoint" in run.lines()[1][0]
    assert run.watch.go_back(None) is None


def test_checkpoints_of_the_time_when_the_run_was_ill_are_set_aside(run):
    """A discriminator that has won: what was saved meanwhile does not push out what was good."""
    run.watch.losses(10, 10, HEALTHY)
    run.watch.save(10)
    with pytest.raises(Diverged) as raised:
        for step in range(20, 2000, 10):
            run.watch.losses(step, 10, HEALTHY | {"loss/discriminator": 0.0})
            if step % 100 == 0:
                run.watch.save(step)
    assert raised.value.kind == "won" and run.saved.steps() == [10, 900, 1000]
    assert run.watch.record(raised.value) == 10
    assert run.saved.steps() == [10]
    assert "later ones are now 00000900.diverged, 00001000.diverged" in run.lines()[1][0]


def test_ignored_is_told_once_of_a_kind_but_nan_is_not_ignored(made, tmp_path, capsys):
    run = Run(made, tmp_path, capsys, ignore=True)
    for step in range(10, 2500, 10):
        run.watch.losses(step, 10, HEALTHY | {"loss/discriminator": 0.0})
    _, (complaint,) = run.lines()
    assert "has won" in complaint and "ignored" in complaint
    (line,) = json_lines.read(str(run.workdir / "divergence.jsonl"))
    assert (line["kind"], line["ignored"]) == ("won", True) and "has won" in line["reason"]
    assert not run.reporter.has_diverged()
    with pytest.raises(Diverged):
        run.watch.losses(2510, 10, HEALTHY | {"loss/generator": np.nan})


def test_weights_that_blow_up(run):
    kernel = run.state.generator.dense.kernel
    run.watch.diagnose(10, {})
    kernel.assign(50 * kernel.value)
    with pytest.raises(Diverged, match="of generator/dense is .* times .* 10 steps ago") as raised:
        run.watch.diagnose(20, {})
    assert (raised.value.kind, raised.value.since) == ("blow-up", 10)


def test_a_generator_that_has_died(run):
    """Nothing passes its last norm: every sample is the same grey. Gone back, it is judged anew."""

    def die():
        for generator in (run.state.generator, run.state.ema_generator):
            generator.last_norm.gain.assign(tf.zeros_like(generator.last_norm.gain.value))

    run.watch.sample(10)
    run.watch.save(10)
    assert min(run.sampler.diversity().values()) > 0.1
    die()
    run.watch.sample(20)
    run.watch.sample(30)
    with pytest.raises(Diverged, match="class 0: samples vary by 0 .*collapsed") as raised:
        run.watch.sample(40)
    assert raised.value.since == 10
    assert run.watch.go_back(run.watch.record(raised.value)) == 10
    die()
    run.watch.sample(20)


def test_a_generator_that_has_collapsed(run):
    """It does not look at z any more: one image a class, different from those of the other classes."""
    for generator in (run.state.generator, run.state.ema_generator):
        generator.dense.kernel.assign(tf.zeros_like(generator.dense.kernel.value) + 1e-6)
        generator.dense.bias.assign(tf.random.stateless_normal(generator.dense.bias.shape, (0, 0)))
        for block in generator.blocks:  # the classes' tables, as if they had been learnt
            for norm in (block.norm_1, block.norm_2):
                norm.bias.assign(tf.random.stateless_normal(norm.bias.shape, (1, 1)))
    labels = np.arange(10, dtype=np.int32)
    images = run.state.ema_generator(tf.random.normal((10, 8)), labels, training=False).numpy()
    assert images.std(axis=0).mean() > 0.1  # over the classes
    run.watch.sample(10)
    run.watch.sample(20)
    with pytest.raises(Diverged, match="collapsed"):
        run.watch.sample(30)


def test_deviations():
    images = np.random.default_rng(0).integers(0, 256, (30, 4, 4, 3), np.uint8)
    images[10:20] = images[10]
    wanted = [np.sqrt(np.var(images[i : i + 10].astype(float), axis=0, ddof=1).mean()) for i in (0, 10, 20)]
    np.testing.assert_allclose(deviations(images, 3), wanted)
    assert deviations(images, 3)[1] == 0


def test_classes_of_too_few_real_images_are_not_judged(run, digits, monkeypatch):
    run.watch.sample(10)
    assert len(run.sampler.diversity()) == 10
    monkeypatch.setattr(samples, "real_images", lambda *_: whiten(real_images(digits, 10), 35))
    sampler = Sampler(run.state, run.reporter, 0, digits)
    sampler.write_samples(10)
    assert sampler.diversity().keys() == {f"class {digit}" for digit in range(10) if digit != 3}


def whiten(images, index):
    """As if there had been fewer images of a class."""
    images[index] = 255
    return images


def test_diagnostics_are_in_tensorboard(run):
    logits = np.random.default_rng(0).normal(1.0, 2.0, 64).astype(np.float32)
    shares = histogram.counts(logits).numpy() / 64
    run.watch.diagnose(20, {"logit_histogram/real": shares, "loss/discriminator": 1.0})
    run.watch.sample(20)
    run.reporter.flush()
    found = {}
    for file in glob.glob(str(run.workdir / "tensorboard" / "*")):
        for event in tf.compat.v1.train.summary_iterator(file):
            found |= {value.tag: value for value in event.summary.value}
    assert {"gradient_norm/generator", "singular_value/generator/dense", "diversity/least"} <= found.keys()
    value = found["logit_histogram/real"]
    assert value.metadata.plugin_data.plugin_name == "histograms"
    rows = tf.make_ndarray(value.tensor)
    np.testing.assert_allclose(rows[:, 2].sum(), 1.0)
    inside = (logits[:, None] >= rows[:, 0]) & (logits[:, None] < rows[:, 1])
    np.testing.assert_allclose(inside.mean(axis=0), rows[:, 2], atol=1e-6)
    assert not (run.workdir / "metrics.jsonl").exists()
