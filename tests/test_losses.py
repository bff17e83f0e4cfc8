"""The losses against NumPy."""

import numpy as np
import tensorflow as tf

from sagan_tf.losses import LOSSES

REAL = np.array([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0], np.float32)
FAKE = np.array([0.25, -2.0, 1.5, -1.0, 0.0, -0.75, 3.0], np.float32)


def test_hinge_is_one_loss_an_image():
    """SAGAN, equation 4, element by element."""
    real_losses = [max(0.0, 1.0 - logit) for logit in REAL.tolist()]
    fake_losses = [max(0.0, 1.0 + logit) for logit in FAKE.tolist()]
    losses = LOSSES["hinge"].discriminator(REAL, FAKE)
    np.testing.assert_allclose(losses, np.add(real_losses, fake_losses), rtol=1e-6)
    np.testing.assert_array_equal(LOSSES["hinge"].generator(tf.constant(FAKE)), -FAKE)


def test_hinge_has_no_gradient_beyond_the_margin():
    real, fake = tf.constant(REAL), tf.constant(FAKE)
    with tf.GradientTape() as tape:
        tape.watch([real, fake])
        loss = tf.reduce_sum(LOSSES["hinge"].discriminator(real, fake))
    gradients = tape.gradient(loss, [real, fake])
    np.testing.assert_array_equal(gradients[0], [-1, -1, -1, -1, -1, 0, 0])
    np.testing.assert_array_equal(gradients[1], [1, 0, 1, 0, 1, 1, 1])
