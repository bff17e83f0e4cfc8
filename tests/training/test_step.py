"""The alternation: what moves when, the same training on one replica and on two, exact resume."""

import collections
import contextlib
import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.runs import objects, run_files
from sagan_tf.training import histogram, losses
from sagan_tf.training.augment import augment
from sagan_tf.training.compilation import make_train_function
from sagan_tf.training.draws import TRAINING_SEED, Draws
from sagan_tf.training.objective import Objective
from sagan_tf.training.step import Alternation
from tests.conftest import running_eagerly
from tests.training.game import DESCENT, TINY, Trainer, largest_difference, without_batch_statistics

# Where attention is not the point.
PLAIN = dataclasses.replace(TINY, devices="cpu:1", generator_attention=(), discriminator_attention=())


@pytest.mark.parametrize(
    "options, of_two, steps, compiled",
    [
        ({"generator_attention": ()}, {}, 2, True),
        ({"discriminator_steps": 2, "reuse_fakes": False}, {"recompute_blocks": True}, 1, False),
    ],
    ids=["reused fakes", "two D steps, fresh fakes, and blocks recomputed"],
)
def test_two_replicas_train_as_one(digits, options, of_two, steps, compiled):
    config = dataclasses.replace(TINY, **options)
    one = Trainer(
        digits,
        dataclasses.replace(config, devices="cpu:1"),
        optimizer=DESCENT,
    )
    two = Trainer(
        digits,
        dataclasses.replace(config, devices="cpu:2", **of_two),
        optimizer=DESCENT,
    )
    initial = one.weights()
    assert largest_difference(two.weights(), initial)[0] == 0
    for _ in range(steps):
        with running_eagerly():
            expected = one.train(1)
        with contextlib.nullcontext() if compiled else running_eagerly():
            scalars = two.train(1)
        for tag, value in expected.items():
            assert scalars[tag] == pytest.approx(value, rel=1e-4, abs=1e-5), tag
        check_histograms(one.histograms, expected)
        check_histograms(two.histograms, scalars)
    difference, path = largest_difference(two.weights(), one.weights())
    assert difference < 1e-4, path
    assert largest_difference(one.weights(), initial)[0] > 1e-2


def test_xla_trains_as_tensorflow_does(digits, monkeypatch):
    # XLA draws other numbers from the same seed.
    z = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    monkeypatch.setattr(Draws, "noise", lambda self, draw, part: (tf.constant(z), tf.range(8)))
    plain, compiled = (
        Trainer(
            digits,
            dataclasses.replace(TINY, devices="cpu:1", xla=xla),
            optimizer=DESCENT,
        )
        for xla in (False, True)
    )
    with running_eagerly():
        expected = plain.train(1)
    scalars = compiled.train(1)
    for tag, value in expected.items():
        assert scalars[tag] == pytest.approx(value, rel=1e-4, abs=1e-5), tag
    difference, path = largest_difference(compiled.weights(), plain.weights())
    assert difference < 1e-4, path


def check_histograms(histograms, scalars):
    """They are shares of the 8 images of one step, and agree with the mean logits."""
    edges = histogram.edges()
    for kind in ("real", "fake"):
        shares = histograms[f"logit_histogram/{kind}"]
        assert shares.sum() == pytest.approx(1.0, abs=1e-6)
        np.testing.assert_allclose(shares * 8, np.round(shares * 8), atol=1e-5)
        mean = scalars[f"logits/{kind}"]
        assert np.sum(shares * edges[:-1]) - 1e-4 < mean < np.sum(shares * edges[1:]) + 1e-4


def test_replicas_hold_the_same_state(digits, eagerly):
    trainer = Trainer(digits, dataclasses.replace(TINY, devices="cpu:2", sync_batch_norm=False))
    trainer.train(1)
    for network in (trainer.state.generator, trainer.state.discriminator, trainer.state.ema_generator):
        for variable in network.variables:
            first, second = trainer.strategy.experimental_local_results(variable.value)
            np.testing.assert_array_equal(first.numpy(), second.numpy(), err_msg=variable.path)


def test_stopped_and_taken_up_is_bit_for_bit_the_run_that_was_not(digits, tmp_path, eagerly):
    """With a schedule, and two D steps; a compiled run is taken up in tests/test_train.py."""
    schedule = {"learning_rate_schedule": "linear", "warmup_steps": 2, "train_steps": 4}
    config = dataclasses.replace(PLAIN, discriminator_steps=2, **schedule)
    whole, saved = Trainer(digits, config), run_files.checkpoints(str(tmp_path))
    whole.train(1)
    saved.save(whole.state.checkpoint(), 1)
    expected_losses = whole.train(2)
    second = Trainer(digits, config, first_step=1)
    assert saved.restore_newest(second.state.checkpoint()) == 1
    assert second.train(2) == expected_losses
    difference, path = largest_difference(second.weights(), whole.weights())
    assert difference == 0, path


@pytest.mark.parametrize(
    "options",
    [{"reuse_fakes": True}, {"reuse_fakes": False}, {"accumulation_steps": 2}],
    ids=["reused fakes", "fresh fakes", "in parts"],
)
def test_state_moves_once_an_iteration(digits, options, eagerly, monkeypatch):
    trainer = Trainer(digits, dataclasses.replace(PLAIN, discriminator_steps=2, **options))
    moves, assign = collections.Counter(), keras.Variable.assign

    def counted(variable, value):
        moves[variable.path] += 1
        return assign(variable, value)

    monkeypatch.setattr(keras.Variable, "assign", counted)
    trainer.train(1)
    for network, updates in ((trainer.state.generator, 1), (trainer.state.discriminator, 2)):
        assert {moves[v.path] for v in network.variables if v.path.endswith("/u")} == {updates}
    counters = [v for v in trainer.state.generator.variables if v.path.endswith("updates")]
    assert len(counters) == 7 and {int(v.numpy()) for v in counters} == {1}
    assert trainer.state.generator_optimizer.iterations.value.numpy() == 1
    assert trainer.state.discriminator_optimizer.iterations.value.numpy() == 2
    assert trainer.state.step.numpy() == 1


LOSSES_OF_D = {
    "hinge": lambda real, fake: tf.nn.relu(1 - real) + tf.nn.relu(1 + fake),
    "wasserstein": lambda real, fake: fake - real,  # every image counts
}


@pytest.mark.parametrize(
    "options",
    [
        {"augment": ("translation",)},
        {
            **{"loss": "wasserstein", "discriminator_steps": 2, "reuse_fakes": False, "seed": 5},
            **{"augment": ("color", "translation"), "flip": True, "balanced_classes": True},
        },
    ],
    ids=["reused fakes", "two D steps, fresh fakes, flipped, balanced"],
)
def test_one_iteration_is_what_it_says(digits, options, eagerly):
    """One iteration against the same thing written out: SGD, one replica."""
    config = dataclasses.replace(TINY, devices="cpu:1", **options)
    trainer = Trainer(digits, config, optimizer=lambda: keras.optimizers.SGD(0.002))
    state, k, policies = trainer.state, config.discriminator_steps, config.augment
    discriminator, generator = map(copy_of, (state.discriminator, state.generator))
    order = {"flip": config.flip, "balanced": config.balanced_classes}
    images, labels = next(iter(digits.batches(8 * k, seed=config.seed, **order)))

    def draw(number):
        """z, labels, and the seed of the augmentation of the step's update of this number."""
        seed = tf.constant([TRAINING_SEED + config.seed, number], tf.int64)
        z = tf.random.stateless_normal((8, 8), seed)
        fake_labels = tf.random.stateless_uniform((8,), seed, 0, 10, tf.int32)
        return z, fake_labels, tf.random.experimental.stateless_fold_in(seed, 0)

    for number in range(k):
        z, fake_labels, seed = draw(number)
        seen = tf.concat([images[number::k], copy_of(generator)(z, fake_labels, training=True)], axis=0)
        real, fake = tf.split(augment(seen, seed, policies), 2)
        real_labels, before = labels[number::k], copy_of(discriminator)
        with tf.GradientTape() as tape:
            logits = discriminator(real, real_labels), discriminator(fake, fake_labels)
            loss = tf.reduce_mean(LOSSES_OF_D[config.loss](*logits))
        descend(discriminator, tape, loss)
        before(real, real_labels, update_u=True)
        for variable, moved in zip(discriminator.variables, before.variables, strict=True):
            if not variable.trainable:
                variable.assign(moved.value)
    z, fake_labels, _ = draw(k - 1 if config.reuse_fakes else k)
    with tf.GradientTape() as tape:
        fakes = generator(z, fake_labels, training=True, update_state=True)
        seen = augment(fakes, draw(k)[2], policies)
        generator_loss = -tf.reduce_mean(discriminator(seen, fake_labels))
    descend(generator, tape, generator_loss)

    scalars = trainer.train(1)
    assert scalars["loss/discriminator"] == pytest.approx(float(loss), rel=1e-5)
    assert scalars["loss/generator"] == pytest.approx(float(generator_loss), rel=1e-5)
    for expected, network in ((discriminator, state.discriminator), (generator, state.generator)):
        for ours, theirs in zip(network.variables, expected.variables, strict=True):
            np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-5, err_msg=ours.path)


def copy_of(network):
    copy = type(network).from_config(network.get_config())
    copy.build()
    copy.set_weights([variable.numpy() for variable in network.variables])
    return copy


def descend(network, tape, loss, rate=0.002):
    gradients = tape.gradient(loss, [variable.value for variable in network.trainable_variables])
    for variable, gradient in zip(network.trainable_variables, gradients, strict=True):
        variable.assign_sub(rate * tf.convert_to_tensor(gradient))


def test_ema_follows_from_the_first_step(digits, eagerly):
    """The decay grows from step to step, 1/10 and 2/11, up to the one that is asked for."""
    trainer = Trainer(digits, dataclasses.replace(PLAIN, ema_decay=0.15))
    decays, expected = [], {v.path: v.numpy() for v in trainer.state.generator.variables}
    for step in range(2):
        trainer.train(1)
        decays.append(min(0.15, (1 + step) / (10 + step)))
        for variable in trainer.state.generator.variables:
            kept = decays[-1] if variable.trainable else 0.0
            expected[variable.path] = kept * expected[variable.path] + (1 - kept) * variable.numpy()
    for variable in trainer.state.ema_generator.variables:
        path = variable.path.replace("ema_generator", "generator", 1)
        np.testing.assert_allclose(variable.numpy(), expected[path], rtol=1e-5, atol=1e-6, err_msg=path)


def test_no_ema_is_the_generator_itself(digits, eagerly):
    trainer = Trainer(digits, dataclasses.replace(PLAIN, ema_decay=0.0))
    trainer.train(1)
    for average, variable in zip(
        trainer.state.ema_generator.variables, trainer.state.generator.variables, strict=True
    ):
        np.testing.assert_allclose(average.numpy(), variable.numpy(), rtol=1e-6, atol=1e-7)


def test_discriminator_gets_no_gradient_in_the_generators_step(digits, eagerly):
    """With a discriminator that cannot learn, D's weights stay what they were."""
    trainer = Trainer(digits, dataclasses.replace(TINY, devices="cpu:1", discriminator_learning_rate=0.0))
    before = {v.path: v.numpy() for v in trainer.state.discriminator.trainable_variables}
    trainer.train(1)
    for variable in trainer.state.discriminator.trainable_variables:
        np.testing.assert_array_equal(variable.numpy(), before[variable.path], err_msg=variable.path)


def test_alternation_needs_no_strategy(digits, eagerly):
    """The default strategy will do, as in a notebook."""
    strategy = tf.distribute.get_strategy()
    state = objects.make_state(TINY, 10, strategy)
    alternation = Alternation(
        state,
        Objective(losses.LOSSES["hinge"]),
        batch_size=8,
        discriminator_steps=1,
        reuse_fakes=True,
        seed=0,
    )
    train = make_train_function(strategy, state, alternation, ema_decay=0.9)
    scalars = train(iter(digits.batches(8, seed=0)), tf.constant(2))
    assert np.isfinite(np.concatenate([np.ravel(value) for value in scalars.values()])).all()
    assert scalars["logit_histogram/real"].numpy().sum() == pytest.approx(1.0)  # means over two steps


def test_parts_of_a_batch_train_as_the_whole(digits, eagerly):
    """Where G has no batch statistics nothing differs. One step has three updates, on two replicas.

    One replica with two updates: tests/training/test_objective.py.
    """
    config = dataclasses.replace(PLAIN, devices="cpu:2", discriminator_steps=2)
    whole, parts = (
        Trainer(
            digits,
            dataclasses.replace(config, accumulation_steps=count),
            optimizer=DESCENT,
        )
        for count in (1, 2)
    )
    for trainer in (whole, parts):
        without_batch_statistics(trainer.state.generator)
    initial = whole.weights()
    expected, scalars = whole.train(1), parts.train(1)
    for tag, value in expected.items():
        assert scalars[tag] == pytest.approx(value, rel=1e-4, abs=1e-5), tag
    difference, path = largest_difference(parts.weights(), whole.weights())
    assert difference < 1e-4, path
    assert largest_difference(whole.weights(), initial)[0] > 1e-2
