"""The command `import_original`, on checkpoints that TensorFlow 1's own classes write here."""

import errno
import os
import shutil
import subprocess
import sys
import time
import typing

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf import export, import_original, sample
from sagan_tf.importing import original, original_checkpoint, release_2018
from sagan_tf.runs import objects, restoring, run_files
from sagan_tf.runs.config import Config
from tests import tiny_run
from tests.commands import refused, run_command

STEPS = 3  # that Adam has taken in the checkpoints made here
V1 = tf.compat.v1


class Sizes(typing.NamedTuple):
    classes: int = 3
    z_dim: int = 5
    g: int = 2  # base channels
    d: int = 4


SMALL = Sizes()


def release_shapes(g_attention=3, d_attention=2, spectral_norm=True, moving=True, sizes=SMALL):
    """Names below the model's scope, and shapes, written off the release's generator.py and discriminator.py.

    `g_attention` and `d_attention` are the numbers of the blocks that attention follows; 0 for none.
    """
    classes, z_dim, g, d = sizes
    shapes = {}

    def weights(scope, kernel, shape, bias, u):
        shapes[f"{scope}/{kernel}"] = shape
        shapes.update({f"{scope}/{bias}": shape[-1:]} if bias else {})
        shapes.update({f"{scope}/u": (1, u)} if u else {})

    def non_local(scope, channels):
        half = channels // 2
        for name, outputs in (("theta", channels // 8), ("phi", channels // 8), ("g", half)):
            weights(f"{scope}/sn_conv_{name}", "w", (1, 1, channels, outputs), None, outputs)
        weights(f"{scope}/sn_conv_attn", "w", (1, 1, half, channels), None, channels)
        shapes[f"{scope}/sigma_ratio"] = ()

    sn = "sn" if spectral_norm else ""
    weights(f"g_{sn}h0", "Matrix", (z_dim, 256 * g), "bias", 256 * g * spectral_norm)
    before = 16 * g
    for block, multiple in enumerate((16, 8, 4, 2, 1), 1):
        channels = multiple * g
        for norm, width in ((0, before), (1, channels)):
            scope = f"g_block{block}/cbn_{norm}"
            shapes |= {f"{scope}/gamma": (classes, width), f"{scope}/beta": (classes, width)}
            shapes |= {f"{scope}/mean": (1, 1, 1, width), f"{scope}/var": (1, 1, 1, width)} if moving else {}
        for number, kernel in ((1, (3, 3, before)), (2, (3, 3, channels)), (3, (1, 1, before))):
            scope = f"g_block{block}/{sn}conv{number}"
            weights(scope, "w", (*kernel, channels), "biases", channels * spectral_norm)
        if block == g_attention:
            non_local("g_non_local", channels)
        before = channels
    names = ("gamma", "beta", "moving_mean", "moving_variance") if moving else ("gamma", "beta")
    shapes |= {f"g_bn/{name}": (g,) for name in names}
    weights(f"g_{sn}conv_last", "w", (3, 3, g, 3), "biases", 3 * spectral_norm)

    before = 3
    for block, multiple in enumerate((1, 2, 4, 8, 16, 16), 1):
        scope, channels = "d_optimized_block1" if block == 1 else f"d_block{block}", multiple * d
        weights(f"{scope}/sn_conv1", "w", (3, 3, before, channels), "biases", channels)
        weights(f"{scope}/sn_conv2", "w", (3, 3, channels, channels), "biases", channels)
        if block < 6:
            weights(f"{scope}/sn_conv3", "w", (1, 1, before, channels), "biases", channels)
        if block == d_attention:
            non_local("d_non_local", channels)
        before = channels
    weights("d_sn_linear", "Matrix", (16 * d, 1), "bias", 1)
    weights("d_embedding", "embedding_map", (classes, 16 * d), None, classes)
    return shapes


def is_state(name):
    return name.rpartition("/")[2] in ("u", "mean", "var", "moving_mean", "moving_variance")


def random_arrays(shapes):
    """A value for each variable; variances are positive."""
    random = np.random.default_rng(0)
    arrays = {name: 0.3 * random.standard_normal(shape) for name, shape in shapes.items()}
    positive = ("var", "moving_variance", "gamma")
    return {n: (np.abs(a) + 0.5 if n.endswith(positive) else a).astype(np.float32) for n, a in arrays.items()}


def write_tf1(prefix, arrays, adam=True, beta2=0.999, scopes=("model", "model"), step=STEPS, extra=()):
    """Writes a checkpoint as the release does, with `STEPS` steps of its optimizers if `adam`.

    Returns: with `adam` the variables after one more step, whose gradients are `gradient(name)`.
    """
    with tf.Graph().as_default(), V1.Session() as session:
        V1.train.create_global_step()
        variables = {}
        for name, array in arrays.items():
            scope = scopes["gd".index(name[0])]
            with V1.variable_scope(scope, use_resource=False):
                variables[name] = V1.get_variable(name, initializer=array, trainable=not is_state(name))
        for name in extra:
            V1.get_variable(name, initializer=1.0)
        train_ops = []
        for role, rate in (("d", 4e-4), ("g", 1e-4)) if adam else ():  # D's first, as in model.py
            counter = V1.get_variable(f"{role}_step", initializer=0, trainable=False)
            trained = [n for n in variables if n.startswith(f"{role}_") and not is_state(n)]
            pairs = [(gradient(name), variables[name]) for name in trained]
            optimizer = V1.train.AdamOptimizer(rate, beta1=0.0, beta2=beta2)
            train_ops.append(optimizer.apply_gradients(pairs, global_step=counter))
        session.run(V1.global_variables_initializer())
        for _ in range(STEPS):
            session.run(train_ops)
        session.run(V1.train.get_global_step().assign(step))
        V1.train.Saver().save(session, str(prefix), global_step=V1.train.get_global_step())
        session.run(train_ops)
        return session.run(variables) if adam else None


def gradient(name):
    """A gradient of its own for each variable, of the shape that `release_shapes` gives."""
    shape = release_shapes()[name]
    return np.random.default_rng(len(name)).standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def arrays():
    return random_arrays(release_shapes())


@pytest.fixture(scope="module")
def checkpoint(arrays, tmp_path_factory):
    """A whole checkpoint, and the variables after the next step."""
    folder = tmp_path_factory.mktemp("release")
    return folder / f"model.ckpt-{STEPS}", write_tf1(folder / "model.ckpt", arrays)


@pytest.fixture(scope="module")
def imported(checkpoint, tmp_path_factory):
    """The run that it becomes."""
    workdir = tmp_path_factory.mktemp("imported") / "run"
    options = import_original.Options(checkpoint=str(checkpoint[0]), workdir=str(workdir), dataset="digits")
    assert import_original.main(options, {"checkpoint", "workdir", "dataset"}) == 0
    return workdir


def run(capfd, *arguments, dataset="digits"):
    """Runs the command in this process: exit code, standard output, standard error."""
    argv = [*arguments, f"--dataset={dataset}"] if dataset else list(arguments)
    return run_command(import_original, *argv), *capfd.readouterr()


def refusal(capfd, *arguments, dataset="digits"):
    """What the command says when it refuses, and the lines it listed before."""
    code, out, error = run(capfd, *arguments, dataset=dataset)
    return refused("import_original", code, error), out.splitlines()


def values(network):
    """A network's variables by the release's names."""
    return {name: np.asarray(v) for name, v in original.original_variables(network).items()}


def assert_same(found, arrays):
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name].ravel(), array.ravel(), err_msg=name)


def test_every_variable_arrives(imported, checkpoint, arrays):
    reader = tf.train.load_checkpoint(str(checkpoint[0]))
    arrays = {name: reader.get_tensor(f"model/{name}") for name in arrays}
    for ema in (True, False):
        run = restoring.restore(str(imported), ema=ema)
        assert_same(values(run.generator) | values(run.discriminator), arrays)
    assert run.step == STEPS and run.class_names == ("0", "1", "2")
    wanted = Config(
        precision="float32",
        fast_forms="yes",
        workdir=str(imported),
        dataset="digits",
        image_size=128,
        z_dim=SMALL.z_dim,
        generator_channels=SMALL.g,
        discriminator_channels=SMALL.d,
        reuse_fakes=False,
        sync_batch_norm=False,
        beta2=0.999,
        ema_decay=0.0,
    )
    assert run.config == wanted
    assert sorted(os.listdir(imported)) == ["checkpoints", "classes.txt", "config.cfg"]
    updates = [float(v.numpy()) for v in run.generator.variables if v.path.endswith("/updates")]
    assert len(updates) == 11 and min(updates) >= 90_000  # the decay is 0.9999 from 89,990 updates on


def test_next_step_of_adam_is_that_of_tensorflow_1(imported, checkpoint):
    config = run_files.read_config(str(imported))
    state = objects.make_state(config, SMALL.classes, tf.distribute.get_strategy())
    assert run_files.checkpoints(str(imported)).restore_newest(state.checkpoint()) == STEPS
    assert int(state.step.numpy()) == STEPS
    before = values(state.generator) | values(state.discriminator)
    for network, optimizer in (
        (state.generator, state.generator_optimizer),
        (state.discriminator, state.discriminator_optimizer),
    ):
        names = original.original_names(network)
        gradients = [gradient(names[v.path]).reshape(v.shape) for v in network.trainable_variables]
        optimizer.apply(gradients, network.trainable_variables)
    after = values(state.generator) | values(state.discriminator)
    for name, expected in checkpoint[1].items():
        moved = expected.ravel() - before[name].ravel()
        assert is_state(name) or np.abs(moved).min() > 1e-8
        # Rounding of a weight of size 1 is 6e-8; what was not taken over would move it by 3e-5 or more.
        np.testing.assert_allclose(after[name].ravel(), expected.ravel(), atol=3e-7, err_msg=name)


@pytest.mark.parametrize(
    ("blocks", "attention"), [((0, 0), ((), ())), ((4, 1), ((64,), (64,))), ((3, 0), ((32,), ()))]
)
def test_the_three_architectures(blocks, attention, tmp_path, capfd):
    sizes = Sizes(g=4, d=8)  # so that an eighth of the channels at 64x64 is one
    arrays = random_arrays(release_shapes(*blocks, sizes=sizes))
    np.savez(tmp_path / "weights.npz", **{f"model/{name}:0": array for name, array in arrays.items()})
    code, out, _ = run(capfd, f"--checkpoint={tmp_path}/weights.npz", f"--workdir={tmp_path}/run")
    assert code == 0 and "no moments of Adam" in out
    restored = restoring.restore(f"{tmp_path}/run")
    assert_same(values(restored.generator) | values(restored.discriminator), arrays)
    config = restored.config
    assert (config.generator_attention, config.discriminator_attention) == attention
    assert (config.generator_channels, config.discriminator_channels, restored.step) == (4, 8, 0)
    labels = np.array([1])
    images = restored.generator(np.zeros((1, sizes.z_dim), np.float32), labels)
    assert images.shape == (1, 128, 128, 3)
    assert np.isfinite(restored.discriminator(images, labels)).all()


@pytest.mark.parametrize("spectral_norm", [False, True])
def test_first_version_has_no_moving_averages(spectral_norm, tmp_path, capfd, monkeypatch):
    """That its averages are those of 200 batches is shown in tests/networks/test_batch_statistics.py."""
    monkeypatch.setattr("sagan_tf.networks.batch_statistics.BATCHES", 8)
    shapes = release_shapes(0, 0, spectral_norm=spectral_norm, moving=False)
    arrays = random_arrays(shapes)
    write_tf1(tmp_path / "old", arrays, adam=False, scopes=("model/Generator", "model/Discriminator"), step=7)
    code, out, _ = run(capfd, f"--checkpoint={tmp_path}/old-7", f"--workdir={tmp_path}/run")
    assert code == 0 and "no moving averages: estimated from 256 samples" in out
    restored = restoring.restore(f"{tmp_path}/run")
    assert restored.step == 7 and restored.config.generator_spectral_norm == spectral_norm
    found = values(restored.generator) | values(restored.discriminator)
    assert_same({name: found[name] for name in arrays}, arrays)
    # Those of large batches, as far as the networks' moments vary from batch to batch.
    z = np.random.default_rng(1).standard_normal((64, SMALL.z_dim)).astype(np.float32)
    labels = np.arange(64) % SMALL.classes
    by_batch = restored.generator(z, labels, training=True, update_state=False)
    by_average = restored.generator(z, labels)
    assert np.corrcoef(np.ravel(by_batch), np.ravel(by_average))[0, 1] > 0.98


def test_absent_u_is_the_singular_vector(arrays, tmp_path, capfd):
    trained = {name: array for name, array in arrays.items() if not name.endswith("/u")}
    np.savez(tmp_path / "weights.npz", **trained)
    code, out, _ = run(capfd, f"--checkpoint={tmp_path}/weights.npz", f"--workdir={tmp_path}/run")
    assert code == 0 and "no u" in out
    restored = restoring.restore(f"{tmp_path}/run")
    checked = 0
    for network in (restored.generator, restored.discriminator):
        variables = original.original_variables(network)
        for name, variable in variables.items():
            if name.endswith("/u"):
                scope = name.removesuffix("/u")
                kernel = next(a for n, a in trained.items() if n.startswith(f"{scope}/") and a.ndim > 1)
                matrix = kernel.T if scope == "d_embedding" else kernel.reshape(-1, kernel.shape[-1])
                sigma = np.linalg.norm(matrix.astype(np.float64), 2)
                reached = np.linalg.norm(matrix @ np.asarray(variable)[0])
                assert reached == pytest.approx(sigma, rel=1e-5), name
                checked += 1
    assert checked == sum(name.endswith("/u") for name in arrays)


def test_variables_that_do_not_fit_are_listed(arrays, tmp_path, capfd):
    changed = dict(arrays)
    del changed["g_block2/snconv1/u"], changed["d_block6/sn_conv2/biases"]
    changed["d_embedding/embedding_map"] = arrays["d_embedding/embedding_map"].T
    changed["g_block4/cbn_0/gamma"] = arrays["g_block4/cbn_0/gamma"][:, 1:]
    write_tf1(tmp_path / "x", changed, adam=False, extra=("model/g_block6/w", "moving_rate"))
    line, listed = refusal(capfd, f"--checkpoint={tmp_path}/x-{STEPS}", f"--workdir={tmp_path}/run")
    assert "2 missing, 2 surplus, 2 misshapen" in line
    assert {"missing: g_block2/snconv1/u", "missing: d_block6/sn_conv2/biases"} <= set(listed)
    assert {"surplus: g_block6/w", "surplus: moving_rate"} <= set(listed)
    misshapen = [text for text in listed if text.startswith("misshapen: ")]
    assert any("embedding_map has shape (64, 3), needed is (3, 64)" in text for text in misshapen)
    assert any("g_block4/cbn_0/gamma has shape (3, 7)" in text for text in misshapen)
    assert os.listdir(tmp_path) and not list(tmp_path.glob("run*"))


def test_moments_of_a_part_of_the_variables_are_refused(arrays, tmp_path, capfd):
    slots = {f"{name}/{slot}": arrays[name] for name in ("g_bn/gamma",) for slot in ("Adam", "Adam_1")}
    np.savez(tmp_path / "weights.npz", **arrays | slots)
    line, listed = refusal(capfd, f"--checkpoint={tmp_path}/weights.npz", f"--workdir={tmp_path}/run")
    assert "missing" in line and "missing: d_sn_linear/Matrix/Adam_1" in listed
    assert not [text for text in listed if "/u/" in text or "g_bn/gamma" in text]


def test_surplus_alone_can_be_left_out(arrays, tmp_path, capfd):
    np.savez(
        tmp_path / "weights.npz", **arrays | {"g_bn/gamma/ExponentialMovingAverage": arrays["g_bn/gamma"]}
    )
    arguments = f"--checkpoint={tmp_path}/weights.npz", f"--workdir={tmp_path}/run"
    assert "--skip_surplus leaves them out" in refusal(capfd, *arguments)[0]
    code, out, _ = run(capfd, *arguments, "--skip_surplus")
    assert code == 0 and "surplus: g_bn/gamma/ExponentialMovingAverage" in out


@pytest.mark.parametrize("damage", ["truncated", "flipped", "index", "no index", "text"])
def test_damaged_checkpoints(checkpoint, damage, tmp_path, capfd):
    for name in os.listdir(checkpoint[0].parent):
        shutil.copy(checkpoint[0].parent / name, tmp_path)
    prefix = tmp_path / checkpoint[0].name
    data, index = (prefix.with_name(prefix.name + end) for end in (".data-00000-of-00001", ".index"))
    content = data.read_bytes()
    if damage == "truncated":
        data.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        middle = len(content) // 2
        data.write_bytes(content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :])
    elif damage == "index":
        index.write_bytes(index.read_bytes()[:100])
    elif damage == "no index":
        index.unlink()
    else:
        index.write_text("hello")
    line, _ = refusal(capfd, f"--checkpoint={prefix}", f"--workdir={tmp_path}/run")
    assert str(prefix) in line and "cannot be read" in line
    assert not list(tmp_path.glob("run*"))


def test_damaged_npz(arrays, tmp_path, capfd):
    np.savez(tmp_path / "whole.npz", **arrays)
    content = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "short.npz").write_bytes(content[: len(content) // 2])
    middle = content.find(b"NUMPY", len(content) // 2) + 200  # in the values of an array
    flipped = bytes([content[middle] ^ 255])
    (tmp_path / "flipped.npz").write_bytes(content[:middle] + flipped + content[middle + 1 :])
    np.savez(tmp_path / "nan.npz", **arrays | {"g_bn/beta": np.full(SMALL.g, np.nan, np.float32)})
    np.savez(tmp_path / "twice.npz", **arrays, **{"a/g_bn/beta": arrays["g_bn/beta"]})
    with open(tmp_path / "array.npz", "wb") as file:
        np.save(file, np.zeros(3))
    expected = {"array": "cannot be read"}
    expected |= {"short": "cannot be read", "flipped": "cannot be read", "absent": "cannot be read"}
    expected |= {"nan": "g_bn/beta holds values that are not finite", "twice": "holds g_bn/beta twice"}
    for name, text in expected.items():
        line, _ = refusal(capfd, f"--checkpoint={tmp_path}/{name}.npz", f"--workdir={tmp_path}/run")
        assert text in line and f"{name}.npz" in line


def test_mistakes(checkpoint, imported, tmp_path, capfd):
    given = f"--checkpoint={checkpoint[0]}"
    fresh = f"--workdir={tmp_path}/run"
    before = sorted(imported.rglob("*"))
    assert "exists already" in refusal(capfd, given, f"--workdir={imported}")[0]
    assert sorted(imported.rglob("*")) == before
    assert "--checkpoint is missing" in refusal(capfd, fresh)[0]
    line, _ = refusal(capfd, f"--checkpoint={checkpoint[0].parent}/model.ckpt-9", fresh)
    assert f"there are {checkpoint[0]}" in line
    line, _ = refusal(capfd, given, fresh, "--generator_channels=64")
    assert "--generator_channels=64: the checkpoint has '2'" in line
    line, _ = refusal(capfd, given, fresh, "--generator_embedding=8")
    assert "--generator_embedding=8: the checkpoint has '0'" in line
    line, _ = refusal(capfd, given, fresh, dataset=None)
    assert "--dataset is missing: the checkpoint has 3 classes" in line
    assert "is that of a beta2 of 0.999" in refusal(capfd, given, fresh, "--beta2=0.9")[0]
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\n")
    assert "has 2 lines; the checkpoint has 3" in refusal(capfd, given, fresh, f"--class_names={names}")[0]
    names.write_text("crane\nowl\ncrane\n")
    line, _ = refusal(capfd, given, fresh, f"--class_names={names}")
    assert f"--class_names={names}: two classes have the same name, 'crane'" in line
    own = str(next((imported / "checkpoints").iterdir()) / "state")
    assert "not a checkpoint of the 2018 release" in refusal(capfd, f"--checkpoint={own}", fresh)[0]
    assert not list(tmp_path.glob("run*"))


def test_options_of_training_and_names_of_classes(checkpoint, tmp_path, capfd):
    (tmp_path / "names.txt").write_text("cat\ndog\nowl\n")
    arguments = f"--checkpoint={checkpoint[0]}.index", f"--workdir={tmp_path}/run", "--ema_decay=0.9"
    code, out, _ = run(capfd, *arguments, "--dry_run")
    assert code == 0 and "--generator_channels=2" in out.splitlines() and not (tmp_path / "run").exists()
    assert run(capfd, *arguments, f"--class_names={tmp_path}/names.txt", "--batch_size=4")[0] == 0
    restored = restoring.restore(f"{tmp_path}/run")
    assert restored.class_names == ("cat", "dog", "owl")
    assert (restored.config.ema_decay, restored.config.batch_size) == (0.9, 4)


@pytest.mark.parametrize(
    ("numbers", "beta2", "steps"),
    [
        ({"g_step": 5.0, "beta2_power_1": 0.9**6}, 0.9, 5),
        ({"beta2_power_1": np.float32(0.999) ** 1001, "global_step": 7.0}, 0.999, 1000),
        ({"beta2_power_1": 0.0, "global_step": 1e6}, 0.999, 1_000_000),
        ({"beta2_power_1": 1e-38, "g_step": 99.0, "global_step": 7.0}, 0.999, 99),
    ],
)
def test_steps_of_adam(numbers, beta2, steps):
    assert original_checkpoint.adam_steps(original_checkpoint.Contents({}, numbers), "g", beta2) == steps


def test_training_goes_on(imported, tmp_path, eagerly):
    workdir = shutil.copytree(imported, tmp_path / "run")
    folder = tmp_path / "images"
    for label in range(SMALL.classes):
        (folder / str(label)).mkdir(parents=True)
        pixels = np.random.default_rng(label).integers(256, size=(128, 128, 3), dtype=np.uint8)
        tf.io.write_file(str(folder / str(label) / "1.png"), tf.io.encode_png(pixels))
    config = (workdir / "config.cfg").read_text()
    config = config.replace("--dataset=digits", f"--dataset=folder:{folder}").replace("size=256", "size=2")
    (workdir / "config.cfg").write_text(config)
    arguments = f"--workdir={workdir}", f"--dataset=folder:{folder}", f"--train_steps={STEPS + 1}"
    code, out, error = tiny_run.run(*arguments, "--devices=cpu:1")
    assert code == 0, error
    assert f"from step {STEPS} " in out
    before, after = (restoring.restore(str(place)) for place in (imported, workdir))
    assert after.step == STEPS + 1
    moved = np.abs(values(after.generator)["g_snh0/Matrix"] - values(before.generator)["g_snh0/Matrix"])
    assert 0 < moved.max() < 0.01


def test_ratio_of_steps_is_taken_over(checkpoint):
    options = import_original.Options(checkpoint="c", workdir="w", dataset="digits")
    found = {"image_size": 128}
    for numbers, given, ratio in (
        ({"d_step": 50.0, "g_step": 10.0}, set(), 5),
        ({"d_step": 50.0, "g_step": 10.0}, {"discriminator_steps"}, 1),
        ({}, set(), 1),
    ):
        config = release_2018.configure(options, given | {"dataset"}, found, 3, numbers)
        assert config.discriminator_steps == ratio


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_no_part_of_a_workdir_is_left(checkpoint, tmp_path, capfd, monkeypatch, failure):
    def fail(*_):
        assert len(list(tmp_path.glob("deep/er.partial-*/checkpoints/*/state.index"))) == 1
        raise failure

    monkeypatch.setattr(run_files, "write_description", fail)
    code, _, error = run(capfd, f"--checkpoint={checkpoint[0]}", f"--workdir={tmp_path}/deep/er/")
    if isinstance(failure, OSError):
        assert code == 2 and "cannot be written (No space left on device)" in error
    else:
        assert code == 130
    assert list(tmp_path.glob("deep/*")) == []


def test_workdir_that_fills_up_meanwhile_is_left_alone(checkpoint, tmp_path, capfd, monkeypatch):
    def fill(config, *arguments):
        os.mkdir(config.workdir)
        (tmp_path / "run" / "mine.txt").write_text("mine")

    monkeypatch.setattr(run_files, "write_description", fill)
    line, _ = refusal(capfd, f"--checkpoint={checkpoint[0]}", f"--workdir={tmp_path}/run")
    assert "Directory not empty" in line
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "mine.txt"]


@pytest.mark.slow
def test_killed_at_any_moment_there_is_a_whole_workdir_or_none(checkpoint, tmp_path):
    def start(workdir):
        command = [sys.executable, "-m", "sagan_tf.import_original", f"--checkpoint={checkpoint[0]}"]
        return subprocess.Popen([*command, f"--workdir={workdir}", "--dataset=digits"])

    begin = time.monotonic()
    assert start(tmp_path / "whole").wait() == 0
    duration = time.monotonic() - begin
    for number, share in enumerate(np.random.default_rng(0).uniform(0.5, 1.05, 10)):
        process = start(tmp_path / str(number))
        time.sleep(duration * share)
        process.kill()
        process.wait()
        if (tmp_path / str(number)).exists():
            assert restoring.restore(str(tmp_path / str(number))).step == STEPS


def relative_error(value, expected):
    return np.linalg.norm(np.asarray(value) - expected) / np.linalg.norm(expected)


@pytest.fixture(scope="module")
def golden_runs(golden, tmp_path_factory):
    """The golden file as a TensorFlow 1 checkpoint, imported; and again with its batch's moments.

    The golden's images were made with batch statistics. With these as moving averages they are what
    sampling must give.
    """
    folder = tmp_path_factory.mktemp("golden")
    weights = {n.removeprefix("w:model/"): array for n, array in golden.items() if n.startswith("w:")}
    sizes = Sizes(classes=10, z_dim=128, g=4, d=4)
    assert {name: array.shape for name, array in weights.items()} == release_shapes(sizes=sizes)
    runs = {}
    for name in ("as_it_is", "batch_statistics"):
        write_tf1(folder / name, weights, adam=False, step=1000)
        options = import_original.Options(
            checkpoint=f"{folder}/{name}-1000", workdir=f"{folder}/run_{name}", dataset="digits"
        )
        assert import_original.main(options, {"dataset"}) == 0
        runs[name] = options.workdir
        if name == "as_it_is":
            weights |= batch_statistics(restoring.restore(options.workdir).generator, golden)
    return runs


def batch_statistics(generator, golden):
    """The moments of the golden's batch before every norm, under the names of the moving averages."""
    statistics = {}
    names = original.original_names(generator)
    norms = [norm for block in generator.blocks for norm in (block.norm_1, block.norm_2)]
    for norm in [*norms, generator.last_norm]:
        moments = norm._batch_moments

        def note(inputs, norm=norm, moments=moments):
            mean, variance = moments(inputs)
            for variable, value in ((norm.moving_mean, mean), (norm.moving_variance, variance)):
                statistics[names[variable.path]] = np.reshape(value, (1, 1, 1, -1))
            return mean, variance

        norm._batch_moments = note
    generator(golden["z"], golden["labels"], training=True, update_state=False)
    assert len(statistics) == 22
    return {n: a.ravel() if n.startswith("g_bn") else a for n, a in statistics.items()}


def test_golden_checkpoint_gives_the_goldens_images(golden, golden_runs):
    z, labels = golden["z"], golden["labels"]
    run = restoring.restore(golden_runs["as_it_is"])
    assert (run.step, run.config.generator_channels, run.generator.classes) == (1000, 4, 10)
    assert relative_error(run.generator(z, labels, training=True, update_state=False), golden["fake"]) < 1e-4
    logits = run.discriminator(golden["real"], labels)
    assert relative_error(logits, golden["logits_real"].ravel()) < 1e-4
    sampled = restoring.restore(golden_runs["batch_statistics"]).generator(z, labels)
    assert relative_error(sampled, golden["fake"]) < 1e-4


def test_golden_exported(golden, golden_runs, tmp_path):
    options = export.Options(workdir=golden_runs["batch_statistics"], export_dir=f"{tmp_path}/model")
    assert export.main(options, set()) == 0
    model = tf.saved_model.load(f"{tmp_path}/model/1")
    inputs = {"z": tf.constant(golden["z"]), "labels": tf.constant(golden["labels"])}
    assert relative_error(model.signatures["serving_default"](**inputs)["images"], golden["fake"]) < 1e-4


def test_golden_sampled(golden_runs, tmp_path):
    options = sample.Options(workdir=golden_runs["as_it_is"], output=f"{tmp_path}/samples", columns=2)
    assert sample.main(options, set()) == 0
    assert list(tmp_path.glob("samples/*.png"))
