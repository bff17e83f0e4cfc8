"""Values mixed image by image, and gradients of both orders, against a NumPy oracle in float64."""

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import SelfAttention, fast_attention, mixing

SHAPES = (3, 24, 4), (3, 6, 4), (3, 6, 5)  # query, key, value


def tensors(dtype=tf.float32, scale=1.0, offset=0.0):
    """Query, key and value, and a gradient of what they give."""
    random = np.random.default_rng(0)
    query, key, value = (random.standard_normal(shape) for shape in SHAPES)
    upstream = random.standard_normal((3, 24, 5))
    return [tf.cast(x, dtype) for x in (scale * query, key, value + offset, upstream)]


def oracle(query, key, value, upstream):
    """What is mixed and its gradients, a row of one image at a time, by softmax's Jacobian."""
    query, key, value, upstream = (np.asarray(x, np.float64) for x in (query, key, value, upstream))
    mixed = np.empty(upstream.shape)
    gradients = [np.zeros(x.shape) for x in (query, key, value)]
    of_query, of_key, of_value = gradients
    for image, row in np.ndindex(query.shape[:2]):
        scores = key[image] @ query[image, row]
        beta = np.exp(scores - scores.max())
        beta /= beta.sum()
        mixed[image, row] = beta @ value[image]
        of_scores = (np.diag(beta) - np.outer(beta, beta)) @ (value[image] @ upstream[image, row])
        of_query[image, row] = of_scores @ key[image]
        of_key[image] += np.outer(of_scores, query[image, row])
        of_value[image] += np.outer(beta, upstream[image, row])
    return [mixed, *gradients]


def mixed_and_gradients(query, key, value, upstream):
    with tf.GradientTape() as tape:
        tape.watch([query, key, value])
        mixed = fast_attention.mix_large(query, key, value)
    return [mixed, *tape.gradient(mixed, [query, key, value], upstream)]


def mixing_plain(query, key, value, upstream):
    """`mixed_and_gradients` of the plain form."""
    with tf.GradientTape() as tape:
        tape.watch([query, key, value])
        mixed = mixing.mix(query, key, value)
    return [mixed, *tape.gradient(mixed, [query, key, value], upstream)]


def errors(found, expected):
    """Euclidean, each relative to what is expected."""
    return [
        np.linalg.norm(np.asarray(ours, np.float64) - theirs) / np.linalg.norm(theirs)
        for ours, theirs in zip(found, expected, strict=True)
    ]


@pytest.fixture
def by_image(monkeypatch):
    monkeypatch.setattr(fast_attention, "_LARGE", 0)


@pytest.mark.parametrize("compiled", [False, True])
def test_float32_against_the_oracle(by_image, compiled):
    given = tensors()
    function = tf.function(mixed_and_gradients) if compiled else mixed_and_gradients
    assert max(errors(function(*given), oracle(*given))) < 1e-5


def test_scores_of_any_size(by_image):
    given = tensors(scale=300.0)
    expected = oracle(*given)
    assert errors(mixed_and_gradients(*given), expected)[0] < 1e-4  # exp of scores of 1000: 1000 * 6e-8
    assert all(np.isfinite(found).all() for found in mixed_and_gradients(*given))


@pytest.mark.parametrize("exact_softmax", [None, False])
@pytest.mark.parametrize(
    ("scale", "offset", "limit"), [(1.0, 0.0, 0.01), (4.0, 0.0, 0.02), (1.0, 30.0, 0.01)]
)
def test_bfloat16_by_image(by_image, monkeypatch, scale, offset, limit, exact_softmax):
    """With an offset, what is left of the gradient of the scores is small against what is taken off.

    Scores are bfloat16 here, so the error grows with them.
    """
    given = tensors(tf.bfloat16, scale, offset)
    expected = oracle(*(tf.cast(x, tf.float64) for x in given))
    plain = errors(mixing_plain(*given), expected)
    if exact_softmax is not None:
        monkeypatch.setattr(fast_attention, "_rounds_once", lambda: exact_softmax)
    found = mixed_and_gradients(*given)
    assert {tensor.dtype for tensor in found} == {tf.bfloat16}
    for ours, theirs in zip(errors(found, expected), plain, strict=True):
        assert ours < max(2 * theirs, limit)


def test_bfloat16_has_float32_scores_in_the_plain_form():
    """Scores of this size, rounded to bfloat16, put gradients off by 2%. Truncated products need the room."""
    given = tensors(tf.bfloat16, scale=4.0)
    expected = oracle(*(tf.cast(x, tf.float64) for x in given))
    found = mixing_plain(*given)
    assert max(errors(found, expected)) < 0.008


def test_bfloat16_where_attention_is_nearly_uniform(by_image):
    """As at the start of training: the mean of many values, whose roundings must not add up."""
    random = np.random.default_rng(0)
    query, key, value = (random.standard_normal((1, 1024, size)) for size in (8, 8, 32))
    given = [tf.cast(x, tf.bfloat16) for x in (0.1 * query, key, value)]
    exact = [x.numpy().astype(np.float64) for x in given]
    beta = np.exp(exact[0] @ exact[1].transpose(0, 2, 1))
    expected = beta / beta.sum(axis=2, keepdims=True) @ exact[2]
    assert errors([fast_attention.mix_large(*given)], [expected])[0] < 0.005


@pytest.mark.parametrize("compiled", [False, True])
def test_second_order_against_differences_of_the_oracle(by_image, compiled):
    """The gradient, along some direction of all inputs, of a weighted sum of the first gradients."""
    given = tensors()
    random = np.random.default_rng(1)
    weights, direction = ([random.standard_normal(x.shape) for x in given] for _ in range(2))
    step = 1e-5
    ahead, behind = (
        oracle(*(x.numpy() + sign * step * d for x, d in zip(given, direction, strict=True)))[1:]
        for sign in (1, -1)
    )
    expected = sum(
        np.sum(w * (a - b)) / (2 * step) for w, a, b in zip(weights[:3], ahead, behind, strict=True)
    )

    def second(*given):
        with tf.GradientTape() as tape:
            tape.watch(given)
            _, *gradients = mixed_and_gradients(*given)
            total = sum(tf.reduce_sum(w * g) for w, g in zip(weights[:3], gradients, strict=True))
        return tape.gradient(total, given)

    found = (tf.function(second) if compiled else second)(*given)
    along = sum(np.sum(d * np.asarray(g, np.float64)) for d, g in zip(direction, found, strict=True))
    assert along == pytest.approx(expected, rel=1e-4)
    assert abs(expected) > 1


def loops(batch, queries, keys) -> bool:
    """Whether the graph of such tensors holds a loop."""
    specs = [tf.TensorSpec((batch, n, 4), tf.float32) for n in (queries, keys, keys)]
    operations = tf.function(fast_attention.mix_large).get_concrete_function(*specs).graph.get_operations()
    return any("While" in operation.type for operation in operations)


def test_only_large_maps_of_known_size_are_mixed_by_image(monkeypatch):
    assert fast_attention.is_large(64**2, 32**2) and not fast_attention.is_large(32**2, 16**2)
    monkeypatch.setattr(fast_attention, "_LARGE", 100)
    assert loops(2, 10, 10)
    assert not loops(2, 10, 9)
    assert not loops(None, 10, 10) and not loops(2, None, 10)


@pytest.mark.parametrize("fast", [False, True])
def test_the_layers_argument_alone_decides(by_image, monkeypatch, fast):
    """Neither the devices nor the compiler do."""
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    layer, inputs = SelfAttention(fast=fast), tf.random.stateless_normal((2, 4, 4, 8), (0, 0))
    layer.build(inputs.shape)
    operations = tf.function(layer).get_concrete_function(inputs).graph.get_operations()
    assert any("While" in operation.type for operation in operations) == fast
