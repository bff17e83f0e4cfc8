"""The peer of `tools/benchmark.py --what=peer` computes the product's functions."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.networks import Discriminator, Generator
from sagan_tf.system import cli
from tests.conftest import ROOT
from tools import benchmark, benchmark_peer

SIZE, CHANNELS, CLASSES, ATTENTION, BATCH = 32, 2, 3, (16,), 4
NETWORKS = benchmark_peer.peer_networks(SIZE, CHANNELS, ATTENTION, CLASSES)


@pytest.fixture(scope="module")
def peer():
    """The module `tools.peer`."""
    if importlib.util.find_spec("torch") is None:
        pytest.skip("NOT RUN: the peer of the benchmark against the product, as PyTorch is not installed")
    import torch

    from tools import peer

    torch.set_num_threads(1)  # more would wait for each other
    return peer


def _named(tensors) -> dict:
    """A peer's tensors by the product's names."""
    return {name.removeprefix("blocks.").replace(".", "/"): tensor for name, tensor in tensors}


def _in_torch(name: str, value, dimensions: int):
    """A variable of the product, or its gradient, as the peer lays it out: outputs first."""
    if dimensions == 4:  # a 1x1 convolution's may be a matrix
        return value.reshape((1,) * (4 - value.ndim) + value.shape).transpose(3, 2, 0, 1)
    return value.T if name == "dense/kernel" else value


def _twin(network, torch_network):
    """The product's network with random variables, all of them given to the peer's. Its variables by name."""
    import torch

    network.build()
    random = np.random.default_rng(0)
    for (
        variable
    ) in network.trainable_variables:  # off their initial values, so that one that is ignored shows
        variable.assign_add(0.2 * random.standard_normal(variable.shape))
    variables = {v.path.partition("/")[2]: v for v in network.variables if v.name != "updates"}
    theirs = _named(torch_network.state_dict().items())
    assert theirs.keys() == variables.keys()
    for name, tensor in theirs.items():
        tensor.copy_(torch.tensor(_in_torch(name, variables[name].numpy(), tensor.ndim)))
    return variables


def _assert_same_pass(network, torch_network, inputs, torch_inputs, as_ours, **arguments):
    """Outputs, gradients of all weights and the new u of one training pass agree."""
    variables = _twin(network, torch_network)
    with tf.GradientTape() as tape:
        ours = network(*inputs, **arguments)
        loss = tf.reduce_sum(tf.sin(ours))
    names = [name for name, variable in variables.items() if variable.trainable]
    gradients = tape.gradient(loss, [variables[name].value for name in names])
    theirs = torch_network(*torch_inputs)
    theirs.sin().sum().backward()
    np.testing.assert_allclose(as_ours(theirs.detach().numpy()), ours, atol=1e-4)
    parameters = _named(torch_network.named_parameters())
    gradients = [tf.convert_to_tensor(gradient).numpy() for gradient in gradients]
    largest = max(np.abs(gradient).max() for gradient in gradients)  # some are zero but for rounding
    for name, gradient in zip(names, gradients, strict=True):
        there = parameters[name].grad.numpy()
        gradient = _in_torch(name, gradient, there.ndim)
        np.testing.assert_allclose(there, gradient, atol=1e-4 * largest, err_msg=name)
    for name, there in _named(torch_network.named_buffers()).items():
        if name.endswith("/u"):
            np.testing.assert_allclose(there.numpy(), variables[name].numpy(), atol=1e-4, err_msg=name)


def test_generators_are_the_same_function(peer):
    import torch

    theirs, _ = peer.make_networks(**NETWORKS)
    ours = Generator(SIZE, CHANNELS, CLASSES, attention=ATTENTION)
    z, labels = (
        np.random.default_rng(1).standard_normal((BATCH, 128)).astype(np.float32),
        np.arange(BATCH) % 3,
    )
    torch_inputs = torch.tensor(z), torch.tensor(labels)
    arguments = {"training": True, "update_state": True}
    _assert_same_pass(ours, theirs, (z, labels), torch_inputs, lambda x: x.transpose(0, 2, 3, 1), **arguments)


def test_discriminators_are_the_same_function(peer):
    import torch

    _, theirs = peer.make_networks(**NETWORKS)
    ours = Discriminator(SIZE, CHANNELS, CLASSES, attention=ATTENTION)
    images = np.random.default_rng(1).uniform(-1, 1, (BATCH, SIZE, SIZE, 3)).astype(np.float32)
    labels = np.arange(BATCH) % 3
    torch_inputs = torch.tensor(images.transpose(0, 3, 1, 2)), torch.tensor(labels)
    _assert_same_pass(ours, theirs, (images, labels), torch_inputs, lambda x: x, update_u=True)


def test_numbers_of_parameters_are_those_of_the_paper_s_networks(peer):
    import torch

    with torch.device("meta"):
        networks = peer.make_networks(**benchmark_peer.peer_networks(128, 64, (32,), 1000))
    assert [sum(p.numel() for p in n.parameters()) for n in networks] == [42_078_852, 39_463_618]


@pytest.mark.parametrize(("precision", "tuned"), [("float32", False), ("bfloat16", True)])
def test_the_game_trains(peer, precision, tuned):
    import torch

    torch.manual_seed(0)
    game = peer.Game(*peer.make_networks(**NETWORKS), SIZE, BATCH, precision, tuned)
    before = {name: tensor.clone() for name, tensor in game.generator.state_dict().items()}
    losses = [game.step() for _ in range(40)]
    assert np.isfinite([list(loss.values()) for loss in losses]).all()
    first, last = (np.mean([loss["discriminator"] for loss in part]) for part in (losses[:5], losses[-5:]))
    assert last < first - 0.05
    # Every weight of G moves; attention's begin once gamma is off its start.
    after = game.generator.state_dict()
    assert not [name for name in before if torch.equal(before[name], after[name])]


def test_its_process_answers_every_line(peer):
    game = {"batch_size": BATCH, "precision": "float32", "tuned": False}
    arguments = json.dumps({"networks": NETWORKS} | game)
    command = [sys.executable, str(ROOT / "tools" / "peer.py"), arguments]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, input="\n\n", capture_output=True, text=True, check=True, env=one_thread)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(answers) == 2
    assert all(np.isfinite(list(answer["losses"].values())).all() for answer in answers)
    assert 0.05 < answers[0]["peak_gib"] <= answers[1]["peak_gib"] < 2


def test_without_torch_one_line_says_so(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stop:
        arguments = ["--what=peer"]
        cli.run(benchmark.main, benchmark.Options, "", program="tools/benchmark", argv=arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--what=peer" in error and "torch" in error and "not a requirement" in error
