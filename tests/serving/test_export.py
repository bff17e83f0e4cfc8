"""The exported model against the run's averaged generator; its signatures, its files, mistakes."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.tools import saved_model_cli

from sagan_tf.evaluation import results, samples
from sagan_tf.networks import Generator
from sagan_tf.networks.inference import inference_copy
from sagan_tf.runs import restoring
from sagan_tf.serving.module import ServedGenerator
from tests.agreement import ROUNDING, assert_pictures_agree
from tests.serving.conftest import CLASSES, make_run, run_export

SIZES = (1, 7, 64)


@pytest.fixture(scope="module")
def generator(workdir):
    return restoring.restore(workdir).generator


@pytest.fixture(scope="module")
def signatures(model):
    loaded = tf.saved_model.load(str(model / "1"))
    yield loaded.signatures
    del loaded


def _z(rows, z_dim=8):
    return np.random.default_rng(1).standard_normal((rows, z_dim)).astype(np.float32)


def _labels(rows):
    return np.arange(rows, dtype=np.int32) % len(CLASSES)


def _drawn(rows, truncation=0.0):
    return {
        "labels": _labels(rows),
        "seed": np.arange(100, 100 + rows),
        "truncation": np.full(rows, truncation, np.float32),
    }


def _decoded(files):
    return np.stack([tf.io.decode_png(file) for file in files])


def _call(signature, inputs):
    return {name: value.numpy() for name, value in signature(**_tensors(inputs)).items()}


def _tensors(inputs):
    return {name: tf.constant(value) for name, value in inputs.items()}


def test_images_are_those_of_the_averaged_generator(signatures, generator):
    z, labels = _z(9), _labels(9)
    images = _call(signatures["serving_default"], {"z": z, "labels": labels})["images"]
    assert images.std() > 0.1 and np.abs(images).mean() < 0.9
    np.testing.assert_allclose(images, generator(z, labels), atol=ROUNDING)


def test_generate_draws_the_samples_that_evaluate_scores(signatures, generator, model):
    inputs = _drawn(12) | {"truncation": np.float32([0.0] * 6 + [0.5] * 6)}
    images = _call(signatures["generate"], inputs)["images_uint8"]
    z = [samples.draw_z(inputs["seed"], 0, 8, truncation).numpy() for truncation in (0.0, 0.5)]
    floats = generator(np.concatenate([z[0][:6], z[1][6:]]), inputs["labels"]).numpy()
    assert np.abs(images - (floats + 1) * 127.5).max() < 0.51
    files = _call(signatures["png"], inputs)["png_bytes"]
    assert_pictures_agree(_decoded(files), images)
    source = samples.from_saved_model(str(model / "1"))
    assert (source.z_dim, source.image_size, source.conditional) == (8, 32, True)
    (scored,) = samples.GeneratorSamples(source, _labels(112), 0, 0.0).batches(112)
    assert_pictures_agree(scored[100:106], generate_as(signatures, _labels(112)[100:106]))


def generate_as(signatures, labels):
    return _call(signatures["generate"], _drawn(6) | {"labels": labels})["images_uint8"]


def test_attention_maps_are_those_of_the_network(signatures, generator):
    z, labels = _z(5), _labels(5)
    outputs = _call(signatures["attention"], {"z": z, "labels": labels})
    images, maps, _ = generator.look(z, labels)
    assert set(outputs) == {"images", "attention_16"} and set(maps) == {16}
    np.testing.assert_allclose(outputs["images"], images, atol=ROUNDING)
    np.testing.assert_allclose(outputs["attention_16"], maps[16], atol=1e-5)
    assert maps[16].numpy().std() > 1e-4


def test_spectral_norm_of_conditional_norms_is_baked_in_too():
    generator = Generator(32, 1, 3, z_dim=8, attention=(), embedding_size=4, hierarchical_z=True)
    generator.build()
    for variable in generator.trainable_variables:
        variable.assign_add(0.2 * np.random.default_rng(0).standard_normal(variable.shape))
    copy = inference_copy(generator, bake=True, dtype="float32")
    assert not any(variable.name == "u" for variable in copy.variables)
    labels = np.array([2, 0], np.int32)
    np.testing.assert_allclose(copy(_z(2), labels), generator(_z(2), labels), atol=ROUNDING)
    norm, baked = generator.blocks[1].norm_2.gain, copy.blocks[1].norm_2.gain
    assert np.abs(norm.kernel - baked.kernel).max() > 1e-3


def test_a_residual_block_in_the_place_of_attention_has_no_such_signature(tmp_path):
    generator = Generator(32, 1, classes=0, z_dim=2, attention=(16,), attention_form="residual")
    generator.build()
    (tmp_path / "classes.txt").write_text("")
    inputs = ServedGenerator(generator, str(tmp_path / "classes.txt")).inputs
    assert list(inputs) == ["serving_default", "generate", "png"]


@pytest.mark.parametrize("name", ["serving_default", "generate", "png", "attention"])
def test_batches_of_any_size_agree(name, signatures):
    rows = max(SIZES)
    inputs = _drawn(rows, 0.7) if name in ("generate", "png") else {"z": _z(rows), "labels": _labels(rows)}
    whole = _call(signatures[name], inputs)
    for size in SIZES[:-1]:
        parts = [
            _call(signatures[name], {key: value[start : start + size] for key, value in inputs.items()})
            for start in range(0, min(rows, 4 * size), size)
        ]
        for key, value in whole.items():
            joined = np.concatenate([part[key] for part in parts])
            if value.dtype == np.float32:
                np.testing.assert_allclose(joined, value[: len(joined)], atol=ROUNDING)
            elif value.dtype == np.uint8:
                assert_pictures_agree(joined, value[: len(joined)])
            else:
                assert_pictures_agree(_decoded(joined), _decoded(value[: len(joined)]))


def _cli(*arguments):  # its flags are the process's: each call sets them all
    arguments = saved_model_cli.create_parser().parse_args(arguments)
    arguments.func()


@pytest.mark.parametrize("name", ["serving_default", "generate", "png", "attention"])
def test_saved_model_cli(name, model, unconditional_model, tmp_path, capsys):
    for conditional, directory in ((True, model), (False, unconditional_model)):
        if name == "attention" and not conditional:  # nor has that one attention
            continue
        of_z = name in ("serving_default", "attention")
        literals = {} if of_z else {"seed": "[1,2]", "truncation": "[0.0,1.0]"}
        literals |= {"labels": "[0,4]"} if conditional else {}
        place = ["--dir", str(directory / "1"), "--tag_set", "serve", "--signature_def", name]
        _cli("show", *place)
        shown = capsys.readouterr().out
        named = {key for key in ("z", "labels", "seed", "truncation") if f"inputs['{key}']" in shown}
        assert named == set(literals) | ({"z"} if of_z else set())
        out = tmp_path / str(conditional)
        np.save(tmp_path / "z.npy", _z(2))
        files = f"z={tmp_path / 'z.npy'}" if of_z else ""
        given = ";".join(f"{key}={value}" for key, value in literals.items())
        _cli("run", *place, "--inputs", files, "--input_exprs", given, "--outdir", str(out))
        assert all(len(np.load(path, allow_pickle=True)) == 2 for path in out.iterdir())
        assert len(list(out.iterdir())) == (2 if name == "attention" else 1)


def test_unconditional_model(unconditional_model, unconditional_workdir):
    signatures = tf.saved_model.load(str(unconditional_model / "1")).signatures
    assert set(signatures) == {"serving_default", "generate", "png"}
    images = _call(signatures["serving_default"], {"z": _z(3)})["images"]
    expected = restoring.restore(unconditional_workdir).generator(_z(3))
    np.testing.assert_allclose(images, expected, atol=ROUNDING)
    assert (unconditional_model / "1" / "assets" / "labels.txt").read_text() == ""


def _normalized(kernel, u):
    """W / sigma after one power iteration from u, in float64."""
    matrix = kernel.reshape(-1, kernel.shape[-1]).astype(np.float64)
    v = u @ matrix.T / np.linalg.norm(u @ matrix.T)
    new_u = v @ matrix / np.linalg.norm(v @ matrix)
    return kernel / (v @ matrix @ new_u.T).item()


def test_baked_kernels_are_those_of_a_pass_at_inference(generator):
    before = [variable.numpy() for variable in generator.variables]
    copy = inference_copy(generator, bake=True, dtype="float32")
    values = {variable.path: variable.numpy() for variable in generator.variables}
    baked = {variable.path: variable.numpy() for variable in copy.variables}
    kernels = [path for path in baked if path.endswith("kernel")]
    assert len(kernels) == 1 + 3 * 3 + 4 + 1 and not [path for path in baked if path.endswith("/u")]
    for path in kernels:
        expected = _normalized(values[path], values[path.replace("kernel", "u")])
        np.testing.assert_allclose(baked[path], expected, rtol=1e-5)
        assert np.abs(baked[path] / values[path] - 1).max() > 0.01
    np.testing.assert_allclose(copy(_z(4), _labels(4)), generator(_z(4), _labels(4)), atol=ROUNDING)
    for old, variable in zip(before, generator.variables, strict=True):
        np.testing.assert_array_equal(old, variable)


def test_spectral_norm_left_in_gives_the_same_images(workdir, generator, tmp_path):
    assert run_export(f"--workdir={workdir}", f"--export_dir={tmp_path / 'm'}", "--nobake_spectral_norm") == 0
    names = [name for name, _ in tf.train.list_variables(str(tmp_path / "m/1/variables/variables"))]
    assert sum("conv_1.Su" in name or "conv_1/u" in name for name in names) == 3
    signatures = tf.saved_model.load(str(tmp_path / "m" / "1")).signatures
    images = _call(signatures["serving_default"], {"z": _z(4), "labels": _labels(4)})["images"]
    np.testing.assert_allclose(images, generator(_z(4), _labels(4)), atol=ROUNDING)


def _served(generator, directory, **arguments):
    (directory / "labels.txt").write_text("")
    served = ServedGenerator(generator, str(directory / "labels.txt"), **arguments)
    served.save(str(directory / "model"))
    loaded = tf.saved_model.load(str(directory / "model"))
    inputs = {"z": _z(4), "labels": _labels(4)}
    return _call(loaded.signatures["serving_default"], inputs)["images"]


def test_no_call_transforms_a_kernel(model):
    """From what variables hold to the operation that uses it there is at most a reshape."""
    function = tf.saved_model.load(str(model / "1")).signatures["serving_default"]
    functions = function.graph.as_graph_def().library.function
    body = max(functions, key=lambda f: sum(node.op == "Conv2DBackpropInput" for node in f.node_def))
    nodes = {node.name: node for node in body.node_def}
    users = ("Conv2D", "Conv2DBackpropInput", "BatchMatMulV2")
    used = [node for node in body.node_def if node.op in users and "attention" not in node.name]
    assert {node.op for node in used} == set(users)
    operations = set()
    for node in used:
        name = node.input[1].split(":")[0]
        while name in nodes and nodes[name].op in ("Reshape", "Identity"):
            name = nodes[name].input[0].split(":")[0]
        operations.add(nodes[name].op if name in nodes else "argument")
    assert operations <= {"ReadVariableOp", "argument"}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_of_16_bits_are_the_rounded_ones(dtype, generator, tmp_path):
    baked = inference_copy(generator, bake=True, dtype="float32")
    images = _served(baked, tmp_path, weights=dtype)
    difference = np.abs(images - baked(_z(4), _labels(4)))
    for variable in baked.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(tf.cast(tf.cast(variable.value, dtype), tf.float32))
    np.testing.assert_allclose(images, baked(_z(4), _labels(4)), atol=ROUNDING)
    assert 1e-4 < difference.max() < 0.2
    file = tmp_path / "model" / "variables" / "variables.data-00000-of-00001"
    large = sum(np.prod(v.shape) for v in baked.trainable_variables if len(v.shape) > 1)
    small = sum(np.prod(v.shape) for v in baked.variables) - large
    assert file.stat().st_size < 2 * large + 4 * small + 20_000


def test_weights_too_large_for_16_bits_are_refused(generator, tmp_path):
    copy = generator.copy()
    copy.last_conv.kernel.assign(copy.last_conv.kernel * 1e8)
    with pytest.raises(ValueError, match="last_conv/kernel is not finite in float16"):
        ServedGenerator(copy, str(tmp_path / "labels.txt"), weights="float16")


def test_computing_in_bfloat16_is_what_the_network_does_in_training(generator, tmp_path):
    as_trained = inference_copy(generator, bake=False, dtype="mixed_bfloat16")
    copy = inference_copy(generator, bake=True, dtype="mixed_bfloat16")
    before = copy(_z(4), _labels(4))
    images = _served(copy, tmp_path)
    np.testing.assert_array_equal(copy(_z(4), _labels(4)), before)  # it is left as it was
    stored = tf.train.load_checkpoint(str(tmp_path / "model/variables/variables"))
    kernels = {n: d for n, d in stored.get_variable_to_dtype_map().items() if "kernel/" in n}
    assert len(kernels) == 14 + 1 and set(kernels.values()) == {tf.bfloat16}
    difference = np.abs(images - as_trained(_z(4), _labels(4)))
    from_float32 = np.abs(images - generator(_z(4), _labels(4)))
    assert difference.mean() < 0.01 and 1e-4 < from_float32.mean() < 0.05


def test_files_of_a_version(model):
    assert sorted(path.name for path in model.iterdir()) == ["1", "batching.config", "models.config"]
    assert (model / "1" / "assets" / "labels.txt").read_text() == "".join(f"{name}\n" for name in CLASSES)
    assert not (model / "1" / "labels.txt").exists()
    card = (model / "1" / "MODEL_CARD.md").read_text()
    for text in ("# faces, version 1", "CC0 1.0", "To be tested.", "| steps | 20 of 20", "two \\| too"):
        assert text in card
    assert "None has been measured" in card


def test_second_export_is_a_second_version_with_the_scores(workdir, model, tmp_path, capsys):
    work, out = tmp_path / "run", tmp_path / "faces"
    make_run(work)
    line = {"metric": "fid", "value": 12.345, "spread": None, "step": 20} | results.EXPORTED
    protocol = {"samples": 50_000, "seed": 0, "network": "Inception", "reference": "digits train"}
    results.append(str(work / "scores" / "scores.jsonl"), line | protocol)
    others = ({"precision": None}, {"batch_statistics": "estimated"})
    for other in ({"step": 10}, {"weights": "raw weights"}, *others):
        results.append(str(work / "scores" / "scores.jsonl"), line | protocol | other | {"value": 99.0})
    out.mkdir()
    (out / "models.config").write_text("mine")
    for _ in range(2):
        assert run_export(f"--workdir={work}", f"--export_dir={out}", "--warmup_batch_sizes=") == 0
    assert sorted(path.name for path in out.iterdir()) == ["1", "2", "batching.config", "models.config"]
    assert (out / "models.config").read_text() == "mine"
    assert not (out / "1" / "assets.extra").exists()
    card = (out / "2" / "MODEL_CARD.md").read_text()
    assert "| fid | 12.345 | 50000 | 0 |" in card and "digits train" in card and "| 99 |" not in card
    assert f"--model_config_file={out}/models.config" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--export_dir=x"], "--workdir is missing"),
        (["--workdir=x"], "--export_dir is missing"),
        (["--workdir=x", "--export_dir=a b"], "--model_name=a b: is part of URLs"),
        (["--workdir=/nowhere", "--export_dir=x"], "holds no run"),
        (["--workdir=RUN", "--export_dir=x", "--checkpoint=7"], "allowed are latest, best, 20"),
        (["--workdir=RUN", "--export_dir=/proc/x"], "--export_dir=/proc/x: cannot be written"),
        (
            ["--workdir=RUN", "--export_dir=x", "--weights_dtype=int8"],
            "allowed are float32,",
        ),
    ],
)
def test_mistakes_are_one_line(flags, message, workdir, capfd, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert run_export(*[flag.replace("RUN", workdir) for flag in flags]) == 2
    error = capfd.readouterr().err
    assert message in error and "Traceback" not in error and error.count("\n") == 1
    assert not (tmp_path / "x").exists()
