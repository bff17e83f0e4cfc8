"""Conditional batch norm against NumPy: training, inference, moving averages, one replica and two."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import ConditionalBatchNormalization

CLASSES, CHANNELS, EPSILON = 3, 4, 1e-5
LABELS = np.array([2, 0, 2, 1], np.int32)
SHAPES = [(4, CHANNELS), (4, 5, CHANNELS), (4, 3, 2, CHANNELS), (4, 2, 3, 2, CHANNELS)]


def inputs_of(shape=(4, 3, 2, CHANNELS), seed=0):
    """Every channel with a mean and a deviation of its own."""
    random = np.random.default_rng(seed)
    mean, deviation = np.arange(shape[-1]) - 1.0, np.arange(shape[-1]) + 0.5
    return (mean + deviation * random.standard_normal(shape)).astype(np.float32)


def made(classes=CLASSES, shape=(4, 3, 2, CHANNELS), **arguments):
    """A built layer with gains and biases that are not 1 and 0."""
    layer = ConditionalBatchNormalization(classes, **arguments)
    layer.build(shape)
    random = np.random.default_rng(1)
    layer.gain.assign(1 + random.standard_normal(layer.gain.shape))
    layer.bias.assign(random.standard_normal(layer.bias.shape))
    return layer


def moments(inputs):
    """Mean and biased variance of each channel, float64 (C,)."""
    rows = inputs.astype(np.float64).reshape(-1, inputs.shape[-1])
    mean = rows.sum(axis=0) / len(rows)
    return mean, np.square(rows - mean).sum(axis=0) / len(rows)


def oracle(inputs, labels, gain, bias, mean, variance):
    outputs = (inputs.astype(np.float64) - mean) / np.sqrt(variance + EPSILON)
    for index in range(len(inputs)):
        row = () if labels is None else labels[index]
        outputs[index] = outputs[index] * gain[row] + bias[row]
    return outputs


def parameters(layer):
    return layer.gain.numpy().astype(np.float64), layer.bias.numpy().astype(np.float64)


def averages(layer):
    return layer.moving_mean.numpy(), layer.moving_variance.numpy()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("classes", "labels"), [(CLASSES, LABELS), (0, None)])
def test_training_and_inference(classes, labels, shape):
    inputs, layer = inputs_of(shape), made(classes, shape)
    expected = oracle(inputs, labels, *parameters(layer), *moments(inputs))
    np.testing.assert_allclose(layer(inputs, labels, training=True), expected, rtol=1e-4, atol=1e-5)
    mean, variance = np.linspace(-2, 2, CHANNELS), np.linspace(0.1, 3, CHANNELS)
    layer.moving_mean.assign(mean)
    layer.moving_variance.assign(variance)
    expected = oracle(inputs, labels, *parameters(layer), mean, variance)
    np.testing.assert_allclose(layer(inputs, labels), expected, rtol=1e-4, atol=1e-5)


def test_new_tables_are_gain_1_and_bias_0():
    layer = ConditionalBatchNormalization(CLASSES)
    outputs = layer(inputs_of(), LABELS, training=True).numpy()
    np.testing.assert_allclose(outputs.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(outputs.std(axis=(0, 1, 2)), 1, atol=1e-3)
    assert layer.gain.shape == layer.bias.shape == (CLASSES, CHANNELS)


def test_a_sample_at_inference_does_not_depend_on_its_batch():
    layer = made()
    layer(inputs_of(), LABELS, training=True, update_statistics=True)
    batch = layer(inputs_of(seed=5), LABELS)
    for index, label in enumerate(LABELS):
        alone = layer(inputs_of(seed=5)[index : index + 1], LABELS[index : index + 1])
        # One product and one sum a value: an instruction for both at once rounds once less.
        np.testing.assert_allclose(alone[0], batch[index], rtol=1e-6, atol=1e-6, err_msg=str(label))
    in_training = layer(inputs_of(seed=5)[:1], LABELS[:1], training=True)
    assert np.abs(in_training[0] - batch[0]).max() > 0.01


@pytest.mark.parametrize("momentum", [0.999, 0.25, 0.0])
def test_moving_averages_with_their_warm_up(momentum):
    layer = made(momentum=momentum)
    mean, variance = np.zeros(CHANNELS), np.ones(CHANNELS)
    for update in range(8):
        inputs = inputs_of(seed=update)
        layer(inputs, LABELS, training=True, update_statistics=True)
        keep = min(momentum, (1 + update) / (10 + update))
        batch_mean, batch_variance = moments(inputs)
        mean = keep * mean + (1 - keep) * batch_mean
        variance = keep * variance + (1 - keep) * batch_variance
        np.testing.assert_allclose(layer.moving_mean, mean, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(layer.moving_variance, variance, rtol=1e-4)
    assert layer.updates.numpy() == 8


def test_only_a_training_pass_that_may_moves_the_averages():
    for may in (True, None):  # None: as training
        layer = made()
        before = layer.get_weights()
        layer(inputs_of(), LABELS, training=True, update_statistics=False)
        layer(inputs_of(), LABELS, training=False, update_statistics=may)
        for old, new in zip(before, layer.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
        layer(inputs_of(), LABELS, training=True, update_statistics=may)
        pairs = zip(layer.weights, before, strict=True)
        changed = [variable.name for variable, old in pairs if np.any(variable.numpy() != old)]
        assert changed == ["moving_mean", "moving_variance", "updates"]


def test_it_moves_when_kerass_own_does():
    """Each training pass moves the averages, also two in one step; a frozen layer is at inference."""
    ours, theirs = made(0, momentum=0.0), keras.layers.BatchNormalization(momentum=0.0, epsilon=EPSILON)
    for layer in (ours, theirs):
        layer(inputs_of(), training=True)
        first = layer.moving_mean.numpy()
        layer(inputs_of(seed=1), training=True)
        assert np.abs(layer.moving_mean - first).max() > 0.1
        layer.trainable = False
        layer(inputs_of(seed=2), training=True)
    np.testing.assert_allclose(averages(ours), [theirs.moving_mean, theirs.moving_variance], rtol=1e-4)
    ours.gain.assign(theirs.gamma)
    ours.bias.assign(theirs.beta)
    frozen = [layer(inputs_of(seed=2), training=True) for layer in (ours, theirs)]
    np.testing.assert_allclose(*frozen, rtol=1e-4, atol=1e-5)


def test_fitted_statistics_are_the_datas():
    """In a functional model, on batches that differ: within a few percent; red if `fit` moves nothing."""
    images, labels = inputs_of((512, 4, 4, CHANNELS)), np.arange(512, dtype=np.int32) % CLASSES
    x, y = keras.Input(images.shape[1:]), keras.Input((), dtype="int32")
    layer = ConditionalBatchNormalization(CLASSES)
    model = keras.Model([x, y], layer(x, y))
    model.compile("sgd", "mse", jit_compile=False)
    model.fit([images, labels], images, batch_size=32, epochs=6, verbose=0)
    mean, variance = moments(images)
    np.testing.assert_allclose(layer.moving_mean, mean, atol=0.05)
    np.testing.assert_allclose(layer.moving_variance, variance, rtol=0.05)
    predicted = model.predict([images, labels], batch_size=512, verbose=0)
    in_training = layer(images, labels, training=True).numpy()
    assert np.abs(predicted - in_training).mean() < 0.05


@pytest.mark.parametrize("labels", [[2, 3, 0, 1], [0, -1, 0, 1]])
def test_a_label_out_of_range_is_named(labels):
    wrong = next(label for label in labels if label not in range(CLASSES))
    with pytest.raises(ValueError, match=f"labels: {wrong} was given; allowed are 0 to 2"):
        made()(inputs_of(), np.array(labels))
    with pytest.raises(ValueError, match="labels are missing: there are 3 classes"):
        made()(inputs_of())


@pytest.mark.parametrize(
    "labels", [np.zeros((4, 1), np.int32), np.zeros((4, 3), np.int32), np.float32([0] * 4)]
)
def test_labels_of_another_shape_or_type_are_refused(labels):
    """Where the batch is as large as an axis, numbers would come out all the same."""
    problem = "labels of type float32" if labels.ndim == 1 else r"labels of shape .*: must be \(batch,\)"
    with pytest.raises(ValueError, match=problem):
        made()(np.ones((4, 4, 4, CHANNELS), np.float32), labels)


def test_labels_of_bytes_are_labels():
    inputs, layer = inputs_of(), made()
    layer.gain.assign(np.random.default_rng(0).normal(size=layer.gain.shape))
    np.testing.assert_array_equal(layer(inputs, LABELS.astype(np.uint8)), layer(inputs, LABELS))


def test_other_channels_are_refused():
    with pytest.raises(ValueError, match="expected axis -1 of input shape to have value"):
        made()(np.ones((4, 3, 2, 1), np.float32), LABELS)


@pytest.mark.parametrize("shape", [(4,), (4, None)])
def test_inputs_without_known_channels_are_refused(shape):
    with pytest.raises(ValueError, match=r"input of shape \(4.*: must be \(batch, ..., channels\)"):
        ConditionalBatchNormalization(CLASSES).build(shape)


def test_gradients_equal_finite_differences():
    """Those that flow through the batch's mean and variance included."""
    inputs, layer = inputs_of((4, 2, CHANNELS)), made(shape=(4, 2, CHANNELS))
    target = np.random.default_rng(7).standard_normal(inputs.shape)

    def loss_of(inputs, gain, bias):
        outputs = oracle(inputs, LABELS, gain, bias, *moments(inputs))
        return np.square(outputs - target).mean()

    x = tf.Variable(inputs)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(layer(x, LABELS, training=True, update_statistics=True) - target))
    gradients = tape.gradient(loss, [x, layer.gain.value, layer.bias.value])
    arguments = [inputs.astype(np.float64), *parameters(layer)]
    for place, gradient in enumerate(gradients):
        expected = np.zeros(arguments[place].shape)
        for index in np.ndindex(*expected.shape):
            losses = []
            for step in (1e-5, -1e-5):
                moved = [array.copy() for array in arguments]
                moved[place][index] += step
                losses.append(loss_of(*moved))
            expected[index] = (losses[0] - losses[1]) / 2e-5
        np.testing.assert_allclose(tf.convert_to_tensor(gradient), expected, rtol=1e-3, atol=1e-5)


def test_mixed_bfloat16_has_float32_statistics():
    """A mean over many positions: bfloat16 sums would be off in the second digit."""
    inputs = 1 + np.random.default_rng(0).standard_normal((4, 32, 32, CHANNELS)).astype(np.float32)
    inputs = tf.cast(tf.cast(inputs, tf.bfloat16), tf.float32).numpy()  # as the layer will see it
    layer = made(shape=inputs.shape, momentum=0.0, dtype="mixed_bfloat16")
    outputs = layer(inputs, LABELS, training=True, update_statistics=True)
    assert outputs.dtype == tf.bfloat16
    assert {variable.dtype for variable in layer.variables} == {"float32"}
    mean, variance = moments(inputs)
    np.testing.assert_allclose(layer.moving_mean, mean, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, variance, rtol=1e-5)
    expected = oracle(inputs, LABELS, *parameters(layer), mean, variance)
    assert np.abs(tf.cast(outputs, tf.float32) - expected).max() < 0.02 * np.abs(expected).max()


@pytest.mark.parametrize("ratio", [1, 5, 20])
def test_mixed_bfloat16_with_means_that_are_large_against_deviations(ratio):
    """What is rounded is the result alone. The gradient of the gain is a sum of terms that nearly cancel."""
    random = np.random.default_rng(0)
    inputs = tf.cast(ratio + random.standard_normal((4, 32, 32, CHANNELS)), tf.bfloat16)
    upstream = tf.cast(random.standard_normal(inputs.shape), tf.bfloat16)
    exact, of_outputs = (tensor.numpy().astype(np.float64) for tensor in (inputs, upstream))
    layer = made(shape=inputs.shape, dtype="mixed_bfloat16")
    mean, variance = moments(exact)
    expected = oracle(exact, LABELS, *parameters(layer), mean, variance)
    rows = ((exact - mean) / np.sqrt(variance + EPSILON) * of_outputs).sum(axis=(1, 2))
    of_gain = np.stack([rows[label == LABELS].sum(axis=0) for label in range(CLASSES)])
    with tf.GradientTape() as tape:
        outputs = layer(inputs, LABELS, training=True)
    found = tf.convert_to_tensor(tape.gradient(outputs, layer.gain.value, upstream))
    for ours, theirs, limit in ((outputs, expected, 0.0025), (found, of_gain, 0.001)):
        error = np.linalg.norm(tf.cast(ours, tf.float64) - theirs) / np.linalg.norm(theirs)
        assert error < limit


@functools.cache
def two_replicas():
    """One for all tests: a second one in a process would number its reductions as the first did."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def run_on_two_replicas(layer_of, inputs, target):
    """A training pass with half of the batch on each of two replicas.

    Returns:
      Outputs and gradients with respect to the inputs, of the whole batch; the gradients of gain and
      bias summed over the replicas, as an optimizer sums them; the layer.
    """
    strategy = two_replicas()
    with strategy.scope():
        layer = layer_of()

    @tf.function
    def replica_pass():
        half = 2 * tf.distribute.get_replica_context().replica_id_in_sync_group
        x, labels, wanted = (tf.constant(array)[half : half + 2] for array in (inputs, LABELS, target))
        variables = [layer.gain.value, layer.bias.value]
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, labels, training=True, update_statistics=True)
            loss = tf.reduce_sum(tf.square(outputs - wanted))
        x_gradient, *gradients = tape.gradient(loss, [x, *variables])
        return outputs, x_gradient, *[tf.convert_to_tensor(gradient) for gradient in gradients]

    results = [strategy.experimental_local_results(value) for value in strategy.run(replica_pass)]
    for variable in layer.non_trainable_variables:
        copies = strategy.experimental_local_results(variable.value)
        np.testing.assert_array_equal(copies[0], copies[1], err_msg=variable.path)
    outputs, x_gradient = (np.concatenate(values) for values in results[:2])
    return outputs, x_gradient, *[sum(values).numpy() for values in results[2:]], layer


def run_on_one(layer, inputs, labels, target):
    x = tf.Variable(inputs)
    with tf.GradientTape() as tape:
        outputs = layer(x, labels, training=True, update_statistics=True)
        loss = tf.reduce_sum(tf.square(outputs - target))
    gradients = tape.gradient(loss, [x, layer.gain.value, layer.bias.value])
    return outputs, *[tf.convert_to_tensor(gradient).numpy() for gradient in gradients]


@pytest.mark.parametrize("offset", [0, 100])
def test_synchronized_replicas_equal_one_with_the_whole_batch(offset):
    """Gradients included. A mean of 100 costs digits: the variance of the two means is a difference."""
    inputs = inputs_of() + np.float32(offset) + np.array([0, 0, 5, 5], np.float32)[:, None, None, None]
    target = np.random.default_rng(7).standard_normal(inputs.shape).astype(np.float32)
    *results, layer = run_on_two_replicas(lambda: made(synchronized=True), inputs, target)
    single = made(synchronized=True)
    expected = run_on_one(single, inputs, LABELS, target)
    for value, other in zip(results, expected, strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-3, atol=1e-3 if offset else 1e-4)
    np.testing.assert_allclose(averages(layer), averages(single), rtol=1e-3 if offset else 1e-5)
    assert layer.updates.numpy() == 1


@pytest.mark.parametrize("images", [7, 5])
def test_synchronized_replicas_count_by_their_examples(images):
    """The last batch of a dataset: of 7 in batches of 4 it gives 2 and 1, of 5 it gives 1 and none."""
    inputs = (inputs_of((images, 3, 2, CHANNELS)) * np.arange(1, images + 1)[:, None, None, None]).astype(
        "float32"
    )
    with two_replicas().scope():
        layer = ConditionalBatchNormalization(0, synchronized=True, momentum=0.0)
        model = keras.Sequential([keras.Input((3, 2, CHANNELS)), layer])
        model.compile("sgd", "mse", jit_compile=False)
    model.fit(tf.data.Dataset.from_tensor_slices((inputs, inputs)).batch(4), verbose=0)
    mean, variance = moments(inputs[4:])
    np.testing.assert_allclose(layer.moving_mean, mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, variance, rtol=1e-4)
    assert all(np.isfinite(weight).all() for weight in layer.get_weights())


def test_other_replicas_are_on_their_own():
    """Each normalizes by its half of the batch; the moving averages are the mean of theirs."""
    inputs = inputs_of() + np.array([0, 0, 5, 5], np.float32)[:, None, None, None]
    target = np.random.default_rng(7).standard_normal(inputs.shape).astype(np.float32)
    outputs, x_gradient, *gradients, layer = run_on_two_replicas(lambda: made(momentum=0.0), inputs, target)
    totals, moving = [0, 0], 0
    for half in (slice(0, 2), slice(2, 4)):
        single = made(momentum=0.0)
        expected = run_on_one(single, inputs[half], LABELS[half], target[half])
        np.testing.assert_allclose(outputs[half], expected[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(x_gradient[half], expected[1], rtol=1e-3, atol=1e-4)
        totals = [total + gradient for total, gradient in zip(totals, expected[2:], strict=True)]
        moving = moving + np.array(averages(single)) / 2
    for gradient, total in zip(gradients, totals, strict=True):
        np.testing.assert_allclose(gradient, total, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(averages(layer), moving, rtol=1e-4, atol=1e-5)


def test_the_momentum_is_that_of_the_original_code_by_default():
    assert made().momentum == 0.999


@pytest.mark.parametrize("momentum", [-0.1, 1.0])
def test_wrong_momentum_is_named(momentum):
    with pytest.raises(ValueError, match=f"momentum={momentum}: must be in"):
        ConditionalBatchNormalization(CLASSES, momentum)


@pytest.mark.parametrize(
    ("classes", "labels", "shape", "table"),
    [
        (CLASSES, (LABELS,), (4, 3, 2, CHANNELS), (CLASSES, CHANNELS)),
        (CLASSES, (LABELS,), (4, CHANNELS), (CLASSES, CHANNELS)),
        (0, (), (4, 5, CHANNELS), (CHANNELS,)),
    ],
)
def test_layer_contract(run_layer_test, classes, labels, shape, table):
    weights = {"gain": table, "bias": table}
    weights |= {"moving_mean": (CHANNELS,), "moving_variance": (CHANNELS,), "updates": ()}

    def make(dtype):
        return ConditionalBatchNormalization(classes, 0.9, 1e-3, True, dtype=dtype)

    run_layer_test(make, (inputs_of(shape), *labels), weights, training=True)
