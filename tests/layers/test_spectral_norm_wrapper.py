"""`SpectralNorm` around Keras's own layers: against NumPy, finite differences, and their plain form."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import SNConv2D, SNDense, SpectralNorm
from tests.layers.test_spectral_normalization import numpy_power_iteration

RANDOM = np.random.default_rng(0)


def floats(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


# By kind: the layer, its inputs, and the axes of its kernel that are inputs and outputs of the matrix.
KINDS = {
    "Dense": (lambda **a: keras.layers.Dense(5, **a), floats(4, 6), [0], [1]),
    "Conv1D": (lambda **a: keras.layers.Conv1D(5, 3, strides=2, **a), floats(2, 7, 3), [0, 1], [2]),
    "Conv2D": (
        lambda **a: keras.layers.Conv2D(5, 3, padding="same", dilation_rate=2, **a),
        floats(2, 5, 4, 3),
        [0, 1, 2],
        [3],
    ),
    "Conv3D": (lambda **a: keras.layers.Conv3D(4, 2, **a), floats(2, 3, 3, 3, 2), [0, 1, 2, 3], [4]),
    "Conv1DTranspose": (
        lambda **a: keras.layers.Conv1DTranspose(5, 3, strides=2, **a),
        floats(2, 4, 3),
        [0, 2],
        [1],
    ),
    "Conv2DTranspose": (
        lambda **a: keras.layers.Conv2DTranspose(5, 4, strides=2, padding="same", **a),
        floats(2, 3, 3, 3),
        [0, 1, 3],
        [2],
    ),
    "Conv3DTranspose": (
        lambda **a: keras.layers.Conv3DTranspose(2, 2, **a),
        floats(1, 2, 2, 2, 3),
        [0, 1, 2, 4],
        [3],
    ),
    "DepthwiseConv2D": (
        lambda **a: keras.layers.DepthwiseConv2D(3, depth_multiplier=2, **a),
        floats(2, 5, 5, 3),
        [0, 1],
        [2, 3],
    ),
    "Embedding": (lambda **a: keras.layers.Embedding(5, 4, **a), np.array([3, 0, 4], np.int32), [0], [1]),
    "EinsumDense": (
        lambda **a: keras.layers.EinsumDense("btd,dnh->btnh", (None, 3, 4), bias_axes="nh", **a),
        floats(2, 3, 6),
        [0],
        [1, 2],
    ),
    "EinsumDense back": (
        lambda **a: keras.layers.EinsumDense("btnh,nhd->btd", (None, 6), **a),
        floats(2, 3, 2, 4),
        [0, 1],
        [2],
    ),
}
KIND = pytest.mark.parametrize("kind", KINDS)


def made(kind, **arguments):
    """A wrapped layer that has been called once, its inputs, and its kernel as a matrix in float64."""
    make, inputs, inner, outer = KINDS[kind]
    layer = SpectralNorm(make(), **arguments)
    layer(inputs)
    kernel = layer.kernel.numpy().astype(np.float64)
    size = int(np.prod([kernel.shape[axis] for axis in outer]))
    return layer, inputs, kernel.transpose(*inner, *outer).reshape(-1, size)


@KIND
def test_it_computes_with_the_kernel_by_sigma(kind):
    layer, inputs, matrix = made(kind, power_iterations=2)
    sigma, u, _ = numpy_power_iteration(matrix, layer.u.numpy(), 2)
    kernel = layer.kernel.numpy()
    plain = KINDS[kind][0]()
    plain(inputs)
    plain.set_weights(layer.layer.get_weights())
    getattr(plain, "embeddings" if kind == "Embedding" else "kernel").assign(kernel / sigma)
    np.testing.assert_allclose(layer(inputs), plain(inputs), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(layer(inputs, training=True), plain(inputs), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(layer.u, u, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(layer.kernel, kernel)  # W stays the optimizer's


@KIND
def test_baked_it_is_the_plain_layer(kind):
    layer, inputs, _ = made(kind)
    for _ in range(30):
        layer(inputs, training=True)
    baked = layer.bake()
    assert type(baked) is type(layer.layer) and baked.name == layer.layer.name
    assert baked.get_config() == layer.layer.get_config()
    np.testing.assert_allclose(baked(inputs), layer(inputs), rtol=1e-5, atol=1e-6)
    assert np.abs(baked.weights[0] - layer.kernel).max() > 1e-3 and layer(inputs) is not None


@KIND
def test_gradient_is_that_of_w_by_its_singular_value(kind):
    """At convergence, against finite differences of NumPy's singular value decomposition."""
    layer, inputs, matrix = made(kind)
    _, _, right = np.linalg.svd(matrix)
    layer.u.assign(right[:1])
    wanted = np.random.default_rng(1).standard_normal(layer.kernel.shape)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer.normalized_kernel() * tf.constant(wanted, tf.float32))
    gradient = tf.convert_to_tensor(tape.gradient(loss, layer.kernel.value)).numpy()
    kernel, (*_, inner, outer) = layer.kernel.numpy().astype(np.float64), KINDS[kind]

    def loss_of(kernel):
        moved = kernel.transpose(*inner, *outer).reshape(matrix.shape)
        return (wanted * kernel).sum() / np.linalg.svd(moved, compute_uv=False)[0]

    direction = np.random.default_rng(2).standard_normal(kernel.shape)
    slope = (loss_of(kernel + 1e-6 * direction) - loss_of(kernel - 1e-6 * direction)) / 2e-6
    assert (gradient * direction).sum() == pytest.approx(slope, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("kind", ["Dense", "Conv2D", "Conv2DTranspose", "Embedding"])
def test_layer_contract(run_layer_test, kind):
    make, inputs, *_ = KINDS[kind]
    layer, _, matrix = made(kind)
    name = layer.layer.name
    inner = {variable.name: tuple(variable.shape) for variable in layer.layer.trainable_variables}
    weights = {f"inside/{key}": shape for key, shape in inner.items()} | {"u": (1, matrix.shape[1])}
    assert name != "inside"
    run_layer_test(lambda dtype: SpectralNorm(make(dtype=dtype, name="inside")), (inputs,), weights)


def test_under_a_global_policy_the_iteration_is_float32():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = SpectralNorm(keras.layers.Dense(64, use_bias=False))
        model = keras.Sequential([keras.Input((200,)), layer])
        exact = SpectralNorm(keras.layers.Dense(64, use_bias=False, dtype="float32"))
    finally:
        keras.config.set_dtype_policy(before)
    exact.build((None, 200))
    exact.set_weights(layer.get_weights())
    _, u, _ = numpy_power_iteration(layer.kernel.numpy().astype(np.float64), layer.u.numpy(), 1)
    outputs = model(np.eye(200, dtype=np.float32), training=True)
    assert (outputs.dtype, layer.kernel.dtype, layer.compute_dtype) == (tf.bfloat16, "float32", "float32")
    np.testing.assert_allclose(layer.u, u, rtol=1e-4, atol=1e-6)  # in bfloat16 the error would be 4e-3
    expected = tf.cast(exact(np.eye(200, dtype=np.float32), training=True), tf.bfloat16)
    assert np.mean(outputs.numpy() != expected.numpy()) < 1e-3


def test_regularizers_and_masks_of_the_layer_inside_count():
    inside = keras.layers.Dense(3, kernel_regularizer="l2", activity_regularizer="l2")
    layer = SpectralNorm(inside)
    outputs = layer(KINDS["Dense"][1])
    assert len(layer.losses) == 2
    expected = 0.01 * np.square(inside.kernel).sum() + 0.01 * np.square(outputs).sum() / len(outputs)
    assert float(sum(layer.losses)) == pytest.approx(expected, rel=1e-4)
    embedding = SpectralNorm(keras.layers.Embedding(5, 4, mask_zero=True))
    assert embedding.compute_mask(np.array([[1, 0]])).numpy().tolist() == [[True, False]]


def test_one_layer_used_twice_is_normalized_once():
    shared = SpectralNorm(keras.layers.Dense(6))
    image = keras.Input((6,))
    model = keras.Model(image, shared(shared(image)))
    model.compile("sgd", "mse", jit_compile=False)
    before, matrix = shared.u.numpy(), shared.kernel.numpy().astype(np.float64)
    model.train_on_batch(KINDS["Dense"][1], KINDS["Dense"][1])
    np.testing.assert_allclose(shared.u, numpy_power_iteration(matrix, before, 1)[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SpectralNorm(keras.layers.Dense(3), 0), "power_iterations=0: at least one"),
        (lambda: SpectralNorm(SNDense(3)), "layer=SNDense: normalizes its kernel already"),
        (
            lambda: SpectralNorm(keras.layers.SpectralNormalization(keras.layers.Dense(3))),
            "layer=SpectralNormalization: normalizes",
        ),
        (
            lambda: SpectralNorm(keras.layers.Dense(3), dtype="mixed_bfloat16"),
            "dtype=mixed_bfloat16: give the dtype policy to the layer inside",
        ),
        (
            lambda: SpectralNorm(keras.layers.SeparableConv2D(3, 3)).build((None, 4, 4, 2)),
            "layer=SeparableConv2D: has no variable kernel or embeddings; its variables: depthwise_kernel,",
        ),
        (lambda: SpectralNorm(keras.layers.ReLU()).build((None, 4)), "ReLU: .*; its variables: none"),
    ],
)
def test_what_cannot_be_wrapped_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "arguments",
    [
        {"strides": 2},
        {"strides": (1, 2), "padding": "valid"},
        {"dilation_rate": 2, "use_bias": False},
        {"kernel_size": (2, 3), "padding": "VALID"},
        {"kernel_size": (1, 3), "dilation_rate": (1, 2), "padding": "valid", "data_format": "channels_last"},
    ],
)
def test_sn_conv_takes_what_conv_takes(arguments):
    """It is Keras's convolution with the kernel by sigma, and has its output shapes."""
    settings = {"kernel_size": 3, "padding": "same"} | arguments
    inputs = floats(2, 9, 7, 3)
    ours, theirs = SNConv2D(4, **arguments), SpectralNorm(keras.layers.Conv2D(4, **settings))
    expected = theirs(inputs)
    assert ours(inputs).shape == expected.shape == ours.compute_output_shape(inputs.shape)
    u, *trained = theirs.get_weights()
    ours.set_weights([*trained, u])
    np.testing.assert_allclose(ours(inputs), theirs(inputs), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours.bake()(inputs), theirs.bake()(inputs), rtol=1e-4, atol=1e-5)
    again = SNConv2D.from_config(ours.get_config())
    assert again.get_config() == ours.get_config()
    unknown = ours.compute_output_shape((None, None, None, 3))
    assert unknown == (None, None, None, 4)


def test_sn_conv_resamples_maps_of_unknown_size():
    for resampling in ("up", "down"):
        layer = SNConv2D(4, resampling=resampling, fast=True)
        model = keras.Sequential([keras.Input((None, None, 3)), layer])
        np.testing.assert_allclose(model(floats(1, 4, 6, 3)).shape[1:3], layer(floats(1, 4, 6, 3)).shape[1:3])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data_format": "channels_first"}, "data_format='channels_first': only 'channels_last'"),
        ({"padding": "causal"}, "padding='causal': allowed are 'same' and 'valid'"),
        ({"strides": 2, "dilation_rate": 2}, "strides=2, dilation_rate=2: one of them must be 1"),
        ({"strides": 0}, "strides=0: must be a positive whole number"),
        ({"kernel_size": (3, 3, 3)}, r"kernel_size=\(3, 3, 3\): must be a positive whole number, or two"),
        ({"resampling": "up", "strides": 2}, "resampling='up': must be None, or"),
        ({"resampling": "sideways"}, "resampling='sideways': must be None, or"),
    ],
)
def test_sn_conv_names_what_it_cannot_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        SNConv2D(4, **arguments)


@pytest.mark.parametrize("make", [lambda: SNConv2D(4), lambda: SNDense(4)])
def test_inputs_that_do_not_fit_are_refused(make):
    with pytest.raises(ValueError, match=r"input of shape \(.*\): must be \("):
        make().build((None,))
    with pytest.raises(ValueError, match="the channels known"):
        make().build((None, 4, 4, None))
