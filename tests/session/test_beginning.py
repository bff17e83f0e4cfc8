"""Runs that begin with another run's weights: which are taken, how classes become others, what is frozen."""

import dataclasses
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_digits

from sagan_tf.runs import objects, restoring, run_files
from sagan_tf.session import beginning
from sagan_tf.system.errors import UserError
from tests import tiny_run

EVEN = ["nothing", "pair", "square", "half dozen", "octet"]  # 0, 2, 4, 6, 8 under other names


@pytest.fixture(scope="module")
def source(finished_run):
    return str(finished_run[0])


@pytest.fixture(scope="module")
def even(tmp_path_factory):
    """A folder of images of the even digits, ten of each, in folders of other names."""
    folder = tmp_path_factory.mktemp("even")
    digits = load_digits()
    for name, digit in zip(EVEN, range(0, 10, 2), strict=True):
        (folder / name).mkdir()
        for number, image in enumerate(digits.images[digits.target == digit][:10]):
            pixels = Image.fromarray((image * 15).astype(np.uint8)).resize((32, 32))
            pixels.save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def class_map(tmp_path_factory):
    path = tmp_path_factory.mktemp("map") / "classes.txt"
    path.write_text("pair=2\n\nsquare = 4\noctet=8\noctet=0\n")
    return str(path)


def begun(source, class_names, **changes):
    """A new state that began with the run, the run, and what was reported."""
    config = dataclasses.replace(run_files.read_config(source), initialize_from=source, seed=5, **changes)
    state = objects.make_state(config, len(class_names), tf.distribute.get_strategy())
    lines = []
    beginning.begin(config, state, class_names, lines.append)
    return state, lines


def values(network):
    return {variable.path.partition("/")[2]: variable.numpy() for variable in network.variables}


def is_of_classes(path):
    return ("norm_" in path and path.endswith(("gain", "bias"))) or path.startswith("embedding/")


def test_of_the_same_classes_everything_is_taken(source):
    names = run_files.read_class_names(source)
    state, lines = begun(source, names)
    for ema, generator in ((False, state.generator), (True, state.ema_generator)):
        run = restoring.restore(source, ema=ema)
        old = values(run.generator)
        for path, value in values(generator).items():
            np.testing.assert_array_equal(value, old[path], err_msg=path)
    old = values(run.discriminator)
    for path, value in values(state.discriminator).items():
        np.testing.assert_array_equal(value, old[path], err_msg=path)
    assert int(state.step) == 0 and int(state.generator_optimizer.iterations) == 0
    assert all(not np.any(moment.numpy()) for moment in state.generator_optimizer._velocities)
    assert [line.split(": ")[0] for line in lines[1:]] == [
        "generator",
        "average of the generator",
        "discriminator",
    ]
    assert all(line.endswith("0 by class, 0 not taken") for line in lines[1:])


def test_the_same_names_in_another_order_keep_their_rows():
    weights = beginning.class_weights(["a", "b", "c"], ["c", "a", "b"])
    np.testing.assert_array_equal(weights, [[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(beginning.class_weights(["a", "b"], ["x", "y"]), np.eye(2))


def test_shared_names_keep_their_rows_and_others_begin_as_the_mean():
    """One class is another one: the names after it do not shift, whatever the number of classes."""
    cats = ["cat", "dog", "owl"]
    third = np.float32(1 / 3)
    for new, expected in (
        (["ant", "cat", "dog"], [[third] * 3, [1, 0, 0], [0, 1, 0]]),
        (["cat", "owl"], [[1, 0, 0], [0, 0, 1]]),
        (["ant", "cat", "dog", "owl"], [[third] * 3, *np.eye(3)]),
    ):
        np.testing.assert_array_equal(beginning.class_weights(cats, new), expected)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (["0", "1", "2"], ["ant", "cat", "dog"], np.eye(3)),
        (["ant", "cat", "dog"], ["0", "1", "2"], np.eye(3)),
        (["0", "1", "2", "3"], ["0", "1"], np.full((2, 4), 0.25)),
        (["0", "1", "10", "2"], ["0", "1"], np.full((2, 4), 0.25)),
        (["0", "1", "2"], ["1", "2", "3"], [[0, 1, 0], [0, 0, 1], np.full(3, np.float32(1 / 3))]),
    ],
)
def test_numbers_in_place_of_names(old, new, expected):
    """Numbers that an import or a file without names has given are no names."""
    np.testing.assert_array_equal(beginning.class_weights(old, new), expected)


def test_other_names_are_reported_even_if_classes_keep_their_order(source):
    names = ["nought", *map(str, range(1, 9)), "nine"]
    _, lines = begun(source, names)
    assert "of the same name: 8 of 10 classes begin as they are" in lines
    assert "2 classes begin as the mean of all 10: nought, nine" in lines
    _, lines = begun(source, [f"digit {number}" for number in range(10)])
    assert [line for line in lines if line.startswith("class ")] == [
        f"class digit {number} begins as {number}" for number in range(10)
    ]


def test_many_classes_are_not_all_listed():
    old, new = ([f"{letter}{number}" for number in range(1000)] for letter in "ab")
    lines = list(beginning._describe(np.eye(1000), old, new))
    assert len(lines) == 21 and lines[-1] == "... and 980 classes more"


def test_other_numbers_of_classes_begin_as_the_mean(source):
    state, lines = begun(source, EVEN)
    run = restoring.restore(source, ema=False)
    for network, old in ((state.generator, run.generator), (state.discriminator, run.discriminator)):
        old = values(old)
        for path, value in values(network).items():
            if path == "embedding/u":
                assert value.shape == (1, 5) and abs(np.linalg.norm(value) - 1) < 1e-5
            elif is_of_classes(path) and old[path].ndim == 2:
                expected = np.repeat(old[path].mean(axis=0, keepdims=True), 5, axis=0)
                np.testing.assert_allclose(value, expected, atol=1e-6, err_msg=path)
            else:
                np.testing.assert_array_equal(value, old[path], err_msg=path)
    assert "5 classes begin as the mean of all 10: nothing, pair, square, half dozen, octet" in lines
    sigma = np.linalg.svd(state.discriminator.embedding.kernel.numpy(), compute_uv=False)[0]
    np.testing.assert_allclose(state.discriminator.embedding.sigma(), sigma, rtol=1e-4)


def test_classes_by_a_map(source, class_map):
    state, lines = begun(source, EVEN, class_map=class_map)
    old = restoring.restore(source, ema=True).generator.blocks[0].norm_1.gain.numpy()
    new = state.ema_generator.blocks[0].norm_1.gain.numpy()
    mean = old.mean(axis=0)
    np.testing.assert_allclose(new, [mean, old[2], old[4], mean, (old[0] + old[8]) / 2], atol=1e-6)
    assert "class pair begins as 2" in lines and "class octet begins as 0, 8" in lines
    assert "2 classes begin as the mean of all 10: nothing, half dozen" in lines


@pytest.mark.parametrize(
    "text, problem",
    [
        ("pair", "line 1: has no ="),
        ("pair=2\npear=3", "line 2: 'pear' is no class of this run's data (it has nothing, pair"),
        ("pair=two", "line 1: 'two' is no class of the other run (it has 0, 1, 2, 3, 4, ...)"),
        (None, "cannot be read"),
    ],
)
def test_mistakes_in_a_map(tmp_path, text, problem):
    path = tmp_path / "map.txt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError) as error:
        beginning.class_weights([str(digit) for digit in range(10)], EVEN, str(path))
    assert str(error.value).startswith(f"--class_map={path}: ") and problem in str(error.value)


def test_what_does_not_fit_is_named_and_stays_new(source):
    state, lines = begun(source, [str(digit) for digit in range(10)], generator_channels=2)
    new = {line for line in lines if line.startswith("  not taken: ")}
    assert "  not taken: dense/kernel (shape (8, 64) there)" in new
    assert "discriminator: " in lines[-1] and lines[-1].endswith(" 0 not taken")
    fresh = objects.make_state(
        dataclasses.replace(run_files.read_config(source), seed=5, generator_channels=2),
        10,
        tf.distribute.get_strategy(),
    )
    np.testing.assert_array_equal(
        values(state.generator)["dense/kernel"], values(fresh.generator)["dense/kernel"]
    )


@pytest.mark.parametrize("changes", [{"discriminator_channels": 2}, {"image_size": 64}])
def test_blocks_that_are_new_are_not_frozen(source, changes):
    changes |= {"generator_attention": (), "discriminator_attention": ()}
    names = [str(digit) for digit in range(10)]
    with pytest.raises(UserError, match="^--freeze_discriminator_blocks=1: .*block_.* must learn$"):
        begun(source, names, freeze_discriminator_blocks=1, **changes)
    begun(source, names, **changes)


def train(*flags):
    of_networks = "--image_size --z_dim --generator --discriminator"
    plain = [flag for flag in tiny_run.TINY if not flag.startswith(tuple(of_networks.split()))]
    return tiny_run.run(*plain, *flags)


def test_the_command(source, even, class_map, tmp_path, eagerly):
    """Options of the networks are the other run's; a run that is taken up does not need it any more."""
    source = shutil.copytree(source, tmp_path / "source")
    workdir = tmp_path / "run"
    flags = [
        f"--workdir={workdir}",
        f"--dataset=folder:{even}",
        f"--initialize_from={source}",
        f"--class_map={class_map}",
        "--freeze_discriminator_blocks=1",
    ]
    code, out, error = train(*flags, "--train_steps=2")
    assert code == 0, error
    assert f"beginning with {source} at step 8:" in out and "class pair begins as" in out
    config = run_files.read_config(str(workdir))
    assert (config.z_dim, config.generator_channels, config.generator_attention) == (8, 1, (16,))
    old, new = (values(restoring.restore(str(place)).discriminator) for place in (source, workdir))
    moved = {path for path in old if old[path].shape == new[path].shape and (old[path] != new[path]).any()}
    frozen = {
        path for path in new if path.startswith(("block_16/", "attention_16/")) and not path.endswith("/u")
    }
    assert frozen and not frozen & moved
    assert {"block_8/conv_1/kernel", "dense/kernel", "block_16/conv_1/u"} <= moved
    shutil.rmtree(source)
    code, out, error = train(*flags, "--train_steps=4")
    assert code == 0 and "beginning with" not in out and "from step 2" in out, error
    assert run_files.checkpoints(str(workdir)).steps()[-1] == 4


def test_a_generator_alone_is_a_beginning(source, tmp_path):
    """As imported ones are; the discriminator is new."""
    alone = tmp_path / "alone"
    shutil.copytree(source, alone)
    (alone / "import.json").write_text('{"discriminator": false}')
    state, lines = begun(str(alone), [str(digit) for digit in range(10)])
    assert "discriminator: that run has none, this one's is new" in lines
    old = values(restoring.restore(source).discriminator)
    assert (values(state.discriminator)["dense/kernel"] != old["dense/kernel"]).any()
    with pytest.raises(UserError, match="^--freeze_discriminator_blocks=1: .* has no discriminator"):
        begun(str(alone), [str(digit) for digit in range(10)], freeze_discriminator_blocks=1)


MISTAKES = {
    "--initialize_from=nowhere": "--initialize_from=nowhere: holds no run",
    "--class_map=a.txt": "--class_map=a.txt: needs --initialize_from",
    "--freeze_discriminator_blocks=1": "--freeze_discriminator_blocks=1: needs --initialize_from",
    "--initialize_from=SOURCE --freeze_discriminator_blocks=3": "at most 2 blocks can be frozen",
    "--initialize_from=SOURCE --class_map=nowhere.txt": "--class_map=nowhere.txt: cannot be read",
}


@pytest.mark.parametrize("flags", MISTAKES)
def test_mistakes(source, tmp_path, flags):
    argv = flags.replace("SOURCE", source).split()
    code, _, error = train(f"--workdir={tmp_path / 'run'}", "--train_steps=1", *argv)
    assert code == 2 and error.startswith("train: error: ") and MISTAKES[flags] in error
    assert error.count("\n") == 1
