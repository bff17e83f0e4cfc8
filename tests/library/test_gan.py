"""`GAN`: the update of the command's step bit for bit, Keras's callbacks, saving, two replicas."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf import data
from sagan_tf.layers import ConditionalBatchNormalization
from sagan_tf.library.gan import GAN
from sagan_tf.networks import Discriminator, Generator
from sagan_tf.runs import objects
from sagan_tf.system.devices import make_workers
from tests.conftest import running_eagerly
from tests.training.game import DESCENT, TINY, Trainer, largest_difference

PLAIN = dataclasses.replace(TINY, devices="cpu:1", generator_attention=(), discriminator_attention=())


@pytest.fixture(scope="module")
def digits():
    return data.open_dataset("digits", split="train", image_size=32)


def gan_of(config, optimizer=None, **arguments):
    """The model of a run: the same initial weights, and the same options; `optimizer` replaces Adam."""
    keras.utils.set_random_seed(config.seed)
    gan = GAN(objects.make_generator(config, 10), objects.make_discriminator(config, 10), seed=config.seed)
    optimizers = (
        objects._adam(config, config.generator_learning_rate, 1),
        objects._adam(config, config.discriminator_learning_rate, config.discriminator_steps),
    )
    gan.compile(
        *((optimizer(), optimizer()) if optimizer else optimizers),
        config.loss,
        gradient_penalty=config.gradient_penalty,
        discriminator_steps=config.discriminator_steps,
        accumulation_steps=config.accumulation_steps,
        reuse_fakes=config.reuse_fakes,
        augment=config.augment,
        ema_decay=config.ema_decay,
        **arguments,
    )
    return gan


def batches_of(digits, config):
    return digits.batches(config.batch_size * config.discriminator_steps, seed=config.seed)


def weights_of(gan):
    networks = (gan.generator, gan.discriminator, gan.ema_generator)
    return {variable.path: variable.numpy() for network in networks for variable in network.variables}


def fit(gan, batches, steps, **arguments):
    return gan.fit(batches, steps_per_epoch=steps, epochs=1, verbose=0, **arguments)


def joined(batches, first, last):
    """Some of the batches as a dataset that can be iterated again."""
    taken = [batch for _, batch in zip(range(last), batches, strict=False)][first:]
    return tf.data.Dataset.from_tensor_slices(
        tuple(np.stack([batch[place] for batch in taken]) for place in (0, 1))
    )


SETTINGS = {
    "two D steps, warm-up, no average": {"discriminator_steps": 2, "warmup_steps": 3, "ema_decay": 0.0},
    "in parts, fresh fakes, R1, augmentation, attention": {
        "accumulation_steps": 2,
        "reuse_fakes": False,
        "gradient_penalty": "r1",
        "augment": ("color",),
        "discriminator_attention": (16,),
    },
}


@pytest.mark.parametrize("options", SETTINGS.values(), ids=SETTINGS)
def test_fit_gives_the_updates_of_the_command_bit_for_bit(digits, options, eagerly):
    config = dataclasses.replace(PLAIN, **options)
    trainer = Trainer(digits, config)
    scalars = trainer.train(2)
    gan = gan_of(config, run_eagerly=True)
    history = fit(gan, batches_of(digits, config), 2).history
    assert largest_difference(weights_of(gan), trainer.weights())[0] == 0
    for tag, value in scalars.items():
        assert history[tag] == [pytest.approx(value, rel=1e-5, abs=1e-6)], tag


@pytest.mark.parametrize("devices", ["cpu:2", pytest.param("cpu:1", marks=pytest.mark.slow)])
def test_compiled_it_gives_them_but_for_rounding(digits, devices):
    """Graphs of another shape are optimized in other ways. On two replicas, and on one."""
    with running_eagerly():
        trainer = Trainer(digits, PLAIN, optimizer=DESCENT)
        scalars = trainer.train(2)
    strategy = make_workers(devices).strategy
    with strategy.scope():
        gan = gan_of(PLAIN, DESCENT)
    history = gan.fit(joined(batches_of(digits, PLAIN), 0, 2), verbose=0).history
    difference, path = largest_difference(weights_of(gan), trainer.weights())
    assert difference < 1e-4, path
    for tag, value in scalars.items():
        assert history[tag] == [pytest.approx(value, rel=1e-4, abs=1e-5)], tag


def test_callbacks_saving_and_going_on(digits, tmp_path, eagerly):
    """Two steps are one, a file, and one more; with a schedule, whose rate depends on the step."""
    config = dataclasses.replace(PLAIN, warmup_steps=2)
    batches = list(batches_of(digits, config).take(2))
    whole, first = gan_of(config, run_eagerly=True), gan_of(config, run_eagerly=True)
    whole.fit(joined(batches, 0, 2), verbose=0)
    seen = []
    callbacks = [
        keras.callbacks.ModelCheckpoint(str(tmp_path / "gan.keras")),
        keras.callbacks.CSVLogger(str(tmp_path / "log.csv")),
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs)),
    ]
    first.fit(joined(batches, 0, 1), verbose=0, callbacks=callbacks)
    assert "loss/generator" in seen[0] and "loss/generator" in (tmp_path / "log.csv").read_text()
    second = keras.saving.load_model(tmp_path / "gan.keras")
    assert type(second) is GAN and second.get_config() == first.get_config()
    second.fit(joined(batches, 1, 2), verbose=0)
    for path, value in weights_of(whole).items():
        np.testing.assert_array_equal(weights_of(second)[path], value, err_msg=path)
    first.save_weights(tmp_path / "gan.weights.h5")
    third = gan_of(config, run_eagerly=True)
    third.load_weights(tmp_path / "gan.weights.h5")
    third.fit(joined(batches, 1, 2), verbose=0)
    assert largest_difference(weights_of(third), weights_of(whole))[0] == 0
    z, labels = np.zeros((2, 8), np.float32), np.array([1, 2])
    np.testing.assert_array_equal(second.predict([z, labels], verbose=0), second.ema_generator(z, labels))
    np.testing.assert_array_equal(second.sample(3, n=2), whole.sample(["3"], n=2))
    before = weights_of(third)
    third.compile()
    assert largest_difference(weights_of(third), before)[0] == 0 and third._state.step.numpy() == 2


def test_what_is_loaded_before_compile_stays(digits, tmp_path, eagerly):
    """The average and the step, in whatever order it is loaded, compiled and saved."""
    gan = gan_of(PLAIN, run_eagerly=True)
    gan.fit(joined(batches_of(digits, PLAIN), 0, 1), verbose=0)
    wanted = weights_of(gan)
    assert np.abs(wanted["ema_generator/dense/kernel"] - wanted["generator/dense/kernel"]).max() > 0
    gan.save(tmp_path / "gan.keras")
    gan.save_weights(tmp_path / "gan.weights.h5")
    of_file = keras.saving.load_model(tmp_path / "gan.keras", compile=False)
    of_file.save(tmp_path / "again.keras")
    again = keras.saving.load_model(tmp_path / "again.keras", compile=False)
    of_weights = GAN(objects.make_generator(PLAIN, 10), objects.make_discriminator(PLAIN, 10))
    of_weights.load_weights(tmp_path / "gan.weights.h5")
    for loaded in (of_file, again, of_weights):
        loaded.compile(run_eagerly=True)
        assert largest_difference(weights_of(loaded), wanted)[0] == 0
        assert loaded._state.step.numpy() == 1


def test_unconditional_and_uint8(eagerly):
    """Images alone; their pixels are scaled."""
    keras.utils.set_random_seed(0)
    small = {"image_size": 32, "channels": 1, "classes": 0, "attention": ()}
    gan = GAN(Generator(z_dim=8, **small), Discriminator(**small))
    gan.compile(run_eagerly=True)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
    history = gan.fit(tf.data.Dataset.from_tensors(pixels), verbose=0).history
    assert np.isfinite(history["loss/discriminator"]).all()
    images, labels = gan._batch(tf.constant(pixels))
    np.testing.assert_allclose(images, pixels / 127.5 - 1, atol=1e-6)
    assert labels.numpy().tolist() == [0] * 4
    assert any(isinstance(layer, ConditionalBatchNormalization) for layer in gan.generator.inner_layers)


IMAGES, LABELS = np.zeros((4, 32, 32, 3), np.float32), np.zeros(4, np.int32)


@pytest.mark.parametrize(
    ("settings", "batch", "message"),
    [
        ({"loss": "hinges"}, None, "loss='hinges': allowed are hinge, kl,"),
        ({"gradient_penalty": "r2"}, None, "gradient_penalty='r2': allowed are none, r1, r1,r2, wgan_gp"),
        ({"discriminator_steps": 0}, None, "discriminator_steps=0: must be at least 1"),
        ({"discriminator_steps": 3}, (IMAGES, LABELS), "a batch of 4 images: must be a multiple of .* 3"),
        ({}, IMAGES, "labels are missing: there are 10 classes"),
        ({}, (IMAGES, LABELS[:, None]), r"labels of shape \(4, 1\) and type int32: must be integers"),
        ({}, (IMAGES, LABELS.astype(np.float32)), "and type float32: must be integers"),
        ({}, (IMAGES.astype(np.float64), LABELS), "images of type float64: must be uint8 or float32"),
        ({}, (IMAGES[:, :16], LABELS), r"images of shape \(4, 16, 32, 3\): must be \(n, 32, 32, 3\)"),
    ],
)
def test_what_does_not_fit_is_named(settings, batch, message, eagerly):
    gan = GAN(*(network(32, 1, 10, attention=()) for network in (Generator, Discriminator)))
    with pytest.raises(ValueError, match=message):
        gan.compile(run_eagerly=True, **settings)
        gan.fit(tf.data.Dataset.from_tensors(batch), verbose=0)


def test_the_policy_scales_no_loss_behind_the_step(eagerly):
    """Gradients of the generator would be divided by a scale that nothing was multiplied by."""
    gan = GAN(
        *(network(32, 1, 10, attention=(), dtype="mixed_float16") for network in (Generator, Discriminator))
    )
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        gan.compile(run_eagerly=True)
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    assert type(gan.optimizer) is type(gan.discriminator_optimizer)


def test_networks_and_batches_that_do_not_fit():
    generator = Generator(32, 1, 10, attention=())
    with pytest.raises(ValueError, match="classes: the generator has 10, the discriminator 3"):
        GAN(generator, Discriminator(32, 1, 3, attention=()))
    gan = GAN(generator, Discriminator(32, 1, 10, attention=()))
    gan.compile()
    with pytest.raises(ValueError, match="the batch size is unknown: batch the dataset with drop_remainder"):
        gan.fit(tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(3), verbose=0)
    with pytest.raises(NotImplementedError, match="no loss on a test set"):
        gan.evaluate(tf.data.Dataset.from_tensors((IMAGES, LABELS)), verbose=0)
