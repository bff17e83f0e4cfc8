"""From a configuration to the objects of a run."""

import pytest

from sagan_tf.networks import Generator
from sagan_tf.runs import objects
from sagan_tf.runs.config import Config


@pytest.mark.parametrize(
    ("ema_decay", "momentum"), [(0.0, 0.99), (0.9, 0.99), (0.999, 0.999), (0.9999, 0.9999)]
)
def test_batch_statistics_remember_as_long_as_the_averaged_weights(ema_decay, momentum):
    config = Config(
        image_size=32,
        z_dim=8,
        generator_channels=1,
        generator_attention=(),
        ema_decay=ema_decay,
        precision="float32",
        fast_forms="no",
    )
    generator = objects.make_generator(config, 2)
    momenta = {layer.momentum for layer in generator.inner_layers if hasattr(layer, "momentum")}
    assert momenta == {momentum}
    again = Generator.from_config(generator.get_config())
    assert again.last_norm.momentum == momentum
