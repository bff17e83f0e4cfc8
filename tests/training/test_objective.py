"""The players' terms on real networks: against finite differences, and the same in replicas and in parts."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import fast_attention
from sagan_tf.runs import objects
from sagan_tf.training.draws import Draws
from tests.training import game

TINY = dataclasses.replace(
    game.TINY, batch_size=4, generator_attention=(), discriminator_attention=(16,), devices="cpu:1"
)
SCALARS = {"loss/discriminator", "loss/generator", "logits/real", "logits/fake"}
CLASS_SCALARS = {"loss/discriminator_classes", "loss/generator_classes", "accuracy/real_classes"}
OPTIONAL_SCALARS = CLASS_SCALARS | {"penalty/gradient", "penalty/orthogonal"}
# Everything at once that is not there by default.
ALL = {
    "loss": "wasserstein",
    "gradient_penalty": "wgan_gp",
    "class_conditioning": "auxiliary_classifier",
    "auxiliary_weight": 0.5,
    "orthogonal_regularization": 1e-2,
}
R3GAN = {"loss": "relativistic", "gradient_penalty": "r1,r2"}


def trainer(digits, config):
    return game.Trainer(digits, config, optimizer=game.DESCENT)


@pytest.mark.parametrize("settings", [ALL, R3GAN], ids=["all", "r3gan"])
def test_replicas_and_parts_train_as_the_whole(digits, eagerly, settings):
    config = dataclasses.replace(TINY, **settings)
    whole = trainer(digits, config)
    game.without_batch_statistics(whole.state.generator)
    initial = whole.weights()
    expected = whole.train(1)
    optional = OPTIONAL_SCALARS if settings == ALL else {"penalty/gradient"}
    assert expected.keys() == SCALARS | optional
    assert min(abs(expected[tag]) for tag in optional - {"accuracy/real_classes"}) > 1e-3
    assert game.largest_difference(whole.weights(), initial)[0] > 1e-2
    other = trainer(digits, dataclasses.replace(config, devices="cpu:2", accumulation_steps=2))
    game.without_batch_statistics(other.state.generator)
    found = other.train(1)
    for tag, value in expected.items():
        assert found[tag] == pytest.approx(value, rel=1e-4, abs=1e-5), tag
    difference, path = game.largest_difference(other.weights(), whole.weights())
    assert difference < 1e-4, path


def discriminator_of(**options):
    """A discriminator with attention at work, and u what it would converge to: sigma then moves as W does."""
    keras.utils.set_random_seed(0)
    discriminator = objects.make_discriminator(dataclasses.replace(TINY, **options), 10)
    discriminator.attention_layers["16"].gamma.assign(0.7)
    for layer in discriminator.kernel_layers:
        if layer.spectral_norm:
            layer.u.assign(np.linalg.svd(layer._matrix())[2][:1])
    return discriminator


def terms(discriminator, images, labels, share, **options):
    objective = objects.make_objective(dataclasses.replace(TINY, **options))
    return objective.discriminator_terms(discriminator, images, labels, share, update_u=False)[0]


def images_of(seed=0):
    random = np.random.default_rng(seed)
    images = random.uniform(-1, 1, (4, 32, 32, 3)).astype(np.float32)
    share = random.uniform(size=(2, 1, 1, 1)).astype(np.float32)
    return images, np.array([3, 1, 7, 2], np.int32), share


def gradient_norm(discriminator, image, label, step=2e-3):
    """By central differences in every value of the image."""
    total = 0.0
    for rows in np.split(np.eye(image.size, dtype=np.float32).reshape(-1, *image.shape) * step, 8):
        labels = np.full(len(rows), label, np.int32)
        difference = discriminator(image + rows, labels) - discriminator(image - rows, labels)
        total += np.sum((difference.numpy() / (2 * step)) ** 2)
    return np.sqrt(total)


def test_gradient_penalty_of_a_real_discriminator():
    """Between real images and fakes, with the labels of the real images."""
    discriminator, (images, labels, share) = discriminator_of(), images_of()
    mixed = share * images[:2] + (1 - share) * images[2:]
    norms = [gradient_norm(discriminator, mixed[i], labels[i]) for i in range(2)]
    options = {"gradient_penalty": "wgan_gp", "gradient_penalty_weight": 5.0}
    found = terms(discriminator, images, labels, share, **options)["penalty/gradient"]
    assert min(norms) > 0.01
    assert float(found) == pytest.approx(5.0 * sum((norm - 1) ** 2 for norm in norms), rel=5e-3)


def test_r2_is_r1_of_the_fakes_with_their_labels():
    discriminator, (images, labels, share) = discriminator_of(), images_of()
    swapped = images[[2, 3, 0, 1]], labels[[2, 3, 0, 1]]
    both, real, fake = (
        float(terms(discriminator, *batch, share, gradient_penalty=name)["penalty/gradient"])
        for batch, name in (((images, labels), "r1,r2"), ((images, labels), "r1"), (swapped, "r1"))
    )
    assert both == pytest.approx(real + fake, rel=1e-5) and min(real, fake) > 1e-4


def test_terms_of_pairs():
    """Each fake against the real image of its place; AC-GAN's term of G is that of the fakes."""
    options = {"loss": "relativistic", "class_conditioning": "auxiliary_classifier"}
    discriminator, (images, labels, _) = discriminator_of(**options), images_of()
    objective = objects.make_objective(dataclasses.replace(TINY, **options))
    real, fake = np.split(discriminator(images, labels).numpy().astype(np.float64), 2)
    found = objective.generator_terms(discriminator, images, labels)
    assert float(found["loss/generator"]) == pytest.approx(np.log1p(np.exp(real - fake)).sum(), rel=1e-5)
    hinge = objects.make_objective(dataclasses.replace(TINY, **options | {"loss": "hinge"}))
    alone = hinge.generator_terms(discriminator, images[2:], labels[2:])
    assert float(found["loss/generator_classes"]) == pytest.approx(float(alone["loss/generator_classes"]))
    found, _ = objective.discriminator_terms(discriminator, images, labels, None, update_u=False)
    assert float(found["loss/discriminator"]) == pytest.approx(np.log1p(np.exp(fake - real)).sum(), rel=1e-5)


def test_second_derivative_of_max_pooling(monkeypatch):
    """What gamma of the original attention, through which the gradient is pooled, learns from R1."""
    monkeypatch.setattr(tf.nn, "relu", tf.nn.softplus)
    discriminator, batch, options = discriminator_of(), images_of(), {"gradient_penalty": "r1"}
    gamma, step = discriminator.attention_layers["16"].gamma, 0.02
    with tf.GradientTape() as tape:
        penalty = terms(discriminator, *batch, **options)["penalty/gradient"]
    slope, start, values = float(tape.gradient(penalty, gamma.value)), float(gamma.numpy()), []
    for sign in (1, -1):
        gamma.assign(start + sign * step)
        values.append(float(terms(discriminator, *batch, **options)["penalty/gradient"]))
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(slope, rel=5e-3)


@pytest.mark.parametrize("name", ["r1", "wgan_gp"])
def test_what_a_real_discriminator_learns_from_the_gradient_penalty(name, monkeypatch):
    """The slope along the gradient in all kernels, through attention and spectral normalization.

    Without kinks: there the penalty jumps, which no derivative of it knows of.
    """
    monkeypatch.setattr(tf.nn, "relu", tf.nn.softplus)
    discriminator, batch = discriminator_of(attention_form="paper_v2"), images_of()
    options = {"gradient_penalty": name}
    variables = [v for v in discriminator.trainable_variables if v.path.endswith("kernel")]
    with tf.GradientTape() as tape:
        penalty = terms(discriminator, *batch, **options)["penalty/gradient"]
    gradients = tape.gradient(penalty, [variable.value for variable in variables])
    gradients = [tf.convert_to_tensor(gradient).numpy() for gradient in gradients]
    norm = np.sqrt(sum(np.sum(gradient**2) for gradient in gradients))
    start, values, step = [variable.numpy() for variable in variables], [], 3e-3
    for sign in (1, -1):
        for variable, value, gradient in zip(variables, start, gradients, strict=True):
            variable.assign(value + sign * step * gradient / norm)
        values.append(float(terms(discriminator, *batch, **options)["penalty/gradient"]))
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(norm, rel=5e-3)


def test_penalties_through_attention_image_by_image(monkeypatch):
    """Compiled, beside blocks that are computed again: as through its plain form, uncompiled."""
    images, labels, share = images_of()
    settings = {"gradient_penalty": "r1", "gradient_penalty_weight": 5.0}

    def gradients(recompute):
        discriminator = discriminator_of(discriminator_channels=2)
        discriminator.recompute_blocks = recompute
        variables = [variable.value for variable in discriminator.trainable_variables]

        def compute():
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(variables)
                players = terms(discriminator, tf.constant(images), labels, share, **settings)
                total = tf.add_n(list(players.values()))
            return [tf.convert_to_tensor(gradient) for gradient in tape.gradient(total, variables)]

        return tf.function(compute)() if recompute else compute()

    expected = gradients(recompute=False)
    monkeypatch.setattr(fast_attention, "_LARGE", 0)
    for ours, theirs in zip(gradients(recompute=True), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5 * np.abs(theirs).max())


def test_bfloat16_penalties_are_near_those_of_float32():
    """Norms are taken in float32: sums of 3,072 squares would lose what is small."""
    for name in ("r1", "wgan_gp"):
        values = [
            float(
                terms(discriminator_of(precision=precision), *images_of(), gradient_penalty=name)[
                    "penalty/gradient"
                ]
            )
            for precision in ("float32", "bfloat16")
        ]
        assert values[1] == pytest.approx(values[0], rel=3e-2)


def test_class_terms_of_an_auxiliary_classifier():
    """AC-GAN: D minimizes the cross entropy of real images' classes and of fakes', G that of fakes'."""
    options = {"class_conditioning": "auxiliary_classifier", "auxiliary_weight": 0.25}
    discriminator, (images, labels, _) = discriminator_of(**options), images_of()
    logits = discriminator(images, labels)
    class_logits = discriminator.class_logits(discriminator.features(images))
    shares = np.exp(class_logits.numpy().astype(np.float64))
    shares /= shares.sum(axis=1, keepdims=True)
    # One of the two real images is of the class that the classifier names.
    labels[:2] = np.argmax(shares[0]), np.argmin(shares[1])
    entropies = -np.log(shares[range(4), labels])

    objective = objects.make_objective(dataclasses.replace(TINY, **options))
    found, measured = objective.discriminator_terms(discriminator, images, labels, None, update_u=False)
    assert found.keys() == {"loss/discriminator", "loss/discriminator_classes"}
    assert float(found["loss/discriminator_classes"]) == pytest.approx(0.25 * entropies.sum(), rel=1e-5)
    hinge = np.sum(np.maximum(0, 1 - logits[:2])) + np.sum(np.maximum(0, 1 + logits[2:]))
    assert float(found["loss/discriminator"]) == pytest.approx(hinge, rel=1e-5)
    assert float(measured["accuracy/real_classes"]) == 1.0
    found = objective.generator_terms(discriminator, images[2:], labels[2:])
    assert found.keys() == {"loss/generator", "loss/generator_classes"}
    assert float(found["loss/generator_classes"]) == pytest.approx(0.25 * entropies[2:].sum(), rel=1e-5)
    assert float(found["loss/generator"]) == pytest.approx(-np.sum(logits[2:]), rel=1e-5)


def test_u_moves_as_without_a_penalty(digits, eagerly):
    """Once an iteration, and from the same W."""
    with_penalty, without = (
        trainer(digits, dataclasses.replace(TINY, gradient_penalty=name)) for name in ("r1", "none")
    )
    scalars = [run.train(1) for run in (with_penalty, without)]
    assert scalars[0].keys() - scalars[1].keys() == {"penalty/gradient"}
    found, expected = with_penalty.weights(), without.weights()
    for path in (path for path in expected if path.endswith("/u")):
        np.testing.assert_array_equal(found[path], expected[path], err_msg=path)
    assert game.largest_difference(found, expected)[0] > 1e-3


@pytest.mark.parametrize("embedding", [0, 6])
def test_orthogonal_penalty_is_of_the_generators_kernels(embedding):
    """The norms' projections of a shared embedding are kernels; the table of the embedding is none."""
    config = dataclasses.replace(TINY, orthogonal_regularization=0.5, generator_attention=(16,))
    config = dataclasses.replace(config, generator_embedding=embedding)
    generator = objects.make_generator(config, 10)
    expected, names = 0.0, []
    for variable in generator.trainable_variables:
        if variable.path.endswith("kernel") and not variable.path.endswith("/embedding/kernel"):
            names.append(variable.path)
            matrix = variable.numpy().astype(np.float64).reshape(-1, variable.shape[-1])
            gram = matrix.T @ matrix
            expected += 0.5 * np.sum((gram * (1 - np.eye(len(gram)))) ** 2)
    projections = 3 * 4 if embedding else 0  # two norms in each block
    assert len(names) == 1 + 3 * 3 + 4 + 1 + projections  # dense, blocks, attention, last convolution
    penalty = objects.make_objective(config).orthogonal_penalty(generator)
    assert float(penalty) == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [ALL, {"gradient_penalty": "r1"}], ids=["all", "r1"])
def test_xla_computes_the_same(digits, settings, monkeypatch):
    # XLA draws other numbers from the same seed.
    z = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    share = np.random.default_rng(1).uniform(size=(4, 1, 1, 1)).astype(np.float32)
    monkeypatch.setattr(Draws, "noise", lambda self, draw, part: (tf.constant(z), tf.range(4)))
    monkeypatch.setattr(Draws, "mixing", lambda self, draw, part: tf.constant(share))
    # Without max-pooling, whose second derivative XLA computes to three digits only.
    config = dataclasses.replace(TINY, attention_form="paper_v2", **settings)
    plain, compiled = (trainer(digits, dataclasses.replace(config, xla=xla)) for xla in (False, True))
    expected, scalars = plain.train(1), compiled.train(1)
    for tag, value in expected.items():
        assert scalars[tag] == pytest.approx(value, rel=1e-4, abs=1e-5), tag
    difference, path = game.largest_difference(compiled.weights(), plain.weights())
    assert difference < 1e-4, path
