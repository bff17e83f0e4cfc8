"""Self-attention against a NumPy oracle: each form in 1, 2 and 3 dimensions, even and odd sizes."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import (
    ATTENTION_FORMS,
    LinearConditionalBatchNormalization,
    MatchedResidualBlock,
    SelfAttention,
    fast_attention,
)

SPATIAL = [(6,), (5,), (4, 6), (5, 3), (2, 4, 2), (3, 2, 5)]
CHANNELS = 16


def inputs_of(spatial, channels=CHANNELS, batch=2):
    return np.random.default_rng(0).standard_normal((batch, *spatial, channels)).astype(np.float32)


def made(inputs, gamma=0.7, **arguments):
    """A built layer with a gamma that is not 0 and kernels large enough for an uneven beta."""
    layer = SelfAttention(**arguments)
    layer.build(inputs.shape)
    layer.gamma.assign(gamma)
    return layer


def oracle(inputs, kernels, gamma, pooled):
    """SAGAN's equations 1 to 3, one position at a time, in float64: the output and beta.

    Args:
      inputs: (B, ..., C).
      kernels: query, key, value and projection (None where there is none), each (C_in, C_out).
      pooled: whether keys and values are the maxima over windows of 2 positions in each dimension.
    """
    query_kernel, key_kernel, value_kernel, projection = kernels
    inputs = inputs.astype(np.float64)
    spatial = inputs.shape[1:-1]
    if pooled:
        corners = itertools.product(*[range(0, size, 2) for size in spatial])
        windows = [tuple(slice(start, start + 2) for start in corner) for corner in corners]
    else:
        windows = [tuple(slice(start, start + 1) for start in corner) for corner in np.ndindex(*spatial)]
    outputs, betas = np.empty_like(inputs), []
    for sample, output in zip(inputs, outputs, strict=True):
        channels = sample.shape[-1]
        keys = [(sample[window].reshape(-1, channels) @ key_kernel).max(axis=0) for window in windows]
        values = [(sample[window].reshape(-1, channels) @ value_kernel).max(axis=0) for window in windows]
        rows = []
        for position in np.ndindex(*spatial):
            query = sample[position] @ query_kernel
            weights = np.exp([query @ key for key in keys])
            weights /= weights.sum()
            mixed = sum(weight * value for weight, value in zip(weights, values, strict=True))
            if projection is not None:
                mixed = mixed @ projection
            output[position] = gamma * mixed + sample[position]
            rows.append(weights)
        betas.append(rows)
    return outputs, np.array(betas)


def kernels_of(layer):
    """The kernels that the layer multiplies with: divided by their singular values where it normalizes."""
    kernels = []
    for projection in (layer.query, layer.key, layer.value, layer.projection):
        kernel = None if projection is None else projection.kernel.numpy().astype(np.float64)
        if kernel is not None and layer.spectral_norm:
            kernel = kernel / np.linalg.svd(kernel, compute_uv=False)[0]
        kernels.append(kernel)
    return kernels


@pytest.mark.parametrize("spatial", SPATIAL)
@pytest.mark.parametrize("form", ATTENTION_FORMS)
def test_each_form_against_the_oracle(form, spatial, monkeypatch):
    inputs = inputs_of(spatial)
    layer = made(inputs, form=form, spectral_norm=False)
    outputs, beta, _ = layer.look(inputs)
    expected, expected_beta = oracle(inputs, kernels_of(layer), 0.7, pooled=form == "original")
    np.testing.assert_allclose(beta, expected_beta, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer(inputs), outputs, rtol=1e-6, atol=1e-6)
    monkeypatch.setattr(fast_attention, "_LARGE", 0)
    layer.fast = True
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-4, atol=1e-5)
    assert np.ptp(expected_beta, axis=-1).min() > 0.01  # beta is far from uniform: it matters


@pytest.mark.parametrize("form", ATTENTION_FORMS)
def test_share_is_what_is_added_against_what_was_there(form):
    inputs = inputs_of((4, 6))
    layer = made(inputs, form=form, spectral_norm=False, gamma=-0.7)
    expected, _ = oracle(inputs, kernels_of(layer), -0.7, pooled=form == "original")
    added = (expected - inputs).reshape(2, -1)
    shares = np.linalg.norm(added, axis=1) / np.linalg.norm(inputs.reshape(2, -1), axis=1)
    outputs, _, share = layer.look(inputs)
    np.testing.assert_allclose(share, shares, rtol=1e-4)
    np.testing.assert_allclose(layer(inputs), outputs, rtol=1e-6, atol=1e-6)
    assert share.dtype == tf.float32 and np.ptp(shares) > 0.001
    assert layer.look(np.zeros_like(inputs)).share.numpy().tolist() == [0, 0]


@pytest.mark.parametrize("form", ATTENTION_FORMS)
def test_spectrally_normalized_against_the_oracle(form):
    inputs = inputs_of((4, 5))
    layer = made(inputs, form=form)
    for projection in (layer.query, layer.key, layer.value, layer.projection):
        if projection is not None:
            projection.u.assign(np.linalg.svd(projection.kernel.numpy())[2][:1])
    expected, expected_beta = oracle(inputs, kernels_of(layer), 0.7, pooled=form == "original")
    outputs, beta, _ = layer.look(inputs)
    np.testing.assert_allclose(beta, expected_beta, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", ATTENTION_FORMS)
def test_the_sign_of_gamma_alone_means_nothing(form):
    """The last linear map before gamma can take the sign: inspection/README.md, 'gamma is negative'."""
    inputs = inputs_of((4, 4))
    layer = made(inputs, form=form)
    outputs = layer(inputs)
    last = layer.value if layer.projection is None else layer.projection
    layer.gamma.assign(-layer.gamma)
    assert np.abs(layer(inputs) - outputs).max() > 0.1
    last.kernel.assign(-last.kernel)
    np.testing.assert_allclose(layer(inputs), outputs, rtol=1e-5, atol=1e-6)


def test_keys_have_an_eighth_of_the_channels_by_default():
    """The paper's k = 8."""
    assert made(inputs_of((3, 4))).key.kernel.shape == (CHANNELS, CHANNELS // 8)


@pytest.mark.parametrize("key_ratio", [1, 2, 4, 8])
@pytest.mark.parametrize(("form", "value_channels"), [("original", 8), ("paper_v2", None), ("paper_v1", 16)])
def test_channels_of_queries_keys_and_values(form, value_channels, key_ratio):
    value_channels = value_channels or CHANNELS // key_ratio  # the paper's version 2: C / k, as the keys
    inputs = inputs_of((3, 4))
    layer = made(inputs, form=form, key_ratio=key_ratio, spectral_norm=False)
    assert layer.query.kernel.shape == layer.key.kernel.shape == (CHANNELS, CHANNELS // key_ratio)
    assert layer.value.kernel.shape == (CHANNELS, value_channels)
    assert (layer.projection is None) == (form == "paper_v1")
    assert not any("bias" in variable.path for variable in layer.variables)
    expected, _ = oracle(inputs, kernels_of(layer), 0.7, pooled=form == "original")
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spatial", [(8,), (4, 6), (3, 2, 4)])
@pytest.mark.parametrize("form", ATTENTION_FORMS)
def test_unknown_sizes_and_attention_scores(form, spatial):
    """One functional model for every size. The scores are those of `look`, asked for as Keras does."""
    inputs = inputs_of(spatial)
    layer = SelfAttention(form, fast=True)
    image = keras.Input((*[None] * len(spatial), CHANNELS))
    model = keras.Model(image, layer(image, return_attention_scores=True))
    layer.gamma.assign(0.7)
    assert model.output_shape == [(None, *[None] * len(spatial), CHANNELS), (None, None, None)]
    outputs, scores = model(inputs)
    seen = layer.look(inputs)
    np.testing.assert_allclose(scores, seen.beta, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(outputs, seen.output, rtol=1e-5, atol=1e-6)
    symbols = layer(keras.Input((*spatial, CHANNELS)), return_attention_scores=True)
    assert [symbol.shape[1:] for symbol in symbols] == [outputs.shape[1:], scores.shape[1:]]
    larger = inputs_of([size + 1 for size in spatial])
    np.testing.assert_allclose(keras.Model(image, layer(image))(larger), layer(larger), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("form", ATTENTION_FORMS)
def test_rows_sum_to_1_and_are_float32(form, dtype):
    inputs = inputs_of((7, 8))
    layer = made(inputs, form=form, dtype=dtype, spectral_norm=False)
    outputs, beta, _ = layer.look(inputs)
    assert outputs.dtype == layer.compute_dtype
    assert beta.dtype == tf.float32
    assert beta.shape == (2, 56, 16 if form == "original" else 56)
    assert np.min(beta) >= 0
    # Far closer to 1 than bfloat16, with its 8 bits, can come.
    np.testing.assert_allclose(np.sum(beta, axis=-1, dtype=np.float64), 1, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("form", ATTENTION_FORMS)
def test_a_new_layer_is_the_identity(form, dtype):
    layer = SelfAttention(form, dtype=dtype)
    inputs = tf.cast(inputs_of((4, 4)), layer.compute_dtype)
    assert np.array_equal(layer(inputs), inputs)
    assert (layer.gamma.numpy(), layer.gamma.dtype, layer.gamma.trainable) == (0.0, "float32", True)


def test_a_constant_feature_attends_to_every_position_alike():
    beta = made(inputs_of((4, 4))).look(np.ones((1, 4, 4, CHANNELS), np.float32)).beta
    np.testing.assert_allclose(beta, 1 / 4, rtol=1e-5)


def test_queries_and_keys_start_with_different_kernels():
    layer = made(inputs_of((4, 4)))
    assert np.abs(layer.query.kernel - layer.key.kernel).max() > 0.01


@pytest.mark.parametrize("form", ATTENTION_FORMS)
def test_only_update_u_moves_u(form):
    inputs = inputs_of((4, 4))
    layer = made(inputs, form=form)
    before = [variable.numpy() for variable in layer.non_trainable_variables]
    assert len(before) == (3 if form == "paper_v1" else 4)
    layer(inputs, update_u=False)
    for old, variable in zip(before, layer.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(old, variable)
    layer(inputs, update_u=True)
    for old, variable in zip(before, layer.non_trainable_variables, strict=True):
        assert np.abs(old - variable).max() > 1e-3 or old.size == 1, variable.path


@pytest.mark.parametrize("spectral_norm", [True, False])
@pytest.mark.parametrize("form", ATTENTION_FORMS)
def test_key_ratio_1_holds_key_ratio_8(form, spectral_norm):
    """Its weights are those of k = 8 and zeros: more channels of queries and keys, and the same function."""
    inputs = inputs_of((4, 6))
    narrow, wide = (made(inputs, form=form, key_ratio=k, spectral_norm=spectral_norm) for k in (8, 1))
    assert (narrow.query.units, wide.query.units) == (CHANNELS // 8, CHANNELS)
    for ours, theirs in zip(wide.variables, narrow.variables, strict=True):
        if len(theirs.shape):  # all but gamma, which is 0.7 in both
            ours.assign(np.pad(theirs, [(0, n - m) for m, n in zip(theirs.shape, ours.shape, strict=True)]))
    for ours, theirs in zip(wide.look(inputs), narrow.look(inputs), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    wide.query.kernel.assign_add(np.eye(CHANNELS)[:, ::-1])  # what k = 8 has no weights for
    wide.key.kernel.assign_add(np.eye(CHANNELS)[:, ::-1])
    assert np.abs(wide(inputs) - narrow(inputs)).max() > 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"form": "paper"}, "form='paper': allowed are original, paper_v2, paper_v1"),
        ({"key_ratio": 0}, "key_ratio=0: must be at least 1"),
        ({"key_ratio": 17}, "key_ratio=17: is more than the input's channels, 16"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        SelfAttention(**arguments).build((None, 4, 4, CHANNELS))


@pytest.mark.parametrize("shape", [(2, 8), (1, 2, 2, 2, 2, 8), (2, 4, 4, None)])
def test_inputs_of_other_ranks_are_refused(shape):
    with pytest.raises(ValueError, match="must be .batch, 1 to 3 spatial axes, channels"):
        SelfAttention().build(shape)


@pytest.mark.parametrize(
    ("form", "spatial", "value", "projection", "spectral_norm"),
    [
        ("original", (4, 5), 8, True, True),
        ("paper_v2", (6,), 4, True, False),
        ("paper_v1", (2, 3, 2), 16, False, True),
    ],
)
def test_layer_contract(run_layer_test, form, spatial, value, projection, spectral_norm):
    channels = {"query": (16, 4), "key": (16, 4), "value": (16, value)}
    if projection:
        channels["projection"] = (value, 16)
    weights = {"gamma": ()} | {f"{name}/kernel": shape for name, shape in channels.items()}
    if spectral_norm:
        weights |= {f"{name}/u": (1, shape[1]) for name, shape in channels.items()}

    def make(dtype):
        return SelfAttention(form, 4, spectral_norm, "he_normal", dtype=dtype)

    run_layer_test(make, (inputs_of(spatial),), weights)


@pytest.mark.parametrize(
    "layer_of",
    [
        SelfAttention,
        MatchedResidualBlock,
        lambda **arguments: LinearConditionalBatchNormalization(5, **arguments),
    ],
)
def test_what_is_frozen_before_it_is_built_stays_frozen(layer_of):
    layer = layer_of(trainable=False)
    inputs = np.ones((2, 4, 4, 8), np.float32)
    layer(inputs, *([np.ones((2, 5), np.float32)] if hasattr(layer, "condition_size") else []))
    assert layer.weights and not layer.trainable_variables
    layer.trainable = True
    assert len(layer.trainable_variables) >= 2
