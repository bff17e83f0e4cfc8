"""From a run's directory back to its networks."""

import numpy as np
import pytest

from sagan_tf.runs import restoring
from tests.tiny_run import tensors


@pytest.mark.parametrize(("ema", "name"), [(True, "ema_generator"), (False, "generator")])
def test_weights_are_those_that_are_asked_for(finished_run, ema, name):
    """Of the newest checkpoint. The average and the generator itself are not the same."""
    workdir, _ = finished_run
    run = restoring.restore(str(workdir), ema=ema)
    end = "/.ATTRIBUTES/VARIABLE_VALUE"
    saved = tensors(workdir, 8).items()
    saved = {path.replace(".S", "/").removesuffix(end): value for path, value in saved}
    assert run.step == 8
    for network, owner in ((run.generator, name), (run.discriminator, "discriminator")):
        for variable in network.variables:
            place = f"{owner}/{variable.path.partition('/')[2]}"
            np.testing.assert_array_equal(variable.numpy(), saved[place], err_msg=place)
    assert (saved["ema_generator/dense/kernel"] != saved["generator/dense/kernel"]).any()
