"""The command `sample`: every kind of picture, the same whatever the batch; mistakes in one line each."""

import dataclasses
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sagan_tf import data, export, pictures, sample
from sagan_tf.data import images, prepare, records
from sagan_tf.evaluation import samples
from sagan_tf.metrics import classifier
from sagan_tf.runs import best, objects, restoring, run_files
from sagan_tf.runs.config import Config
from tests.agreement import assert_pictures_agree
from tests.commands import refused, run_command

CONFIG = Config(
    precision="float32",
    dataset="digits",
    image_size=32,
    z_dim=8,
    generator_channels=1,
    discriminator_channels=1,
    generator_attention=(16,),
    discriminator_attention=(),
    train_steps=20,
)
DIGITS = tuple("0123456789")


def _make_run(workdir, config=CONFIG, steps=(10, 20)):
    """A run; the averaged generators of its checkpoints are unlike each other, and so are the classes."""
    workdir.mkdir()
    config = dataclasses.replace(config, workdir=str(workdir))
    run_files.write_description(config, DIGITS)
    state = objects.make_state(config, 10, tf.distribute.get_strategy())
    for step in steps:
        for number, variable in enumerate(state.ema_generator.trainable_variables):
            noise = tf.random.stateless_normal(variable.shape, (step, number))
            variable.assign(variable + 0.3 * noise)
        run_files.checkpoints(str(workdir)).save(state.checkpoint(), step)
    return str(workdir)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return _make_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def unconditional(tmp_path_factory):
    config = dataclasses.replace(CONFIG, conditional=False)
    return _make_run(tmp_path_factory.mktemp("runs") / "run", config, (10,))


@pytest.fixture
def compiled_command(capfd):
    """Runs the command in this process: exit code, standard output, standard error."""

    def call(*arguments):
        return run_command(sample, *arguments), *capfd.readouterr()

    return call


@pytest.fixture
def command(compiled_command, eagerly):
    """The same without graphs: not for truncated z, which TensorFlow draws in graphs only."""
    return compiled_command


def _draw(command, workdir, output, *arguments):
    code, out, error = command(f"--workdir={workdir}", f"--output={output}", *arguments)
    assert code == 0, error
    return out


def _pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="module")
def generator(workdir):
    """The run's generator, read without the command."""
    network = restoring.restore(workdir).generator
    return lambda z, labels: pictures.to_uint8(network(z, np.asarray(labels), training=False))


def _z(numbers, truncation=0.0, seed=0):
    return samples.draw_z(np.asarray(numbers), seed, 8, truncation).numpy()


def _tile(picture, row, column, rows, columns, group_gap=0):
    """An image of a grid at the bottom right of a picture; `group_gap` is what is between it and the edge."""
    bottom = len(picture) - (rows - 1 - row) * 66
    right = picture.shape[1] - (columns - 1 - column) * 66 - group_gap
    return picture[bottom - 64 : bottom : 2, right - 64 : right : 2]


def test_grid_same_z_and_interpolation_show_what_they_say(workdir, generator, command, tmp_path):
    kinds = "--what=grid,same_z,interpolation"
    out = _draw(command, workdir, tmp_path, kinds, "--classes=7,2", "--columns=3")
    assert out.split() == [str(tmp_path / f"{kind}.png") for kind in ("grid", "same_z", "interpolation")]
    grid, same_z, line = (_pixels(path) for path in out.split())
    assert_pictures_agree(_tile(grid, 1, 2, 2, 3), generator(_z([5]), [2])[0])  # sample 2 * 2 + 1
    assert_pictures_agree(_tile(grid, 0, 1, 2, 3), generator(_z([2]), [7])[0])
    assert_pictures_agree(_tile(same_z, 0, 2, 2, 3), generator(_z([2]), [7])[0])
    assert_pictures_agree(_tile(same_z, 1, 2, 2, 3), generator(_z([2]), [2])[0])
    assert_pictures_agree(_tile(line, 1, 0, 2, 3), generator(_z([2]), [2])[0])
    assert_pictures_agree(_tile(line, 1, 2, 2, 3), generator(_z([3]), [2])[0])
    assert np.abs(_tile(grid, 1, 2, 2, 3).astype(int) - _tile(grid, 0, 1, 2, 3)).max() > 20


def test_class_interpolation_and_truncation(workdir, generator, compiled_command, tmp_path):
    kinds = "--what=class_interpolation,truncation"
    _draw(compiled_command, workdir, tmp_path, kinds, "--classes=7,2,5", "--columns=4", "--seed=3")
    way = _pixels(tmp_path / "class_interpolation.png")
    z = _z([0], seed=3)
    for row, column, label in ((0, 0, 7), (0, 3, 2), (1, 0, 2), (1, 3, 5)):
        assert_pictures_agree(_tile(way, row, column, 2, 4), generator(z, [label])[0])
    sweep = _pixels(tmp_path / "truncation.png")
    for row, column, label, number, t, gap in (
        (2, 15, 5, 11, 0.1, 0),
        (0, 13, 7, 3, 0.1, 0),
        (1, 0, 2, 1, 2.0, 24),
    ):
        assert_pictures_agree(
            _tile(sweep, row, column, 3, 16, gap), generator(_z([number], t, seed=3), [label])[0]
        )


def test_images_and_npz_are_the_samples_that_evaluate_scores(workdir, command, tmp_path):
    what = ("--what=images,npz", "--samples_per_class=3")
    out = _draw(command, workdir, tmp_path, *what, "--batch_size=7", "--devices=cpu:2")
    assert f"{tmp_path / 'images'}: 30 images" in out
    run = restoring.restore(workdir)
    network = run.generator
    generate = samples.SampledGenerator(lambda z, labels: network(z, labels, training=False), 8, 32, True)
    labels = samples.draw_labels("balanced", 30, 10, 0, None)
    (expected,) = samples.GeneratorSamples(generate, labels, 0, 0.0).batches(30)
    with np.load(tmp_path / "samples.npz") as file:
        assert_pictures_agree(file["images"], expected)
        np.testing.assert_array_equal(file["labels"], labels)
        assert tuple(file["class_names"]) == DIGITS
        for number, (image, label) in enumerate(zip(file["images"], labels, strict=True)):
            path = tmp_path / "images" / DIGITS[label] / f"{number:06d}.png"
            np.testing.assert_array_equal(_pixels(path), image)
    assert sum(len(files) for _, _, files in os.walk(tmp_path / "images")) == 30
    assert data.open_dataset(f"npz:{tmp_path / 'samples.npz'}", image_size=32).num_examples == 30
    folder = samples.FolderSamples(str(tmp_path / "images"), 100, 0)
    folder.name_classes(DIGITS)
    assert np.bincount(folder.labels).tolist() == [3] * 10


def test_batch_size_does_not_matter(workdir, compiled_command, tmp_path):
    kinds = "--what=grid,images,npz,same_z,interpolation,class_interpolation,truncation"
    trees = []
    for batch_size in (1, 7, 64):
        output = tmp_path / str(batch_size)
        _draw(compiled_command, workdir, output, kinds, f"--batch_size={batch_size}", "--classes=1,3,8")
        files = sorted(path for path in output.rglob("*") if path.suffix == ".png")
        trees.append({str(path.relative_to(output)): _pixels(path) for path in files})
    assert len(trees[0]) == 30 + 5
    for name, expected in trees[0].items():
        for tree in trees[1:]:
            assert_pictures_agree(tree[name], expected)


def test_seed_truncation_weights_and_checkpoint_matter(workdir, compiled_command, tmp_path):
    grids = []
    for number, argument in enumerate(
        ["--seed=0", "--seed=1", "--truncation=0.5", "--weights=raw", "--checkpoint=10"]
    ):
        _draw(compiled_command, workdir, tmp_path / str(number), argument, "--classes=4", "--columns=4")
        grids.append(_pixels(tmp_path / str(number) / "grid.png").tobytes())
    assert len(set(grids)) == 5


def test_neighbours_in_pixels_and_features(workdir, command, tmp_path):
    model = classifier.Classifier(32, 10, width=2)
    model(tf.zeros((1, 32, 32, 3)))
    network = str(tmp_path / "classifier")
    classifier.save(model, network, {"name": "tiny", "image_size": 32, "class_names": DIGITS})
    arguments = ["--what=neighbours", "--split=test", "--dataset=digits", f"--inception={network}"]
    out = _draw(command, workdir, tmp_path / "out", *arguments, "--classes=3,4")
    assert "pixels: from a sample" in out and "features of tiny: from a sample" in out
    for name in ("pixels", "features"):
        assert _pixels(tmp_path / "out" / f"neighbours_{name}.png").shape[1] > 6 * 66


def test_neighbours_of_a_run_with_random_crops_are_cut_from_its_larger_records(command, tmp_path):
    examples = data.open_examples("digits", "test")
    settings = records.Settings("digits", "test", 36, "raw", 95, 2, "refuse", images.METHOD, "")
    prepare.prepare(examples, settings, str(tmp_path / "records"), 1, lambda line: None)
    config = dataclasses.replace(CONFIG, dataset=f"records:{tmp_path / 'records'}", random_crop=True)
    workdir = _make_run(tmp_path / "run", config, (10,))
    _draw(command, workdir, tmp_path / "out", "--what=neighbours", "--classes=3")
    assert (tmp_path / "out" / "neighbours_pixels.png").exists()


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_progress_has_a_frame_a_checkpoint(workdir, command, tmp_path, ending):
    _draw(command, workdir, tmp_path, "--what=progress,grid", f"--animation={ending}", "--classes=1")
    with Image.open(tmp_path / f"progress.{ending}") as image:
        assert image.n_frames == 2
        frames = []
        for number in range(2):
            image.seek(number)
            frames.append(np.asarray(image.convert("RGB")).astype(int))
    last = _pixels(tmp_path / "grid.png")
    away = [np.abs(frame[-len(last) :] - last).mean() for frame in frames]
    assert away[1] < 8 and away[0] > 3 * away[1]  # GIF has 256 colours, WebP is lossy


def test_a_damaged_checkpoint_is_left_out_of_progress(workdir, command, tmp_path):
    copy = shutil.copytree(workdir, tmp_path / "copy")
    with open(copy / "checkpoints" / "00000010" / "state.index", "ab") as file:
        file.write(b"x")
    code, out, error = command(f"--workdir={copy}", "--what=progress", "--classes=1", "--columns=2")
    assert code == 0 and "1 checkpoints" in out
    assert "sample: step 10 is left out" in error


def test_an_unconditional_run(unconditional, compiled_command, tmp_path):
    _draw(
        compiled_command,
        unconditional,
        tmp_path,
        "--what=grid,interpolation,truncation,images",
        "--columns=3",
    )
    assert _pixels(tmp_path / "grid.png").shape == (10 * 66 - 2, 3 * 66 - 2, 3)
    assert len(os.listdir(tmp_path / "images")) == 10
    for arguments in (["--what=same_z"], ["--what=class_interpolation"], ["--classes=3"]):
        code, _, error = compiled_command(
            f"--workdir={unconditional}", f"--output={tmp_path / 'no'}", *arguments
        )
        assert code == 2 and "the model is unconditional" in error
    assert not (tmp_path / "no").exists()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A run in bfloat16, and the SavedModel that `sagan_tf.export` makes of it."""
    place = tmp_path_factory.mktemp("exported")
    run = _make_run(place / "run", dataclasses.replace(CONFIG, precision="bfloat16"), (10,))
    options = export.Options(workdir=run, export_dir=str(place / "model"), warmup_batch_sizes=())
    assert export.main(options, frozenset()) == 0
    return run, str(place / "model" / "1")


def test_a_saved_model_gives_the_pictures_of_its_run(exported, compiled_command, tmp_path):
    run, saved_model = exported
    arguments = ["--what=grid,images,same_z,interpolation,truncation", "--classes=1,9"]
    _draw(compiled_command, run, tmp_path / "run", *arguments)
    code, out, error = compiled_command(f"--savedmodel={saved_model}", *arguments)
    assert code == 0, error
    assert f"{saved_model}.pictures/images: 20 images" in out
    files = [path for path in (tmp_path / "run").rglob("*.png")]
    assert len(files) == 24
    for path in files:
        theirs = os.path.join(f"{saved_model}.pictures", path.relative_to(tmp_path / "run"))
        assert_pictures_agree(_pixels(path), _pixels(theirs), share=0.05)  # in bfloat16


def test_mistakes_with_a_saved_model(exported, command, tmp_path):
    _, saved_model = exported
    for arguments, text in (
        (
            ["--what=class_interpolation"],
            "a SavedModel takes whole classes; give the run instead (--workdir)",
        ),
        (["--what=progress"], "--what=progress: needs --workdir"),
        (["--weights=raw"], "--weights=raw: needs --workdir"),
        (["--checkpoint=best"], "--checkpoint=best: needs --workdir"),
        (["--what=neighbours"], "--dataset is missing"),
        (["--classes=10"], "--classes=10: no such class; allowed are names (0, 1, 2"),
    ):
        assert text in _refusal(command, f"--savedmodel={saved_model}", f"--output={tmp_path}", *arguments)
    assert "is not a SavedModel" in _refusal(command, f"--savedmodel={tmp_path}")


def _refusal(command, *arguments):
    code, _, error = command(*arguments)
    return refused("sample", code, error)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--checkpoint=11"], "--checkpoint=11: allowed are latest, best, 10, 20"),
        (["--checkpoint=first"], "--checkpoint=first: allowed are latest, best, or a step"),
        (["--checkpoint=best"], "has no best checkpoint"),
        (["--classes=cat"], "--classes=cat: no such class"),
        (["--what=grids"], "--what=grids: allowed are grid, images"),
        (["--what="], "--what=: is empty"),
        (["--devices=gpu:9"], "--devices=gpu:9: TensorFlow sees 0 GPUs here"),
        (["--devices=tpu"], "--devices=tpu: allowed are auto, cpu"),
        (["--columns=1"], "--columns=1: must be at least 2"),
        (["--what=class_interpolation", "--classes=3"], "needs at least 2 classes"),
        (["--what=neighbours", "--dataset=folder:/no/such"], "/no/such"),
        (["--output=/proc/none"], "--output=/proc/none: cannot be written"),
        (["--savedmodel=x"], "give either --workdir (a run) or --savedmodel"),
    ],
)
def test_mistakes_are_one_line(workdir, command, tmp_path, arguments, text):
    assert text in _refusal(command, f"--workdir={workdir}", f"--output={tmp_path / 'out'}", *arguments)
    assert not (tmp_path / "out").exists()


def test_no_run_and_no_checkpoint_yet(command, tmp_path):
    assert "holds no run" in _refusal(command, f"--workdir={tmp_path}")
    run_files.write_description(dataclasses.replace(CONFIG, workdir=str(tmp_path)), DIGITS)
    assert "has no checkpoint yet" in _refusal(command, f"--workdir={tmp_path}")


def test_only_the_best_checkpoint_is_left(command, tmp_path):
    workdir = _make_run(tmp_path / "run", steps=(10,))
    os.rename(tmp_path / "run" / "checkpoints", tmp_path / "run" / "best")
    best.write(str(tmp_path / "run" / "best"), [best.Entry(10, 1.0)], None)
    line = _refusal(command, f"--workdir={workdir}")
    assert "--checkpoint=latest: only the best are left; allowed are best, 10" in line
    _draw(command, workdir, tmp_path / "out", "--checkpoint=best", "--classes=3", "--columns=2")


def test_nothing_is_overwritten_by_other_options(workdir, command, tmp_path):
    small = ["--classes=4", "--columns=2"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    line = _refusal(command, f"--workdir={workdir}", f"--output={tmp_path / 'other'}", *small)
    assert "holds other files" in line and os.listdir(tmp_path / "other") == ["letter.txt"]
    _draw(command, workdir, tmp_path / "out", *small)
    first = _pixels(tmp_path / "out" / "grid.png")
    _draw(command, workdir, tmp_path / "out", *small, "--what=same_z,grid", "--batch_size=3")  # as well
    assert_pictures_agree(_pixels(tmp_path / "out" / "grid.png"), first)
    before = (tmp_path / "out" / "grid.png").read_bytes()
    for argument, text in (("--seed=5", "--seed: '0' before, '5' now"), ("--checkpoint=10", "--checkpoint")):
        line = _refusal(command, f"--workdir={workdir}", f"--output={tmp_path / 'out'}", *small, argument)
        assert "holds what other options made" in line and text in line
    assert (tmp_path / "out" / "grid.png").read_bytes() == before


def test_output_is_in_the_run_by_default(workdir, command):
    code, out, error = command(f"--workdir={workdir}", "--classes=4", "--columns=2")
    assert (code, out) == (0, os.path.join(workdir, "pictures", "step_00000020", "grid.png\n")), error
