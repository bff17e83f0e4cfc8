"""Functions with a gradient of their own keep no graph alive, and eager calls of them are not traced."""

import gc
import logging
import weakref

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import fast_attention
from sagan_tf.layers.biases import add_bias
from sagan_tf.layers.resampling import upsample

CALLS = {
    "bias": lambda x: add_bias(x, tf.ones(3)),
    "upsample": upsample,
    "attention": lambda x: fast_attention._mix_image(x[0, 0], x[0, 0], x[0, 0]),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_traced_graph_is_freed(call):
    """A process that restores one network after another, as `evaluate --watch` does, would grow for ever."""
    x = tf.random.normal((1, 4, 4, 3))

    @tf.function(autograph=False)
    def gradient():
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = call(x)
        return tape.gradient(y, x)

    assert np.all(np.isfinite(gradient()))
    graph = weakref.ref(gradient.get_concrete_function().graph)
    assert graph() is not None
    del gradient
    gc.collect()
    assert graph() is None


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_eager_calls_of_many_shapes_bring_no_warning(call):
    """TensorFlow warns of retracing at the fifth shape; `sagan_tf.attention` would print that."""
    said = []
    handler = logging.Handler()
    handler.emit = said.append
    tf.get_logger().addHandler(handler)
    try:
        for size in range(1, 8):
            assert np.all(np.isfinite(call(tf.ones((1, size, size, 3)))))
    finally:
        tf.get_logger().removeHandler(handler)
    assert not said
