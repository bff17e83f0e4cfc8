"""The estimate against TensorFlow's own graphs, the original's figures, and memory as measured."""

import dataclasses
import math
import subprocess
import sys
import types

import pytest
import tensorflow as tf

from sagan_tf.layers import fast_attention
from sagan_tf.monitoring import estimate
from sagan_tf.runs import objects
from sagan_tf.runs.config import Config
from sagan_tf.session.failures import memory_explained
from tests.conftest import ROOT, without_values

SMALL = Config(
    workdir="unused",
    precision="float32",
    image_size=64,
    batch_size=8,
    generator_channels=4,
    discriminator_channels=4,
)
VARIANTS = {
    "original": {"attention_form": "original"},
    "paper_v2": {
        "attention_form": "paper_v2",
        "generator_attention": (16, 64),
        "discriminator_attention": (8,),
    },
    "paper_v1, auxiliary classifier": {
        "attention_form": "paper_v1",
        "attention_key_ratio": 2,
        "class_conditioning": "auxiliary_classifier",
    },
    "residual, biggan": {
        "attention_form": "residual",
        "generator_attention": (16, 64),
        "generator_embedding": 6,
        "hierarchical_z": True,
        "z_dim": 20,
    },
    "none": {"generator_attention": (), "discriminator_attention": (), "conditional": False},
    "32": {"image_size": 32, "generator_attention": (8,), "discriminator_attention": (16,)},
}


def networks(config, classes=10):
    return objects.make_generator(config, classes), objects.make_discriminator(config, classes)


# Images in the graphs: a number that divides no other size in them.
BATCH = 7


def flop_of_an_image(function, shape):
    """2 x multiply-adds of the graph's convolutions and products, from the shapes that TensorFlow infers.

    Operations whose result is the same for any number of images do not count: those of the power iteration.
    """
    total = 0
    inputs = tf.zeros((BATCH, *shape)), tf.zeros((BATCH,), tf.int32)
    graph = tf.function(function).get_concrete_function(*inputs).graph
    for operation in graph.get_operations():
        count = 0
        if operation.type == "Conv2D":
            height, width, channels, _ = operation.inputs[1].shape
            count = math.prod(operation.outputs[0].shape) * height * width * channels
        elif operation.type == "Conv2DBackpropInput":  # transposed: each input meets each weight
            positions, kernel = operation.inputs[2].shape[:3], operation.inputs[1].shape
            count = math.prod(positions) * math.prod(kernel)
        elif operation.type in ("MatMul", "BatchMatMulV2"):
            a, transposed = operation.inputs[0].shape, "adj_x" if "Batch" in operation.type else "transpose_a"
            inner = a[-2] if operation.get_attr(transposed) else a[-1]
            count = math.prod(operation.outputs[0].shape) * inner
        total += 0 if count % BATCH else 2 * count
    return total / BATCH


@pytest.mark.parametrize("variant", VARIANTS)
def test_flop_are_those_of_the_graph(variant, monkeypatch):
    monkeypatch.setattr(
        fast_attention, "_LARGE", math.inf
    )  # products within a loop are not in the graph itself
    config = dataclasses.replace(SMALL, **VARIANTS[variant])
    generator, discriminator = networks(config)
    size = config.image_size
    assert estimate.generator_cost(generator).flop == flop_of_an_image(generator, (config.z_dim,))
    ours = estimate.discriminator_cost(discriminator).flop
    if discriminator.embedding is not None:  # <h, embedding> is no product of matrices there
        ours -= 2 * discriminator.embedding.dimensions

    def call(images, labels):
        h = discriminator.features(images)
        classes = () if discriminator.classifier is None else (discriminator.class_logits(h),)
        return discriminator.logits(h, labels), *classes

    assert ours == flop_of_an_image(call, (size, size, 3))


def test_the_papers_run():
    """SPEC's figures, of the original's order of operations: its shortcuts run at the high resolution."""
    config = Config(workdir="unused", precision="float32")
    with without_values():
        generator, discriminator = networks(config, 1000)
    found = estimate.estimate(config, generator, discriminator, replicas=4)
    assert (found.generator_parameters, found.discriminator_parameters) == (42_078_852, 39_463_618)
    costs = estimate.generator_cost(generator), estimate.discriminator_cost(discriminator)
    plain = [cost.flop + cost.saved for cost in costs]
    assert plain[0] / 1e9 == pytest.approx(18.4, abs=0.05)
    assert plain[1] / 1e9 == pytest.approx(9.5, abs=0.05)
    assert found.plain_flop_per_image == 3 * plain[0] + 8 * plain[1]
    assert found.plain_flop_per_image / 1e9 == pytest.approx(131, abs=0.5)
    assert found.flop_per_image == 3 * costs[0].flop + 8 * costs[1].flop
    assert found.images == 64
    text = estimate.describe(found, config.batch_size)
    assert "42,078,852" in text and "(131 in the paper's order" in text and len(text.splitlines()) == 2


def test_residual_blocks_are_set_beside_the_attention_that_they_stand_for(capsys):
    config = dataclasses.replace(SMALL, generator_attention=(16, 64), discriminator_attention=(8,))
    attentive = [layer for network in networks(config) for layer in network.attention_layers.values()]
    replaced = networks(dataclasses.replace(config, attention_form="residual"))
    blocks = [layer for network in replaced for layer in network.residual_layers.values()]
    places = ["generator: residual block at 16", "generator: residual block at 64"]
    places.append("discriminator: residual block at 8")
    lines = [
        f"{place}: {count(block)} parameters, the attention it stands for {count(layer)}"
        for place, block, layer in zip(places, blocks, attentive, strict=True)
    ]
    assert estimate.describe_residual_blocks(*replaced) == lines
    assert not estimate.describe_residual_blocks(*networks(config))
    state = types.SimpleNamespace(generator=replaced[0], discriminator=replaced[1])
    with memory_explained(config, state, 1):
        pass
    assert capsys.readouterr().out.splitlines()[2:] == lines


def count(layer):
    return f"{sum(variable.value.shape.num_elements() for variable in layer.trainable_variables):,}"


def test_memory_of_the_papers_run():
    """Counted by hand."""
    config = Config(workdir="unused", precision="bfloat16", fast_forms="no")
    with without_values():
        built = networks(config, 1000)
    found = estimate.estimate(config, *built, replicas=4)
    copies = len(("W", "its gradient", "W / sigma", "Adam's m", "Adam's v"))
    assert found.fixed_bytes == 4 * (copies * (42_078_852 + 39_463_618) + 42_078_852)  # and G's average
    kept = [estimate.generator_cost(built[0]), estimate.discriminator_cost(built[1])]
    of_one = [cost.kept_bytes("bfloat16") for cost in kept]  # D sees a real image and a fake
    largest = 128 * 128 * 128  # the upsampled input of the generator's last block: twice 64 channels
    assert found.bytes_per_image == of_one[0] + 2 * of_one[1] + 2 * 4 * largest


def test_bytes_of_what_is_kept():
    """In bfloat16 what is normed is kept twice: in bfloat16, and in float32 for the norm."""
    cost = estimate.Cost(kept=100, kept_float32=10, normed=1)
    assert cost.kept_bytes("float32") == 4 * 110
    assert cost.kept_bytes("bfloat16") == 2 * 100 + 4 * 11


def test_size_of_a_checkpoint():
    """That of the variables which it holds: nearly all are weights and Adam's moments."""
    state = objects.make_state(SMALL, 10, tf.distribute.get_strategy())
    owners = state.generator, state.discriminator, state.ema_generator
    optimizers = state.generator_optimizer, state.discriminator_optimizer
    size = sum(variable.numpy().nbytes for owner in owners + optimizers for variable in owner.variables)
    found = estimate.estimate(SMALL, state.generator, state.discriminator, 1)
    assert estimate.checkpoint_bytes(found) == pytest.approx(size, rel=0.02)


def test_what_an_iteration_consists_of():
    generator, discriminator = networks(SMALL)
    g, d = estimate.generator_cost(generator).flop, estimate.discriminator_cost(discriminator).flop

    def flop(**options):
        config = dataclasses.replace(SMALL, **options)
        return estimate.estimate(config, generator, discriminator, 1).flop_per_image

    assert flop() == 3 * g + 8 * d
    assert flop(reuse_fakes=False) == 4 * g + 8 * d
    assert flop(discriminator_steps=2) == 4 * g + 14 * d
    assert flop(accumulation_steps=2) == 4 * g + 8 * d
    assert flop(recompute_blocks=True) == 4 * g + 11 * d
    assert flop(gradient_penalty="r1") == 3 * g + 14 * d
    assert flop(gradient_penalty="r1,r2") == 3 * g + 20 * d
    assert flop(loss="relativistic") == 3 * g + 10 * d


def test_a_gradient_penalty_keeps_more():
    """The discriminator's values five times instead of twice."""
    generator, discriminator = networks(SMALL)

    def per_image(**options):
        config = dataclasses.replace(SMALL, **options)
        return estimate.estimate(config, generator, discriminator, 1).bytes_per_image

    kept = estimate.discriminator_cost(discriminator).kept_bytes("float32")
    assert per_image(gradient_penalty="wgan_gp") == per_image() + 3 * kept
    assert per_image(gradient_penalty="r1,r2") == per_image() + 6 * kept


def test_out_of_memory_says_what_to_lower():
    generator, discriminator = networks(SMALL)

    def line(**options):
        config = dataclasses.replace(SMALL, **options)
        return str(estimate.out_of_memory(config, estimate.estimate(config, generator, discriminator, 1)))

    assert "(--accumulation_steps=2, " in line() and "--precision=bfloat16" in line()
    assert "8 images at once" in line() and "--batch_size=4" in line()
    assert "(--accumulation_steps=4, " in line(accumulation_steps=2)
    assert "bfloat16" not in line(precision="bfloat16")
    assert "--recompute_blocks," in line() and "recompute" not in line(recompute_blocks=True)
    assert "recompute" not in line(xla=True)
    least = line(batch_size=1)
    assert "accumulation" not in least and "batch_size" not in least and "--generator_channels" in least
    full_disk = tf.errors.ResourceExhaustedError(None, None, "/x/state.data; No space left on device")
    assert not estimate.is_out_of_memory(full_disk)


MEASURE = """
import sys
from sagan_tf.monitoring import estimate
from sagan_tf.runs import objects
from sagan_tf.system import options
from sagan_tf.system.devices import make_workers
from sagan_tf.system import runtime
runtime.import_tensorflow()
import tensorflow as tf
from sagan_tf.runs.config import Config
from tools.ceilings import peak_memory
config = options.parse(Config, sys.argv[1:])[0]
strategy = make_workers("cpu:1").strategy
state = objects.make_state(config, 10, strategy)
size, batch = config.image_size, config.batch_size
images, labels = tf.zeros((batch, size, size, 3)), tf.zeros((batch,), tf.int32)
batches = tf.data.Dataset.from_tensors((images, labels)).repeat()
objects.make_step(config, state, strategy)(iter(batches), tf.constant(2))
found = estimate.estimate(config, state.generator, state.discriminator, 1)
print(peak_memory(), found.bytes_per_image)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "option",
    [
        "--recompute_blocks=false",
        "--recompute_blocks",
        "--gradient_penalty=r1",
        "--generator_attention=64 --discriminator_attention=64",
    ],
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_memory_of_an_image_as_measured(precision, option):
    """How the peak of the process grows with the batch, against the estimate, on the CPU."""
    flags = "--workdir=unused --image_size=128 --generator_channels=32 --discriminator_channels=32".split()
    flags += option.split()

    def measure(batch):
        command = [sys.executable, "-c", MEASURE, *flags, f"--precision={precision}", f"--batch_size={batch}"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        return map(int, done.stdout.split()[-2:])

    (few, estimated), (many, _) = measure(8), measure(16)
    ratio = estimated / ((many - few) / 8)
    print(f"{precision}, {option}: {estimated / 2**20:.0f} MiB, {ratio:.2f} of what is measured")
    assert 0.75 < ratio < 1.33
