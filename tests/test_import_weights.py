"""The command `import_weights`: weights of other projects give these projects' own images and logits."""

import contextlib
import hashlib
import io
import json
import os
import shlex
import shutil

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf import attention, evaluate, export, import_weights, sample
from sagan_tf.importing import matching, names, peer_run, torch_file, weights
from sagan_tf.metrics import classifier
from sagan_tf.networks import batch_statistics
from sagan_tf.runs import objects, restoring, run_files
from sagan_tf.runs.config import Config
from sagan_tf.system import cli
from sagan_tf.system.options import parse
from tests import test_import_original, tiny_run
from tests.agreement import ROUNDING
from tests.conftest import ROOT
from tests.importing import torch_files as make

PEERS = ROOT / "tests" / "golden" / "peers"
PUBLISHED = (
    "biggan_sagan biggan_shared mmgen_sagan_recipe mmgen_sagan_inplace mmgen32_sagan studio_sagan".split()
)
V1 = tf.compat.v1
BAR = 1e-5  # relative to the largest value; 1e-4 would not see batch norm's epsilon


def run(*arguments):
    """Runs the command in this process: exit code, standard output, standard error."""
    out, error = io.StringIO(), io.StringIO()
    with (
        pytest.raises(SystemExit) as stop,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(error),
    ):
        cli.run(
            import_weights.main,
            import_weights.Options,
            import_weights.__doc__,
            program="sagan_tf.import_weights",
            argv=list(map(str, arguments)),
        )
    return stop.value.code, out.getvalue(), error.getvalue()


def imported(workdir, *arguments):
    code, out, error = run(f"--workdir={workdir}", *arguments)
    assert code == 0, out + error
    return out


def refusal(tmp_path, *arguments):
    """What the command says when it refuses, after what it listed; it has written nothing."""
    workdir = tmp_path / "refused"
    code, out, error = run(f"--workdir={workdir}", *arguments)
    lines = [line for line in error.splitlines() if line.startswith("import_weights: error: ")]
    assert code == 2 and len(lines) == 1 and "Traceback" not in error, out + error
    assert not list(tmp_path.glob("refused*"))
    return lines[0].removeprefix("import_weights: error: "), out.splitlines()


def command(module, program, *arguments):
    """Runs another command to its end, which must be a good one."""
    out, error = io.StringIO(), io.StringIO()
    with (
        pytest.raises(SystemExit) as stop,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(error),
    ):
        cli.run(module.main, module.Options, module.__doc__, program=program, argv=list(map(str, arguments)))
    assert stop.value.code == 0, out.getvalue() + error.getvalue()


def golden(path):
    with np.load(path) as arrays:
        return dict(arrays)


def error_of(found, expected):
    return np.abs(np.asarray(found) - expected).max() / np.abs(expected).max()


def networks(*arguments):
    """The networks that files become, without a run: generator, discriminator or None."""
    options, given = parse(import_weights.Options, [*map(str, arguments), "--dry_run"])
    paths = weights.Paths(options.checkpoint, discriminator=options.discriminator)
    planned = peer_run.plan(options, given, weights.gather(paths))
    made = [objects.make_generator(planned.config, planned.classes), None]
    if planned.has_discriminator:
        made[1] = objects.make_discriminator(planned.config, planned.classes)
    for role, network in zip(("generator", "discriminator"), made, strict=True):
        if network is not None:
            match = matching.Matching(planned.networks[role], network, planned.decisions)
            assert not any(match.differences())
            match.assign()
            assert not match.notes  # every wanted spectral norm could be had
    return made


def assert_same(generator, discriminator, arrays, images="images"):
    """They give the images and logits of the golden."""
    y = arrays["y"].astype(np.int32)
    found = generator(arrays["z"], y).numpy().transpose(0, 3, 1, 2)
    step = found.shape[2] // arrays[images].shape[2]
    assert error_of(found[..., ::step, ::step], arrays[images]) < BAR
    if "logits" in arrays:
        assert error_of(discriminator(arrays["x"].transpose(0, 2, 3, 1), y), arrays["logits"]) < BAR


@pytest.mark.parametrize("form", sorted(path.stem for path in PEERS.glob("*[!GD].npz")))
def test_small_networks_of_every_form(form):
    """Networks of our own making in plain PyTorch, see golden/peers/README.md; they are in the repository."""
    files = [f"--checkpoint={next(PEERS.glob(f'{form}_G.*'))}"]
    if (PEERS / f"{form}_D.pth").exists():
        files.append(f"--discriminator={PEERS / form}_D.pth")
    assert_same(*networks(*files), golden(PEERS / f"{form}.npz"))


@pytest.mark.parametrize("form", PUBLISHED)
def test_networks_of_the_projects_own_code(shared, form):
    """The same with networks that these projects' own code made and ran."""
    folder = shared / "golden" / "peers"
    files = [f"--checkpoint={folder / form}_G.pth", f"--discriminator={folder / form}_D.pth"]
    assert_same(*networks(*files), golden(folder / f"{form}.npz"))


@pytest.mark.parametrize("truncation, images", [(1.0, "images"), (0.5, "half")])
def test_deepmind_s_by_truncation(shared, truncation, images):
    folder = shared / "golden" / "peers"
    made = networks(f"--checkpoint={folder / 'ivc128.pth'}", f"--truncation={truncation}")
    assert_same(*made, golden(folder / "ivc128.npz"), images)


def arrays_of(form, letter="G"):
    """The arrays of a golden by name."""
    tree = torch_file.read(f"{PEERS / form}_{letter}.pth")
    return {name: stored.read(name).copy() for name, stored in tree.get("state_dict", tree).items()}


def write(path, arrays, around=""):
    """Writes a .pth of float32 arrays by name; `around`: pickled values beside the state_dict, by name."""
    tree, data = make.state_dict(arrays)
    return make.write_zip(path, make.dictionary({"state_dict": tree} | around) if around else tree, data)


SMALL = PEERS / "biggan_tables"
SMALL_FILES = f"--checkpoint={SMALL}_G.pth", f"--discriminator={SMALL}_D.pth"


@pytest.fixture(scope="module")
def run_of_both(tmp_path_factory):
    """A run of a generator and a discriminator, by the command, and what was printed."""
    workdir = tmp_path_factory.mktemp("both") / "their run"
    return workdir, imported(workdir, *SMALL_FILES)


@pytest.fixture(scope="module")
def run_of_generator(tmp_path_factory):
    """A run of a generator alone, of BigGAN's form."""
    workdir = tmp_path_factory.mktemp("alone") / "run"
    imported(workdir, f"--checkpoint={PEERS / 'studio_biggan_G.pth'}")
    return workdir


def test_the_command_makes_a_run(run_of_both):
    workdir, out = run_of_both
    for ema in (True, False):
        run = restoring.restore(str(workdir), ema=ema)
        assert_same(run.generator, run.discriminator, golden(f"{SMALL}.npz"))
    assert run.class_names == ("0", "1", "2") and run.step == 0
    config = run.config
    assert (config.image_size, config.z_dim, config.generator_channels) == (32, 6, 1)
    assert config.generator_attention == config.discriminator_attention == (16,)
    record = run_files.read_import(str(workdir))
    assert record["source"] == "biggan_pytorch" and record["discriminator"]
    digest = hashlib.sha256((PEERS / "biggan_tables_G.pth").read_bytes()).hexdigest()
    assert record["files"][f"{SMALL}_G.pth"] == digest and f"SHA-256 of biggan_tables_G.pth: {digest}" in out
    assert (
        record["decisions"]
        == [line[2:] for line in out.splitlines() if line.startswith("# ")][: len(record["decisions"])]
    )
    assert os.listdir(workdir.parent) == ["their run"]
    (line,) = [line for line in out.splitlines() if line.startswith("python -m ")]
    assert shlex.split(line)[2:] == ["sagan_tf.sample", f"--workdir={workdir}"]  # as a shell reads it


def test_sources_in_the_command_are_those_that_are_read():
    assert import_weights._SOURCES[1:-1] == tuple(names.SOURCES)


def test_dry_run_prints_a_flagfile_and_writes_nothing(tmp_path):
    code, out, error = run(*SMALL_FILES, f"--workdir={tmp_path / 'run'}", "--dry_run")
    assert code == 0 and not error and not list(tmp_path.iterdir())
    (tmp_path / "a.cfg").write_text(out)
    config, _ = parse(Config, [f"--flagfile={tmp_path / 'a.cfg'}"])
    assert config.generator_channels == 1 and config.dataset == "none"


def test_what_is_missing_surplus_or_misshapen_is_named(tmp_path):
    arrays = arrays_of("biggan_tables")
    del arrays["blocks.1.0.conv2.u0"]
    arrays["extra.weight"] = np.zeros((2, 2), np.float32)
    arrays["blocks.2.0.conv1.weight"] = np.zeros((4, 3, 3, 3), np.float32)
    line, listed = refusal(tmp_path, f"--checkpoint={write(tmp_path / 'a.pth', arrays)}")
    assert "1 missing, 1 surplus, 1 misshapen" in line
    listed = [text for text in listed if not text.startswith("#")]
    assert listed == [
        "missing: blocks.1.0.conv2.u0",
        "surplus: extra.weight",
        "misshapen: blocks.2.0.conv1.weight has shape (4, 3, 3, 3), needed is (3, 3, 4, 4)"
        " (generator/block_32/conv_1/kernel)",
    ]
    del arrays["blocks.2.0.conv1.weight"], arrays["blocks.2.0.conv1.u0"]
    line, listed = refusal(tmp_path, f"--checkpoint={write(tmp_path / 'a.pth', arrays)}")
    assert {"missing: blocks.2.0.conv1.weight", "missing: blocks.2.0.conv1.u0"} <= set(listed)


def test_surplus_alone_can_be_left_out(tmp_path):
    arrays = arrays_of("biggan_tables") | {"extra": np.float32([1])}
    path = write(tmp_path / "a.pth", arrays)
    assert "--skip_surplus" in refusal(tmp_path, f"--checkpoint={path}")[0]
    assert "surplus: extra" in imported(
        tmp_path / "run", f"--checkpoint={path}", "--skip_surplus", "--dry_run"
    )


def test_values_that_are_not_finite(tmp_path):
    arrays = arrays_of("biggan_tables")
    arrays["output_layer.2.bias"][1] = np.nan
    line, _ = refusal(tmp_path, f"--checkpoint={write(tmp_path / 'a.pth', arrays)}")
    assert "output_layer.2.bias holds values that are not finite" in line


def test_a_hash_in_the_name_is_compared(tmp_path):
    content = (PEERS / "mmgen_recipe_G.pth").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    for name in (digest[:8], "01234567"):
        (tmp_path / f"sagan-{name}.pth").write_bytes(content)
    networks(f"--checkpoint={tmp_path}/sagan-{digest[:8]}.pth")
    shutil.copy(tmp_path / "sagan-01234567.pth", tmp_path / "sagan-20260818.pth")  # a date
    networks(f"--checkpoint={tmp_path}/sagan-20260818.pth")
    line, _ = refusal(tmp_path, f"--checkpoint={tmp_path}/sagan-01234567.pth")
    assert f"begins with {digest[:8]} and not with 01234567" in line


def mmgeneration_file(tmp_path, name="own.pth", average=1.25):
    """A file of all networks, as its trainings write it: the average has other values than the weights."""
    weights = {}
    for prefix, letter in (("generator", "G"), ("discriminator", "D"), ("generator_ema", "G")):
        for key, value in arrays_of("mmgen_recipe", letter).items():
            scale = average if prefix == "generator_ema" and key == "to_rgb.conv.bias" else 1
            within = "module." if prefix == "generator_ema" else ""  # as mmagic, its successor, has it
            weights[f"{prefix}.{within}{key}"] = value * np.float32(scale)
    weights["generator_ema.steps"] = np.ones(1, np.float32)
    weights["data_preprocessor.mean"] = np.zeros(3, np.float32)
    meta = make.dictionary({"iter": make.number(826), "config": make.text("x = 1")})
    return write(tmp_path / name, weights, {"meta": meta})


def test_mmgeneration_s_own_trainings_are_bgr_and_have_an_average(tmp_path):
    path = mmgeneration_file(tmp_path)
    out = imported(tmp_path / "run", f"--checkpoint={path}")
    assert "image channels: bgr" in out
    arrays, y = golden(PEERS / "mmgen_recipe.npz"), np.int32([2, 0])
    own = restoring.restore(str(tmp_path / "run"), ema=False)
    images = own.generator(arrays["z"], y).numpy().transpose(0, 3, 1, 2)
    assert own.step == 826 and error_of(images[:, ::-1], arrays["images"]) < BAR
    x = arrays["x"][:, ::-1].transpose(0, 2, 3, 1)
    assert error_of(own.discriminator(x, y), arrays["logits"]) < BAR
    average = restoring.restore(str(tmp_path / "run")).generator
    theirs = arrays_of("mmgen_recipe")["to_rgb.conv.bias"]
    np.testing.assert_allclose(average.last_conv.bias.numpy(), 1.25 * theirs[::-1], rtol=1e-6)
    np.testing.assert_allclose(own.generator.last_conv.bias.numpy(), theirs[::-1], rtol=1e-6)


@pytest.mark.parametrize("name, order", [("sagan_128_convert-studio-rgb_1.pth", "rgb"), ("own.pth", "bgr")])
def test_channel_order_by_name_and_by_option(tmp_path, name, order):
    path = mmgeneration_file(tmp_path, name)
    options, given = parse(import_weights.Options, [f"--checkpoint={path}", "--dry_run"])
    found = weights.gather(weights.Paths(path))
    assert peer_run.plan(options, given, found).decisions.channel_order == order
    options, given = parse(
        import_weights.Options, [f"--checkpoint={path}", "--dry_run", "--channel_order=rgb"]
    )
    assert peer_run.plan(options, given, found).decisions.channel_order == "rgb"


SHORTCUTS = {
    "sagan_128_woReLUinplace_noaug_bigGAN_imagenet1k.pth": "raw",
    "sagan_cifar10_32_lr2e-4_ndisc5_b64x1_woReUinplace_is-iter400000.pth": "raw",
    "sagan_cifar10_32_lr2e-4_ndisc5_b64x1_wReLUinplace_is-iter380000.pth": "activated",
    "sngan_proj_imagenet1k_128_Glr2e-4_Dlr5e-5_ndisc5_b128x2_wReLUinplace_is.pth": "activated",
    "sagan_128_imagenet1k_convert-studio-rgb_20210730.pth": "activated",
}


@pytest.mark.parametrize("name", SHORTCUTS)
def test_the_discriminator_s_shortcut_by_the_file_s_name(name):
    options, _ = parse(import_weights.Options, [f"--checkpoint={name}", "--dry_run"])
    found = weights.Weights("mmgeneration_sagan")
    assert peer_run._shortcut(options, set(), found, 128)[0] == SHORTCUTS[name]
    assert peer_run._shortcut(options, {"discriminator_shortcut"}, found, 128)[0] == "raw"


def test_gains_that_contradict_the_source(tmp_path):
    arrays = arrays_of("biggan_tables")
    shifted = {k: v + (1 if k.endswith("gain.weight") else 0) for k, v in arrays.items()}
    path = write(tmp_path / "a.pth", shifted)
    assert "--gain_offset is missing" in refusal(tmp_path, f"--checkpoint={path}")[0]
    made = networks(f"--checkpoint={path}", "--gain_offset=0")
    assert_same(*made, {k: v for k, v in golden(f"{SMALL}.npz").items() if k != "logits"})


def test_npz_of_the_same_names(tmp_path):
    np.savez(tmp_path / "g.npz", **arrays_of("studio_sagan"))
    made = networks(f"--checkpoint={tmp_path / 'g.npz'}")
    assert_same(*made, {k: v for k, v in golden(PEERS / "studio_sagan.npz").items() if k != "logits"})


def test_a_module_of_tf_hub(tmp_path):
    """A TensorFlow 1 checkpoint below `variables/`, as in the archive; names may begin with module/."""
    with np.load(PEERS / "tfhub_G.npz") as arrays, tf.Graph().as_default(), V1.Session() as session:
        for name in arrays.files:
            V1.get_variable(f"module/{name}", initializer=arrays[name], use_resource=False)
        V1.get_variable("module/Generator/GBlock/conv0/w", initializer=np.zeros(3), use_resource=False)
        session.run(V1.global_variables_initializer())
        (tmp_path / "hub").mkdir()
        prefix = str(tmp_path / "hub" / "variables" / "variables")
        V1.train.Saver().save(session, prefix, write_meta_graph=False)
    assert_same(*networks(f"--checkpoint={tmp_path / 'hub'}"), golden(PEERS / "tfhub.npz"))


def test_a_folder_of_biggan_pytorch(tmp_path):
    """G_ema.pth, D.pth and state_dict.pth are found beside G.pth; of several saves the newest is taken."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for name in ("G", "G_ema", "D"):
        shutil.copy(f"{SMALL}_{name[0]}.pth", folder / f"{name}_copy0.pth")
    make.write_zip(folder / "state_dict_copy0.pth", make.dictionary({"itr": make.number(138)}), {})
    found = weights.gather(weights.Paths(str(folder)))
    assert set(found.networks) == {"generator", "ema", "discriminator"} and found.step == 138
    shutil.copy(f"{SMALL}_G.pth", folder / "G_best0.pth")
    line, _ = refusal(tmp_path, f"--checkpoint={folder}")
    assert "name one of its G_best0.pth, G_copy0.pth" in line
    shutil.copy(f"{SMALL}_G.pth", folder / "G.pth")
    assert set(weights.gather(weights.Paths(str(folder))).networks) == {"generator"}


def test_the_2018_release_by_the_same_command(tmp_path):
    arrays = {
        f"model/{name}": value
        for name, value in test_import_original.random_arrays(test_import_original.release_shapes()).items()
    }
    np.savez(tmp_path / "old.npz", **arrays)
    out = imported(tmp_path / "run", f"--checkpoint={tmp_path / 'old.npz'}", "--dataset=digits", "--dry_run")
    assert "--beta2=0.999" in out and "--generator_channels=2" in out and "--ema_decay=0.0" in out


FOREIGN = {
    "a.h5": (b"\x89HDF\r\n\x1a\n", "HDF5"),
    "a.pth": (b"<!DOCTYPE html>", "web page"),
    "a.tar.gz": (b"\x1f\x8b\x08", "compressed archive"),
    "b.pth": (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
    "a.safetensors": (b"\x10\0\0\0\0\0\0\0{}", "safetensors"),
    "stylegan.pkl": (b"\x80\x04\x95\0ctorch_utils.persistence\n_reconstruct", "StyleGAN"),
    "c.pth": (b"", "cannot be read"),
    "d.pth": (b"no weights", "cannot be read"),
    "e.pth": (b"\x80\x02K\x01.", "none of PyTorch's weights"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_other_files(tmp_path, name):
    content, what = FOREIGN[name]
    (tmp_path / name).write_bytes(content)
    line, listed = refusal(tmp_path, f"--checkpoint={tmp_path / name}")
    assert what in line and not listed and line.startswith(f"--checkpoint={tmp_path / name}: ")


OTHERS = {
    "generator.layers.0.bn_0.scale.weight_orig": "BigGAN-deep",
    "blocks.0.0.conv4.weight": "BigGAN-deep",
    "mapping.fc0.weight": "StyleGAN",
    "convs.0.conv.weight": "StyleGAN",
    "down_blocks.0.resnets.0.conv1.weight": "diffusers",
    "block2.c1.weight": "mimicry",
    "encoder.layer.0.weight": "no source that is known",
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_networks(tmp_path, name):
    path = write(tmp_path / "a.pth", {name: np.zeros((2, 2), np.float32)})
    line, listed = refusal(tmp_path, f"--checkpoint={path}")
    assert OTHERS[name] in line and "BigGAN-PyTorch" in line and not listed


def test_bad_input(tmp_path):
    assert "no such file" in refusal(tmp_path, "--checkpoint=nowhere.pth")[0]
    assert "--checkpoint is missing" in refusal(tmp_path)[0]
    line, _ = refusal(tmp_path, f"--checkpoint={SMALL}_D.pth")
    assert "holds a discriminator alone" in line
    line, _ = refusal(tmp_path, f"--checkpoint={SMALL}_G.pth", f"--discriminator={SMALL}_G.pth")
    assert "holds no discriminator" in line
    line, _ = refusal(
        tmp_path, f"--checkpoint={SMALL}_G.pth", f"--discriminator={PEERS / 'studio_old_D.pth'}"
    )
    assert "is of PyTorch-StudioGAN, not of BigGAN-PyTorch" in line
    line, _ = refusal(tmp_path, f"--checkpoint={SMALL}_G.pth", "--image_size=64")
    assert line == "--image_size=64: the files have '32'"
    line, _ = refusal(tmp_path, f"--checkpoint={SMALL}_G.pth", "--truncation=0.5")
    assert "has one set of batch statistics" in line
    (tmp_path / "diffusers").mkdir()
    (tmp_path / "diffusers" / "model_index.json").write_text("{}")
    assert "diffusers" in refusal(tmp_path, f"--checkpoint={tmp_path / 'diffusers'}")[0]
    (tmp_path / "run").mkdir()
    assert "exists already" in run(f"--workdir={tmp_path / 'run'}", f"--checkpoint={SMALL}_G.pth")[2]


def test_a_generator_alone_is_sampled_and_exported_but_not_trained(run_of_generator, tmp_path):
    assert restoring.restore(str(run_of_generator)).discriminator is None
    workdir = f"--workdir={run_of_generator}"
    command(sample, "sagan_tf.sample", workdir, "--classes=0,2", "--columns=2", f"--output={tmp_path / 'a'}")
    command(
        attention,
        "sagan_tf.attention",
        workdir,
        "--classes=0",
        f"--output={tmp_path / 'b'}",
    )
    assert (tmp_path / "b" / "attention.html").stat().st_size > 10_000
    assert list((tmp_path / "b").rglob("generator_16*")) and not list((tmp_path / "b").rglob("discr*"))
    code, _, error = tiny_run.run(workdir, "--dataset=digits")
    assert code == 2 and "without a discriminator" in error and "--initialize_from=" in error


def test_a_run_without_a_dataset_names_one_when_it_is_trained(run_of_both, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(run_of_both[0], workdir)
    code, _, error = tiny_run.run(f"--workdir={workdir}", "--train_steps=1")
    assert code == 2 and error.startswith("train: error: --dataset is missing: this run was imported")
    code, _, error = tiny_run.run(f"--workdir={workdir}", "--train_steps=1", "--dataset=digits")
    assert code == 2 and "learnt other classes" in error and "10 now" in error


def test_exported_it_gives_the_same_images(run_of_both, tmp_path):
    """As a SavedModel and as ONNX."""
    command(
        export, "sagan_tf.export", f"--workdir={run_of_both[0]}", f"--export_dir={tmp_path}/m", "--also=onnx"
    )
    arrays = golden(f"{SMALL}.npz")
    labels = arrays["y"].astype(np.int32)
    model = tf.saved_model.load(f"{tmp_path}/m/1").signatures["serving_default"]
    served = model(z=tf.constant(arrays["z"]), labels=tf.constant(labels))["images"].numpy()
    assert error_of(served.transpose(0, 3, 1, 2), arrays["images"]) < BAR
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime, which reads the ONNX file")
    session = onnxruntime.InferenceSession(f"{tmp_path}/m/1/generator.onnx")
    (images,) = session.run(["images"], {"z": arrays["z"], "labels": labels})
    assert error_of(images.transpose(0, 3, 1, 2), arrays["images"]) < ROUNDING


def test_scored_by_the_product(run_of_both, tmp_path):
    """The Inception score needs no reference, which a run without a dataset does not have."""
    model = classifier.Classifier(32, 10, width=2)
    model(tf.zeros((1, 32, 32, 3)))
    about = {"name": "tiny", "image_size": 32, "class_names": [str(label) for label in range(10)]}
    classifier.save(model, str(tmp_path / "classifier"), about)
    workdir = f"--workdir={run_of_both[0]}"
    flags = [
        f"--inception={tmp_path}/classifier",
        "--metrics=is",
        "--num_samples=20",
        "--splits=1",
        "--batch_size=10",
    ]
    command(evaluate, "sagan_tf.evaluate", workdir, *flags, f"--output={tmp_path / 'scores.jsonl'}")
    (line,) = (tmp_path / "scores.jsonl").read_text().splitlines()
    assert 1 <= json.loads(line)["value"] <= 10


def test_statistics_estimated_at_import_are_those_of_samples(tmp_path, monkeypatch):
    """'Standing statistics': with them inference is what training's pass over these samples is."""
    monkeypatch.setattr(batch_statistics, "BATCHES", 1)
    imported(tmp_path / "run", f"--checkpoint={PEERS / 'studio_sagan_G.pth'}", "--estimate_statistics")
    for ema in (True, False):
        generator = restoring.restore(str(tmp_path / "run"), ema=ema).generator
        z, labels = batch_statistics.random_inputs(generator, 0)(tf.constant(0, tf.int64))
        images = generator(z, labels).numpy()
        # The source's epsilon, 1e-4, is in the variances; in training it is this project's, 1e-5.
        np.testing.assert_allclose(images, generator(z, labels, training=True).numpy(), atol=2e-2)
    kept = networks(f"--checkpoint={PEERS / 'studio_sagan_G.pth'}")[0](z, labels).numpy()
    assert np.abs(images - kept).max() > 0.1
    assert run_files.read_import(str(tmp_path / "run"))["batch_statistics"] == "estimated"
