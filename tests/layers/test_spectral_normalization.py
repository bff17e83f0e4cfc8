"""Spectral normalization against NumPy: singular values, finite differences, what a pass may change."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import SNConv2D, SNDense, SNEmbedding
from sagan_tf.layers.spectral_normalization import power_iteration

IMAGES = np.random.default_rng(0).standard_normal((2, 5, 4, 3)).astype(np.float32)
VECTORS = np.random.default_rng(1).standard_normal((4, 6)).astype(np.float32)
LABELS = np.array([2, 0, 4, 2], np.int32)

KINDS = {
    "dense": (lambda **arguments: SNDense(7, **arguments), VECTORS),
    "conv": (lambda **arguments: SNConv2D(4, **arguments), IMAGES),
    "embedding": (lambda **arguments: SNEmbedding(5, 8, **arguments), LABELS),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def matrix_of(layer) -> np.ndarray:
    """The kernel as the matrix (fan_in, outputs) that the original normalizes, float64."""
    kernel = layer.kernel.numpy().astype(np.float64)
    return kernel.T if isinstance(layer, SNEmbedding) else kernel.reshape(-1, kernel.shape[-1])


def numpy_power_iteration(matrix, u, iterations):
    """Miyato et al. 2018, algorithm 1, with u and v in the original code's roles."""
    for _ in range(iterations):
        v = u @ matrix.T
        v = v / np.sqrt((v * v).sum())
        u = v @ matrix
        u = u / np.sqrt((u * u).sum())
    return (v @ matrix @ u.T).item(), u, v


@pytest.mark.parametrize("iterations", [1, 3])
def test_sigma_converges_to_the_largest_singular_value(kind, iterations):
    make, inputs = kind
    layer = make(iterations=iterations)
    for _ in range(60 // iterations):
        layer(inputs, update_u=True)
    exact = np.linalg.svd(matrix_of(layer), compute_uv=False)[0]
    np.testing.assert_allclose(layer.sigma(), exact, rtol=1e-5)
    normalized = layer.normalized_kernel(update_u=False).numpy()
    top = np.linalg.svd(normalized.reshape(-1, normalized.shape[-1]), compute_uv=False)[0]
    np.testing.assert_allclose(top, 1, rtol=1e-5)


@pytest.mark.parametrize("iterations", [1, 4])
def test_one_pass_is_so_many_iterations_of_the_algorithm(kind, iterations):
    make, inputs = kind
    layer = make(iterations=iterations)
    layer.build(inputs.shape)
    sigma, u, _ = numpy_power_iteration(matrix_of(layer), layer.u.numpy(), iterations)
    np.testing.assert_allclose(layer.sigma(), sigma, rtol=1e-5)
    normalized = layer.normalized_kernel(update_u=False)
    np.testing.assert_allclose(normalized, layer.kernel.numpy() / sigma, rtol=1e-5)
    layer(inputs, update_u=True)
    np.testing.assert_allclose(layer.u, u, rtol=1e-4, atol=1e-6)


def test_gradient_equals_finite_differences_in_float64():
    """At convergence, constants u and v or not, the gradient is that of W / (largest singular value of W)."""
    random = np.random.default_rng(2)
    matrix, target = random.standard_normal((2, 6, 4))
    u = np.linalg.svd(matrix)[2][:1]  # (1, 4): the right singular vector of the largest singular value

    def loss_of(values):
        return np.square(values / np.linalg.svd(values, compute_uv=False)[0] - target).sum()

    variable = tf.Variable(matrix)
    with tf.GradientTape() as tape:
        sigma, new_u = power_iteration(variable, tf.constant(u))
        loss = tf.reduce_sum(tf.square(variable / sigma - target))
    gradient = tape.gradient(loss, variable).numpy()
    assert gradient.dtype == np.float64
    np.testing.assert_allclose(loss, loss_of(matrix), rtol=1e-12)
    np.testing.assert_allclose(new_u, u, atol=1e-12)
    differences = np.zeros_like(matrix)
    for index in np.ndindex(*matrix.shape):
        step = np.zeros_like(matrix)
        step[index] = 1e-6
        differences[index] = (loss_of(matrix + step) - loss_of(matrix - step)) / 2e-6
    np.testing.assert_allclose(gradient, differences, rtol=1e-6, atol=1e-8)
    # The part that comes through sigma is not small: without it the gradient would be another.
    without = 2 * (matrix / sigma.numpy() - target) / sigma.numpy()
    assert np.linalg.norm(gradient - without) > 0.1 * np.linalg.norm(gradient)


def test_layers_gradient_with_u_and_v_constant(kind):
    """Miyato et al. 2018, equation 12, in NumPy: dL/dW = (G - <G, W / sigma> v^T u) / sigma.

    G = dL/d(W / sigma). u has not converged here: a gradient through the power iteration would differ.
    """
    make, inputs = kind
    layer, plain = make(), make(spectral_norm=False)
    layer.build(inputs.shape)
    plain.build(inputs.shape)
    matrix = matrix_of(layer)
    sigma, u, v = numpy_power_iteration(matrix, layer.u.numpy(), 1)
    plain.kernel.assign(layer.kernel / sigma)
    gradients = []
    for candidate in (layer, plain):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(candidate(inputs)))
        gradients.append(tf.convert_to_tensor(tape.gradient(loss, candidate.kernel.value)).numpy())
    inner = gradients[1].astype(np.float64)
    outer = v.T @ u
    outer = outer.T if isinstance(layer, SNEmbedding) else outer.reshape(inner.shape)
    expected = (inner - (inner * layer.kernel.numpy()).sum() / sigma * outer) / sigma
    np.testing.assert_allclose(gradients[0], expected, rtol=1e-4, atol=1e-5)


def test_a_pass_overwrites_no_weight_and_two_passes_normalize_once(kind):
    make, inputs = kind
    layer = make()
    layer.build(inputs.shape)
    _, (sigma, *_), right = np.linalg.svd(matrix_of(layer))
    layer.u.assign(right[:1])
    before = layer.get_weights()
    first = layer(inputs, update_u=True)
    second = layer(inputs, update_u=False)
    trainable = len(layer.trainable_variables)
    for old, variable in zip(before[:trainable], layer.trainable_variables, strict=True):
        np.testing.assert_array_equal(old, variable)
    # Both used W / sigma, which the plain layer computes from the kernel divided once.
    plain = make(spectral_norm=False)
    plain.build(inputs.shape)
    plain.kernel.assign(layer.kernel / sigma)
    for outputs in (first, second):
        np.testing.assert_allclose(outputs, plain(inputs), rtol=1e-4, atol=1e-5)


def test_only_update_u_moves_u(kind):
    make, inputs = kind
    layer = make()
    layer.build(inputs.shape)
    before = layer.u.numpy()
    for pass_ in (layer, tf.function(layer)):
        pass_(inputs, update_u=False)
        layer.sigma()
        np.testing.assert_array_equal(layer.u, before)
    layer(inputs, update_u=True)
    assert np.abs(layer.u - before).max() > 1e-3
    before = layer.u.numpy()
    tf.function(layer)(inputs, update_u=True)
    assert np.abs(layer.u - before).max() > 1e-3


def test_every_replica_has_the_u_of_one(kind):
    make, inputs = kind
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        layer = make()
        layer.build(inputs.shape)
    _, expected, _ = numpy_power_iteration(matrix_of(layer), layer.u.numpy(), 1)
    strategy.run(tf.function(lambda: layer(inputs, update_u=True)))
    copies = strategy.experimental_local_results(layer.u.value)
    assert len(copies) == 2
    for copy in copies:
        np.testing.assert_allclose(copy, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "plain", "inputs"),
    [
        (SNDense(7, spectral_norm=False), keras.layers.Dense(7), VECTORS),
        (SNDense(7, use_bias=False, spectral_norm=False), keras.layers.Dense(7, use_bias=False), IMAGES),
        (SNConv2D(4, spectral_norm=False), keras.layers.Conv2D(4, 3, padding="same"), IMAGES),
        (SNConv2D(4, 1, spectral_norm=False), keras.layers.Conv2D(4, 1, padding="same"), IMAGES),
        (SNEmbedding(5, 8, spectral_norm=False), keras.layers.Embedding(5, 8), LABELS),
    ],
)
def test_without_spectral_norm_it_is_kerass_own_layer(layer, plain, inputs):
    layer(inputs, update_u=True)
    plain(inputs)
    assert layer.non_trainable_variables == []
    random = np.random.default_rng(3)
    weights = [random.standard_normal(array.shape) for array in plain.get_weights()]
    layer.set_weights(weights)
    plain.set_weights(weights)
    np.testing.assert_allclose(layer(inputs, update_u=True), plain(inputs), rtol=1e-5, atol=1e-6)


def test_float32_inside_under_mixed_bfloat16():
    """With one-hot inputs the output is the kernel that was used: W / sigma, rounded once, at the end."""
    layer = SNDense(64, use_bias=False, dtype="mixed_bfloat16")
    inputs = np.eye(200, dtype=np.float32)
    layer.build(inputs.shape)
    sigma, u, _ = numpy_power_iteration(matrix_of(layer), layer.u.numpy(), 1)
    used = layer(inputs, update_u=True)
    assert used.dtype == tf.bfloat16
    assert (layer.kernel.dtype, layer.u.dtype, layer.sigma().dtype) == ("float32", "float32", tf.float32)
    np.testing.assert_allclose(layer.u, u, rtol=1e-4, atol=1e-6)  # in bfloat16 the error would be 4e-3
    rounded = tf.cast(tf.cast(layer.kernel.numpy() / sigma, tf.bfloat16), tf.float32)
    # A value halfway between two may fall either way.
    differs = tf.cast(used, tf.float32).numpy() != rounded.numpy()
    assert differs.mean() < 1e-3


def test_no_iteration_is_refused():
    with pytest.raises(ValueError, match="iterations=0: at least one"):
        SNDense(3, iterations=0)


@pytest.mark.parametrize(
    ("make", "inputs", "weights"),
    [
        (lambda dtype: SNDense(7, dtype=dtype), VECTORS, {"kernel": (6, 7), "bias": (7,), "u": (1, 7)}),
        (lambda dtype: SNDense(7, False, dtype=dtype), IMAGES, {"kernel": (3, 7), "u": (1, 7)}),
        (lambda dtype: SNDense(7, True, False, dtype=dtype), VECTORS, {"kernel": (6, 7), "bias": (7,)}),
        (lambda dtype: SNConv2D(4, dtype=dtype), IMAGES, {"kernel": (3, 3, 3, 4), "bias": (4,), "u": (1, 4)}),
        (
            lambda dtype: SNConv2D(2, 1, iterations=2, kernel_initializer="orthogonal", dtype=dtype),
            IMAGES,
            {"kernel": (1, 1, 3, 2), "bias": (2,), "u": (1, 2)},
        ),
        (lambda dtype: SNEmbedding(5, 8, dtype=dtype), LABELS, {"kernel": (5, 8), "u": (1, 5)}),
    ],
)
def test_layer_contract(run_layer_test, make, inputs, weights):
    run_layer_test(make, (inputs,), weights)
