"""What every layer of the package must do: the fixture `run_layer_test`."""

import inspect
import json
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(0)


@pytest.fixture
def run_layer_test(tmp_path):
    """A function that puts a layer through all that people do with a layer in Keras.

    Weight counts, serialization, dtype policy, a training step, `fit` and `predict` of functional and of
    subclassed models, `clone_model`, `summary`.

    Its arguments:
      make: called with `dtype=...`, returns a new layer.
      inputs: tuple of arrays, floats and integer labels, that the layer is called with.
      weights: the shape of every weight by its path below the layer's name, trainable ones first.
      call_arguments: keyword arguments of the training pass.
    """

    def check(make, inputs, weights, **call_arguments):
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            layer = make(dtype="float32")
            outputs = layer(*inputs)
            assert _shapes(layer) == weights
            ordered = layer.trainable_variables + layer.non_trainable_variables
            assert list(weights) == [_below(layer, variable) for variable in ordered]
            assert layer.compute_output_shape(*[np.shape(array) for array in inputs]) == outputs.shape
            _perturb(layer)
            _check_configuration(layer, inputs)
            _check_policy(make, inputs)
            _check_training_step(layer, inputs, call_arguments)
        _check_functional_model(make(dtype="float32"), inputs, tmp_path / "model.keras")
        _check_subclassed_model(make(dtype="float32"), inputs)

    return check


def _below(layer, variable):
    return variable.path.removeprefix(f"{layer.name}/")


def _shapes(layer):
    return {_below(layer, variable): tuple(variable.shape) for variable in layer.variables}


def _perturb(layer):
    """Moves every trainable weight off its initial value, so that an ignored gamma, bias or gain shows."""
    random = np.random.default_rng(0)
    for variable in layer.trainable_variables:
        variable.assign_add(0.3 * random.standard_normal(variable.shape).astype(np.float32))


def _check_configuration(layer, inputs):
    config = json.loads(json.dumps(layer.get_config()))
    arguments = set(inspect.signature(type(layer).__init__).parameters)
    assert arguments - config.keys() <= {"self", "layer_arguments", "data_format"}  # that has one value
    copy = type(layer).from_config(config)
    copy(*inputs)  # a wrapper's configuration says whether its layer is built
    assert json.dumps(copy.get_config()) == json.dumps(layer.get_config())
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copy(*inputs), layer(*inputs))


def _check_policy(make, inputs):
    """Under mixed_bfloat16 weights stay float32, the output is bfloat16 and near the float32 layer's."""
    mixed, exact = make(dtype="mixed_bfloat16"), make(dtype="float32")
    assert mixed(*inputs).dtype == tf.bfloat16
    assert {v.dtype for v in mixed.variables} == {"float32"}
    exact(*inputs)
    _perturb(mixed)
    exact.set_weights(mixed.get_weights())
    expected = exact(*inputs).numpy()
    assert np.abs(tf.cast(mixed(*inputs), tf.float32) - expected).max() < 0.03 * np.abs(expected).max()


def _check_training_step(layer, inputs, call_arguments):
    """One step against the gradient lowers the loss, and every trainable weight has a part in it."""
    variables = [variable.value for variable in layer.trainable_variables]
    target = np.random.default_rng(1).standard_normal(layer(*inputs).shape)

    def loss_and_gradients():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(layer(*inputs, **call_arguments) - target))
        return loss, tape.gradient(loss, variables)

    before, gradients = loss_and_gradients()
    gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
    for variable, gradient in zip(layer.trainable_variables, gradients, strict=True):
        assert np.abs(gradient).max() > 0, variable.path
    length = tf.linalg.global_norm(gradients)
    for variable, gradient in zip(layer.trainable_variables, gradients, strict=True):
        variable.assign_sub(0.01 * gradient / length)
    assert loss_and_gradients()[0] < before


FIT_STEPS = 150


def fitted(layer, inputs, steps=FIT_STEPS, **compile_arguments):
    """A functional model of one layer after `fit` on one batch, its weights nearly as they were before."""
    symbols = [keras.Input(np.shape(array)[1:], dtype=array.dtype) for array in inputs]
    model = keras.Model(symbols, layer(*symbols))
    _perturb(layer)
    model.compile(keras.optimizers.SGD(1e-5), loss="mse", **compile_arguments)
    batch = (tuple(inputs), np.zeros(layer(*inputs).shape, np.float32))
    model.fit(tf.data.Dataset.from_tensors(batch).repeat(steps), verbose=0)
    return model


def assert_sigma_is_the_largest_singular_value(layer, tolerance=0.01):
    """Of every kernel in a layer. Returns how many there are."""
    normalized = [each for each in layer._flatten_layers() if hasattr(each, "u")]
    for each in normalized:
        exact = np.linalg.svd(each._matrix().numpy(), compute_uv=False)[0]
        assert abs(each.sigma() / exact - 1) < tolerance, each.path
    return len(normalized)


def _check_functional_model(layer, inputs, path):
    """A model of unknown batch size: fitted, as a copy, and through a .keras file and back."""
    model = fitted(layer, inputs, jit_compile=True)
    assert_sigma_is_the_largest_singular_value(layer)
    predicted = model.predict(list(inputs), verbose=0)
    in_training = np.asarray(model(list(inputs), training=True))
    assert np.abs(predicted - in_training).max() < 0.02 * np.abs(in_training).max()
    lines = []
    model.summary(print_fn=lines.append)
    shape = ", ".join(map(str, (None, *predicted.shape[1:])))
    assert f"({shape}{')' if predicted.ndim > 1 else ',)'}" in "".join(lines)
    assert model.output_shape == (None, *predicted.shape[1:])
    outputs = model(list(inputs), training=False)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    model.save(path)
    for copy in (clone, keras.saving.load_model(path)):
        assert [v.shape for v in copy.variables] == [v.shape for v in model.variables]
        np.testing.assert_array_equal(copy(list(inputs), training=False), outputs)


class OneLayer(keras.Model):
    """A subclassed model."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, inputs, training=None):  # without `training`, Keras would tell no layer that it trains
        return self.layer(*inputs)


def _check_subclassed_model(layer, inputs):
    """Every state moves in `fit`, and none in `evaluate`, in `predict`, and where the layer is frozen."""
    model = OneLayer(layer)
    model(inputs)
    _perturb(layer)
    model.compile(keras.optimizers.SGD(1e-5), loss="mse", run_eagerly=True)
    batch = tf.data.Dataset.from_tensors((tuple(inputs), np.zeros(layer(*inputs).shape, np.float32)))
    states = [variable for variable in layer.non_trainable_variables if variable.shape != (1, 1)]
    for action, moves in (
        (model.fit, True),
        (model.evaluate, False),
        (model.predict, False),
        (lambda *_, **__: layer(*inputs, training=True), True),
    ):
        before = [variable.numpy() for variable in states]
        action(batch, verbose=0)
        for variable, old in zip(states, before, strict=True):
            assert np.any(variable.numpy() != old) == moves, (variable.path, action)
    layer.trainable = False
    before = layer.get_weights()
    outputs = layer(*inputs, training=True)
    for variable, old in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(variable, old, err_msg=variable.path)
    np.testing.assert_array_equal(outputs, layer(*inputs))  # frozen: at inference
