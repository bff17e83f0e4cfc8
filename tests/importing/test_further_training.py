"""Training goes on from imported weights and moments: the next update is the one that PyTorch would make."""

import contextlib
import dataclasses
import io

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf import import_weights
from sagan_tf.importing import torch_file
from sagan_tf.runs import objects, run_files
from sagan_tf.system import cli
from sagan_tf.training.state import State

STEPS, BETAS, EPSILON = 7, (0.5, 0.99), 1e-6
# Large, so that a step has digits enough beside the weights, which are float32.
RATES = {"generator": 0.1, "discriminator": 0.4}
_BUFFERS = ("u0", "sv0", "stored_mean", "stored_var")


@pytest.fixture(scope="module")
def oracle():
    """The networks of `peer_oracle`, which are PyTorch's."""
    pytest.importorskip("torch", reason="PyTorch, whose update is compared with")
    from tests.importing import peer_oracle

    return peer_oracle


@pytest.fixture(params=["small", pytest.param("golden", marks=pytest.mark.slow)])
def networks(request, oracle):
    """A generator and a discriminator of BigGAN-PyTorch's, inputs, and how they are called."""
    import torch

    form = oracle.FORMS["biggan_tables"]
    if request.param == "small":
        return oracle.make(form)
    folder = request.getfixturevalue("shared") / "golden" / "peers"
    form = form | oracle._LARGE | {"channels": 8, "d": ((1, 2, 4, 8, 16, 16), 5)}
    made = oracle.Generator(form), oracle.Discriminator(form)
    made[0].z_dim = 128
    for network, letter in zip(made, "GD", strict=True):
        tree = torch_file.read(str(folder / f"biggan_sagan_{letter}.pth"))
        for name, stored in tree.get("state_dict", tree).items():
            network.state[name] = torch.from_numpy(stored.read(name).copy())
            network.values[name] = network.state[name].double()
    with np.load(folder / "biggan_sagan.npz") as arrays:
        arrays = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    return *made, arrays


def adam(network, role, buffers=_BUFFERS):
    """An optimizer with moments, of all parameters."""
    import torch

    names = [name for name in network.state if not name.endswith(buffers)]
    for name in names:
        network.values[name] = network.values[name].detach().requires_grad_(True)
    parameters = [network.values[name] for name in names]
    optimizer = torch.optim.Adam(parameters, RATES[role], BETAS, EPSILON)
    random = np.random.default_rng(3)
    for parameter in parameters:
        drawn = [random.standard_normal(tuple(parameter.shape)).astype(np.float32) for _ in range(2)]
        optimizer.state[parameter] = {
            "step": torch.tensor(float(STEPS)),
            "exp_avg": torch.tensor(0.01 * drawn[0]).double(),
            "exp_avg_sq": torch.tensor(1e-2 * (0.1 + drawn[1] ** 2)).double(),
        }
    return names, optimizer


def save(folder, networks, optimizers):
    """Writes what BigGAN-PyTorch's folder holds."""
    import torch

    for letter, network, optimizer in zip("GD", networks, optimizers, strict=True):
        torch.save(network.state, folder / f"{letter}.pth", _use_new_zipfile_serialization=False)
        state = optimizer.state_dict()
        moments = {
            number: {name: value.float() for name, value in entry.items()}
            for number, entry in state["state"].items()
        }
        torch.save(
            state | {"state": moments}, folder / f"{letter}_optim.pth", _use_new_zipfile_serialization=False
        )


def restored(workdir) -> tuple[State, object]:
    config = dataclasses.replace(run_files.read_config(str(workdir)), precision="float32", fast_forms="no")
    state = objects.make_state(
        config, len(run_files.read_class_names(str(workdir))), tf.distribute.get_strategy()
    )
    saved = run_files.checkpoints(str(workdir))
    assert saved.restore_newest(state.checkpoint()) == STEPS
    return state, objects.make_objective(config)


def assert_updates_agree(names, before, after, old, new, bar):
    """Each variable's step is PyTorch's; those that hardly move are measured with the largest step.

    (Gradients of biases before batch norm are 0 but for rounding.)
    """
    steps = {name: lay_out(name, after[name] - before[name]) for name in names}
    largest = max(np.abs(step).max() for step in steps.values())
    for name, expected in steps.items():
        found = (new[name] - old[name]).reshape(expected.shape)
        scale = np.linalg.norm(expected) + 0.2 * largest * np.sqrt(expected.size)
        assert np.linalg.norm(found - expected) < bar * scale, name


def test_the_first_update_is_pytorch_s(networks, tmp_path, oracle):
    import torch
    from torch.nn import functional

    generator, discriminator, arrays = networks
    z, y, x = arrays["z"].double(), arrays["y"], arrays["x"].double()
    fakes, logits = generator(z, y), discriminator(x, y)
    assert torch.abs(fakes - arrays["images"]).max() < 1e-4 * arrays["images"].abs().max()
    assert torch.abs(logits - arrays["logits"]).max() < 1e-4 * arrays["logits"].abs().max()
    parts = [adam(generator, "generator"), adam(discriminator, "discriminator")]
    folder = tmp_path / "weights"
    folder.mkdir()
    save(folder, (generator, discriminator), [optimizer for _, optimizer in parts])
    before = [
        {name: network.values[name].detach().numpy().copy() for name in names}
        for network, (names, _) in zip((generator, discriminator), parts, strict=True)
    ]
    real, fake = discriminator(torch.cat([x, fakes.detach()]), torch.cat([y, y])).chunk(2)
    (functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()).backward()
    gradients_of_d = [discriminator.values[name].grad.clone() for name in parts[1][0]]
    (-discriminator(generator(z, y, training=True), y).mean()).backward()
    for name, gradient in zip(parts[1][0], gradients_of_d, strict=True):
        discriminator.values[name].grad = gradient  # G's loss has added to it
    for _, optimizer in parts:
        optimizer.step()

    workdir = tmp_path / "run"
    with pytest.raises(SystemExit) as stop, contextlib.redirect_stdout(io.StringIO()):
        argv = [f"--checkpoint={folder}", f"--workdir={workdir}"]
        cli.run(import_weights.main, import_weights.Options, "", program="import_weights", argv=argv)
    assert stop.value.code == 0
    config = run_files.read_config(str(workdir))
    assert (config.beta1, config.beta2, config.adam_epsilon) == (*BETAS, EPSILON)
    assert config.generator_learning_rate == RATES["generator"] and config.discriminator_steps == 1
    state, objective = restored(workdir)
    ours = [state.generator, state.discriminator]
    paths = [translate(oracle, network, part[0]) for network, part in zip(ours, parts, strict=True)]
    old = [{name: variable.numpy() for name, variable in path.items()} for path in paths]
    update(state, objective, arrays, fakes)
    for network, (names, _), was, path, earlier in zip(
        (generator, discriminator), parts, before, paths, old, strict=True
    ):
        after = {name: network.values[name].detach().numpy() for name in names}
        new = {name: variable.numpy() for name, variable in path.items()}
        # At 128 pixels a few ReLUs of G that are 0 to rounding switch: in float32 gradients are not nearer.
        bar = 1e-3 if network is generator and generator.form["size"] == 128 else 1e-4
        assert_updates_agree(names, was, after, earlier, new, bar)


def update(state, objective, arrays, fakes):
    """One update of D and one of G, both from the imported weights, by this project's own parts."""
    labels = arrays["y"].numpy().astype(np.int32)
    images = np.concatenate([arrays["x"].numpy(), fakes.detach().float().numpy()]).transpose(0, 2, 3, 1)
    variables = [state.generator.trainable_variables, state.discriminator.trainable_variables]
    values = [[variable.value for variable in each] for each in variables]
    with tf.GradientTape() as tape:
        made = state.generator(arrays["z"].numpy(), labels, training=True)
        loss = objective.generator_terms(state.discriminator, made, labels)["loss/generator"] / len(labels)
    of_g = tape.gradient(loss, values[0])
    with tf.GradientTape() as tape:
        both = np.concatenate([labels, labels])
        terms, _ = objective.discriminator_terms(state.discriminator, images, both, None, update_u=False)
        loss = terms["loss/discriminator"] / len(labels)
    of_d = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, values[1])]
    state.discriminator_optimizer.apply(of_d, variables[1])
    state.generator_optimizer.apply(of_g, variables[0])


def lay_out(name, step):
    """A step of a parameter of PyTorch as this project lays it out."""
    if name == "linear.weight" and step.shape[0] > 1:
        return step.reshape(-1, 4, 4, step.shape[1]).transpose(1, 2, 0, 3).reshape(step.shape).T
    if name == "linear.bias" and step.size > 1:
        return step.reshape(-1, 4, 4).transpose(1, 2, 0).ravel()
    if step.ndim == 4:
        return step.transpose(2, 3, 1, 0)
    return step.T if name == "linear.weight" else step


def translate(oracle, network, names):
    """This project's variables by BigGAN-PyTorch's names, written off its code."""
    blocks = [block.name for block in network.blocks]
    layers = {"conv1": "conv_1", "conv2": "conv_2", "conv_sc": "shortcut", "bn1": "norm_1", "bn2": "norm_2"}
    projections = {"theta": "query", "phi": "key", "g": "value", "o": "projection"}
    tops = {
        "linear": "dense",
        "embed": "embedding",
        "output_layer.0": "last_norm",
        "output_layer.2": "last_conv",
    }
    variables = {variable.path.partition("/")[2]: variable for variable in network.variables}
    found = {}
    for name in names:
        parts = name.split(".")
        leaf = {"weight": "kernel"}.get(parts[-1], parts[-1])
        if parts[0] == "blocks":
            block = blocks[int(parts[1])]
            if parts[2] == "1":
                resolution = block.removeprefix("block_")
                path = [f"attention_{resolution}", *[projections[part] for part in parts[3:-1]], leaf]
            elif parts[3].startswith("bn"):
                path = [block, layers[parts[3]], parts[4]]
            else:
                path = [block, layers[parts[3]], leaf]
        else:
            path = [tops[name.rpartition(".")[0]], leaf]
        found[name] = variables["/".join(path)]
    assert len({id(variable) for variable in found.values()}) == len(network.trainable_variables)
    return found


def test_moments_of_studiogan_are_in_its_files(tmp_path, oracle):
    """Those of tables that were spectrally normalized start at 0, and are named."""
    import torch

    folder = oracle.FOLDER
    network = oracle.Generator(oracle.FORMS["studio_sagan"])
    for name, stored in torch_file.read(str(folder / "studio_sagan_G.pth")).items():
        network.state[name] = torch.from_numpy(stored.read(name).copy())
        network.values[name] = network.state[name].double()
    buffers = ("weight_u", "weight_v", "running_mean", "running_var", "num_batches_tracked")
    names, optimizer = adam(network, "generator", buffers)
    tree = {"state_dict": network.state, "optimizer": optimizer.state_dict()}
    torch.save(tree, tmp_path / "model=G-best-weights-step=7.pth")
    with pytest.raises(SystemExit) as stop, contextlib.redirect_stdout(io.StringIO()) as out:
        argv = [f"--checkpoint={tmp_path}/model=G-best-weights-step=7.pth", f"--workdir={tmp_path / 'run'}"]
        argv.append(f"--discriminator={folder / 'studio_sagan_D.pth'}")
        cli.run(import_weights.main, import_weights.Options, "", program="import_weights", argv=argv)
    assert stop.value.code == 0
    assert "moments of generator/block_8/norm_1/gain start at 0" in out.getvalue()
    state, _ = restored(tmp_path / "run")
    moments = {
        variable.path.partition("/")[2]: slot.numpy()
        for variable, slot in zip(
            state.generator.trainable_variables, state.generator_optimizer._momentums, strict=True
        )
    }
    theirs = dict(zip(names, optimizer.state_dict()["state"].values(), strict=True))
    found = theirs["blocks.0.0.conv2d2.weight_orig"]["exp_avg"].numpy().transpose(2, 3, 1, 0)
    np.testing.assert_allclose(moments["block_8/conv_2/kernel"], found, rtol=1e-6)
    assert not moments["block_8/norm_1/gain"].any() and int(state.discriminator_optimizer.iterations) == 0
    assert "moments of the discriminator's Adam: they start at 0" in out.getvalue()
