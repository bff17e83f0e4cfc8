"""Bytes that replicas all-reduce: against what a traced step gives to TensorFlow, and in README's table."""

import dataclasses
import math

import pytest
import tensorflow as tf

from sagan_tf.data import open_dataset
from sagan_tf.monitoring import estimate, exchange
from sagan_tf.runs import objects
from sagan_tf.runs.config import Config
from sagan_tf.system.devices import make_workers
from sagan_tf.training.objective import HISTOGRAMS
from tests.conftest import ROOT, without_values

SMALL = Config(
    workdir="unused",
    precision="float32",
    fast_forms="no",
    image_size=32,
    batch_size=8,
    z_dim=8,
    generator_channels=1,
    discriminator_channels=1,
    generator_attention=(),
    discriminator_attention=(16,),
    sync_batch_norm=True,
)
# Together they reach every term of the sum.
VARIANTS = {
    "twice": {"discriminator_steps": 2, "reuse_fakes": False, "freeze_discriminator_blocks": 1},
    "in parts": {"accumulation_steps": 2, "recompute_blocks": True, "generator_embedding": 6},
    "per replica": {"sync_batch_norm": False, "discriminator_attention": ()},
}


@pytest.fixture
def reduced(monkeypatch):
    """Shapes of what TensorFlow is asked to reduce over replicas, while a step is traced."""
    shapes, reduce = [], tf.distribute.ReductionToOneDevice.reduce_implementation

    def count(self, operation, value, *arguments, **keywords):
        first = value.values[0]
        assert not isinstance(first, tf.IndexedSlices), "gathered, not reduced"
        assert first.dtype == tf.float32
        shapes.append(tuple(first.shape))
        return reduce(self, operation, value, *arguments, **keywords)

    monkeypatch.setattr(tf.distribute.ReductionToOneDevice, "reduce_implementation", count)
    return shapes


def _reduced_and_expected(config, reduced, run):
    """Bytes that a step of two replicas gives, and what is computed for it."""
    strategy = make_workers("cpu:2").strategy
    state = objects.make_state(config, 10, strategy)
    step = objects.make_step(config, state, strategy)
    iterator = objects.make_iterator(config, open_dataset("digits", image_size=32), strategy, 0)
    reduced.clear()
    run(step, iterator, tf.constant(1))
    reported = len(objects.make_objective(config).scalars) + len(HISTOGRAMS)  # at the end of the step
    found = 4 * sum(map(math.prod, reduced[:-reported]))
    return found, exchange.reduced_bytes(config, state.generator, state.discriminator)


def test_bytes_are_those_of_a_traced_step(reduced):
    found, expected = _reduced_and_expected(
        SMALL, reduced, lambda step, *arguments: step.get_concrete_function(*arguments)
    )
    assert found == expected > 4 * 2000


@pytest.mark.parametrize("variant", VARIANTS)
def test_bytes_are_those_of_a_step(variant, reduced, eagerly):
    config = dataclasses.replace(SMALL, **VARIANTS[variant])
    found, expected = _reduced_and_expected(config, reduced, lambda step, *arguments: step(*arguments))
    assert found == expected


IMAGES = 32  # of a GPU at once
# TFLOP/s in bfloat16 and GB/s of NVLink each way, of NVIDIA's data sheets; 100 Gbit/s for all GPUs of a host.
GPUS = {"A100": (312, 300), "H100": (989, 450)}
NETWORK = 12.5
ROWS = {
    "8, one host": (8, 1),
    "64, 8 hosts": (64, 1),
    "512, 64 hosts": (512, 1),
    "64, `--accumulation_steps=4`": (64, 4),
}


def _cells(cost, reduced, replicas, parts):
    """Of each GPU: its own work at 40% of the peak, the ring's 2 (n - 1) / n bytes, and the share of work."""
    for peak, nvlink in GPUS.values():
        work = cost * IMAGES * parts / (0.4 * peak * 1e12)
        bandwidth = nvlink if replicas == 8 else NETWORK
        waiting = 2 * (replicas - 1) / replicas * reduced / (bandwidth * 1e9)
        assert exchange.ring_seconds(reduced, replicas, bandwidth * 1e9) == pytest.approx(waiting)
        yield f"{1000 * work:.0f} + {1000 * waiting:.1f} ms, {work / (work + waiting):.0%}"


def test_computed_table_of_the_papers_run():
    config = Config(workdir="unused", precision="bfloat16", fast_forms="no", sync_batch_norm=False)
    with without_values():
        networks = objects.make_generator(config, 1000), objects.make_discriminator(config, 1000)
    reduced = exchange.reduced_bytes(config, *networks)
    assert "326 MB a step over 8 replicas" in exchange.describe(config, *networks, 8)
    assert "326 MB a step between replicas, if any" in exchange.describe(config, *networks, 1)
    cost = estimate.estimate(config, *networks, 1).flop_per_image
    rows = [f"| {name} | {' | '.join(_cells(cost, reduced, *row))} |" for name, row in ROWS.items()]
    page = (ROOT / "sagan_tf" / "cluster" / "README.md").read_text()
    assert "\n".join(rows) in page, "\n".join(rows)
