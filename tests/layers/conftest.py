"""What every layer of the package must do: the fixture `run_layer_test`."""

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
    """A function that puts a layer through weight counts, serialisation, dtype policy and a training step.

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
            _check_saved_model(make(dtype="float32"), inputs, tmp_path / "layer.keras")
            _check_policy(make, inputs)
            _check_training_step(layer, inputs, call_arguments)

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
    copy = type(layer).from_config(config)
    assert copy.get_config() == layer.get_config()
    copy(*inputs)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copy(*inputs), layer(*inputs))


def _check_saved_model(layer, inputs, path):
    """Inside a functional model of unknown batch size, through a .keras file and back."""
    symbols = [keras.Input(np.shape(array)[1:], dtype=array.dtype) for array in inputs]
    model = keras.Model(symbols, layer(*symbols))
    _perturb(layer)
    model.save(path)
    loaded = keras.saving.load_model(path)
    assert [v.shape for v in loaded.variables] == [v.shape for v in model.variables]
    np.testing.assert_array_equal(loaded(list(inputs)), model(list(inputs)))
    assert model.output_shape == (None, *layer(*inputs).shape[1:])


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
