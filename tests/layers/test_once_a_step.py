"""When u moves by itself: once for each value of the kernel in a compiled step, never outside training."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import SNConv2D, SNDense, SNEmbedding, SpectralNorm
from tests.layers.conftest import assert_sigma_is_the_largest_singular_value, fitted
from tests.layers.test_spectral_normalization import numpy_power_iteration

REAL = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
MAKES = {
    "SNDense": lambda: SNDense(3),
    "SpectralNorm": lambda: SpectralNorm(keras.layers.Dense(3)),
}


class Critic(keras.Model):
    """A discriminator whose step, like those of many users, runs it several times before each update.

    It sees reals, fakes, and mixtures for a gradient penalty, `updates` times in one step.
    """

    def __init__(self, layer, updates=1):
        super().__init__()
        self.layer, self.updates = layer, updates

    def call(self, x, training=None):
        return self.layer(x)

    def train_step(self, data):
        data = data[0]
        for _ in range(self.updates):
            with tf.GradientTape() as tape:
                real, fake = self(data, training=True), self(-data, training=True)
                with tf.GradientTape() as inner:
                    mixed = data * 0.5
                    inner.watch(mixed)
                    logits = self(mixed, training=True)
                slope = inner.gradient(logits, mixed)
                loss = tf.reduce_mean(fake - real) + tf.reduce_mean(tf.square(slope))
            variables = self.trainable_variables
            self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return {"loss": loss}


@pytest.fixture(params=MAKES)
def make(request):
    return MAKES[request.param]


def matrix_of(layer):
    return layer.kernel.numpy().astype(np.float64)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_one_iteration_for_three_passes(make, jit_compile):
    model = Critic(make())
    model(REAL)
    model.compile(keras.optimizers.SGD(0.1), jit_compile=jit_compile)
    for _ in range(2):
        before, matrix = model.layer.u.numpy(), matrix_of(model.layer)
        model.train_on_batch(REAL)
        assert np.abs(model.layer.kernel - matrix).max() > 1e-4
        _, once, _ = numpy_power_iteration(matrix, before, 1)
        np.testing.assert_allclose(model.layer.u, once, rtol=1e-4, atol=1e-5)
        _, twice, _ = numpy_power_iteration(matrix, before, 2)
        assert np.abs(twice - once).max() > 1e-3  # two would show
        before = model.layer.u.numpy()


def test_one_iteration_for_each_update_within_a_step(make):
    """Each update changes the kernel: u follows it. SGD of rate 0 keeps the value, but writes it."""
    model = Critic(make(), updates=3)
    model(REAL)
    model.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    before, matrix = model.layer.u.numpy(), matrix_of(model.layer)
    model.train_on_batch(REAL)
    _, expected, _ = numpy_power_iteration(matrix, before, 3)
    np.testing.assert_allclose(model.layer.u, expected, rtol=1e-4, atol=1e-5)


def test_all_passes_of_a_step_have_one_sigma(make):
    """And each has the gradient through it: that of two passes together is that of one pass over both."""
    layer = make()
    layer(REAL)

    def gradients(u, passes):
        layer.u.assign(u)
        compiled = tf.function(lambda: _gradient(layer, passes))
        return [np.asarray(gradient) for gradient in compiled()]

    start = layer.u.numpy()
    together, apart = gradients(start, [REAL]), gradients(start, [REAL[:1], REAL[1:]])
    for one, other in zip(together, apart, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def _gradient(layer, passes):
    with tf.GradientTape() as tape:
        loss = tf.add_n([tf.reduce_sum(tf.sin(layer(x, training=True))) for x in passes])
    return tape.gradient(loss, [variable.value for variable in layer.trainable_variables])


def test_evaluation_prediction_and_frozen_layers_move_nothing(make):
    layer = make()
    model = keras.Sequential([keras.Input((6,)), layer])
    model.compile("sgd", "mse", jit_compile=False)
    target = np.ones((4, 3), np.float32)
    for action in (model.evaluate, model.fit):
        layer.trainable = action == model.evaluate
        model.compile("sgd", "mse", jit_compile=False)
        before = layer.u.numpy()
        action(REAL, target, verbose=0)
        model.predict(REAL, verbose=0)
        np.testing.assert_array_equal(layer.u, before)
    layer.trainable = True
    model.compile("sgd", "mse", jit_compile=False)
    model.fit(REAL, target, verbose=0)
    assert np.abs(layer.u - before).max() > 1e-3


def test_a_frozen_layer_inside_a_wrapper_moves_nothing():
    wrapper = SpectralNorm(keras.layers.Dense(3))
    wrapper(REAL)
    wrapper.layer.trainable, before = False, wrapper.u.numpy()
    wrapper(REAL, training=True)
    np.testing.assert_array_equal(wrapper.u, before)


def test_in_eager_mode_each_training_pass_moves_u(make):
    layer = make()
    layer(REAL)
    before, matrix = layer.u.numpy(), matrix_of(layer)
    for _ in range(3):
        layer(REAL, training=True)
        layer(REAL)
    np.testing.assert_allclose(layer.u, numpy_power_iteration(matrix, before, 3)[1], rtol=1e-4, atol=1e-5)


def test_what_is_said_holds(make):
    """update_u=True moves u at inference and where the layer is frozen; False keeps it in training."""
    layer = make()
    layer(REAL)
    layer.trainable = False
    before = layer.u.numpy()
    tf.function(lambda: layer(REAL, training=True, update_u=False))()
    np.testing.assert_array_equal(layer.u, before)
    tf.function(lambda: layer(REAL, update_u=True))()
    assert np.abs(layer.u - before).max() > 1e-3


DOMINATED = {
    "dense": (lambda: SNDense(4, kernel_initializer=dominated), REAL),
    "conv": (lambda: SNConv2D(4, kernel_initializer=dominated), REAL.reshape(1, 4, 2, 3)),
    "embedding": (lambda: SNEmbedding(8, 5, kernel_initializer=dominated), np.array([1, 7, 3, 1], np.int32)),
    "wrapper": (lambda: SpectralNorm(keras.layers.Dense(4, kernel_initializer=dominated)), REAL),
}


def dominated(shape, dtype=None):
    """A kernel with one large singular value: a single iteration from a random u finds 0.3 of it at times."""
    random = np.random.default_rng(5)
    matrix = random.standard_normal((int(np.prod(shape[:-1])), shape[-1]))
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    values = np.concatenate([[10.0], 1 + 0 * values[1:]])
    return tf.constant((left * values @ right).reshape(shape), dtype or "float32")


@pytest.mark.parametrize("kind", DOMINATED)
def test_sigma_after_fit_is_within_one_percent(kind):
    make, inputs = DOMINATED[kind]
    layer = make()
    fitted(layer, (inputs,), steps=20, jit_compile=False)
    assert assert_sigma_is_the_largest_singular_value(layer) == 1
