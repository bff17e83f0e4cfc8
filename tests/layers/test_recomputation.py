"""A layer that is computed again for its gradient against the same layer that is not."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import ConditionalBatchNormalization, LinearConditionalBatchNormalization, SNConv2D
from sagan_tf.layers.recomputation import recompute
from sagan_tf.networks.blocks import DownBlock, UpBlock

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((3, 4, 4, 5)).astype(np.float32)
BLOCKS = {
    "labels": (lambda: UpBlock(6, SNConv2D, functools.partial(ConditionalBatchNormalization, 4)), [0, 3, 3]),
    "none": (lambda: UpBlock(6, SNConv2D, functools.partial(ConditionalBatchNormalization, 0)), None),
    "vectors": (
        lambda: UpBlock(6, SNConv2D, functools.partial(LinearConditionalBatchNormalization, 2)),
        RANDOM.standard_normal((3, 2)).astype(np.float32),
    ),
}


def value_and_gradients(apply, block, *tensors, **keywords):
    sources = [variable.value for variable in block.trainable_variables]
    sources += [tensor for tensor in tensors if tensor is not None and tensor.dtype == tf.float32]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(sources)
        outputs = apply(block, *tensors, **keywords)
        loss = tf.reduce_sum(outputs**3)
    return [outputs, *map(tf.convert_to_tensor, tape.gradient(loss, sources))]


def plain(block, *tensors, **keywords):
    return block(*tensors, **keywords)


def twins(make):
    first, second = make(), make()
    for block in (first, second):
        block.build((None, *X.shape[1:]))
    second.set_weights(first.get_weights())
    return first, second


def assert_same(made, expected, block, twin):
    for ours, theirs in zip(made, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * np.abs(theirs).max())
    for ours, theirs in zip(block.variables, twin.variables, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, err_msg=ours.path)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", BLOCKS)
def test_up_block(name, compiled):
    make, condition = BLOCKS[name]
    block, twin = twins(make)
    before = block.get_weights()
    tensors = [tf.constant(X), None if condition is None else tf.constant(condition)]
    results = [
        (tf.function(value_and_gradients) if compiled else value_and_gradients)(
            apply, each, *tensors, training=True, update_state=True
        )
        for apply, each in ((recompute, block), (plain, twin))
    ]
    assert_same(*results, block, twin)
    moved = [not np.array_equal(old, new) for old, new in zip(before, block.get_weights(), strict=True)]
    assert sum(moved) == 3 + 2 * 3 + (4 if name == "vectors" else 0)  # each u; means, variances, counts


def test_nothing_moves_that_should_not():
    block, twin = twins(BLOCKS["labels"][0])
    assert_same(
        value_and_gradients(recompute, block, tf.constant(X), tf.constant([0, 1, 2]), training=True),
        value_and_gradients(plain, twin, tf.constant(X), tf.constant([0, 1, 2]), training=True),
        block,
        twin,
    )


@pytest.mark.parametrize("downsampling", [True, False])
def test_gradient_of_a_gradient(downsampling):
    """As of R1: the gradient, with regard to the weights, of the squared gradient at the images."""
    block, twin = twins(lambda: DownBlock(5, SNConv2D, False, downsampling))

    def penalty(apply, block, images, **keywords):
        with tf.GradientTape() as tape:
            tape.watch(images)
            total = tf.reduce_sum(apply(block, images, **keywords) ** 2)
        return tape.gradient(total, images)

    assert_same(
        value_and_gradients(functools.partial(penalty, recompute), block, tf.constant(X), update_u=True),
        value_and_gradients(functools.partial(penalty, plain), twin, tf.constant(X), update_u=True),
        block,
        twin,
    )
