"""The command `attention`: hand-made attention is drawn as it was made; mistakes in one line each."""

import base64
import dataclasses
import io
import shutil

import h5py
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageColor

from sagan_tf import attention
from sagan_tf.data import sources
from sagan_tf.evaluation import samples
from sagan_tf.inspection import attention_maps, source
from sagan_tf.networks.network import Look
from sagan_tf.pictures import figures
from sagan_tf.runs import objects, restoring, run_files
from sagan_tf.runs.config import Config
from tests.agreement import assert_pictures_agree
from tests.commands import run_command
from tests.inspection.test_page import data_of, unpacked

CONFIG = Config(
    precision="float32",
    dataset="digits",
    image_size=32,
    z_dim=8,
    generator_channels=1,
    discriminator_channels=1,
    generator_attention=(8, 16),
    discriminator_attention=(16,),
    generator_spectral_norm=False,
    ema_decay=0.0,
)
DIGITS = tuple("0123456789")
GREY, VEILED = 186, 84  # all that the hand-made generator draws: tanh(0.5) in [-1, 1]; and that times 0.45


def make_run(workdir, steps=(10,), change=lambda state: None, **options):
    """A run with checkpoints, whose networks `change` may have changed; returns its directory as text."""
    config = dataclasses.replace(CONFIG, workdir=str(workdir), **options)
    workdir.mkdir()
    run_files.write_description(config, DIGITS)
    state = objects.make_state(config, 10, tf.distribute.get_strategy())
    for layer in (
        *state.ema_generator.attention_layers.values(),
        *state.discriminator.attention_layers.values(),
    ):
        layer.gamma.assign(0.5)
    for step in steps:
        change(state)
        run_files.checkpoints(config.workdir).save(state.checkpoint(), step)
    return config.workdir


def attend_to_the_corner(state):
    """Every query of the generator asks for what only the top left quarter of a quarter of its image has."""
    generator = state.ema_generator
    for variable in generator.trainable_variables:
        variable.assign(np.zeros(variable.shape))
    first = np.zeros((4, 4, generator.first_width))
    first[..., 1] = 1  # everywhere
    first[0, 0, 0] = 1  # in the corner
    generator.dense.bias.assign(first.ravel())
    generator.last_conv.bias.assign([0.5] * 3)
    for block in generator.blocks:  # the shortcut alone: pixels are repeated, channels stay
        block.shortcut.kernel.assign(np.eye(generator.first_width)[None, None])
    for layer in generator.attention_layers.values():
        layer.gamma.assign(0.5)
        layer.query.kernel.assign([[0], [100], [0], [0]])
        layer.key.kernel.assign([[1], [0], [0], [0]])


def vary(state):
    """Makes every weight matter."""
    rng = np.random.default_rng(0)
    for variable in (*state.ema_generator.trainable_variables, *state.discriminator.trainable_variables):
        if variable.name != "gamma":
            variable.assign_add(0.3 * rng.standard_normal(variable.shape))


@pytest.fixture(scope="module")
def corner_run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "corner", change=attend_to_the_corner)


@pytest.fixture(scope="module")
def varied_run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "varied", change=vary)


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory):
    """Untrained, unconditional, attention of the paper's form in the discriminator alone; two checkpoints."""
    return make_run(
        tmp_path_factory.mktemp("runs") / "plain",
        (10, 20),
        conditional=False,
        generator_attention=(),
        attention_form="paper_v2",
    )


@pytest.fixture
def command(capfd, tmp_path):
    """Runs the command in this process: exit code, standard output, standard error."""

    def call(*arguments, output=tmp_path / "out"):
        flags = ["--num_samples=4", "--real_images=3", f"--output={output}"]
        return run_command(attention, *flags, *arguments), *capfd.readouterr()

    return call


def page_of(folder):
    return data_of((folder / "attention.html").read_text(encoding="utf-8"))


def refusal(command, *arguments, **keywords):
    code, _, error = command(*arguments, **keywords)
    assert code == 2 and error.count("\n") == 1 and error.startswith("attention: error: "), error
    return error


def test_attention_made_by_hand_is_drawn_exactly(corner_run, command, tmp_path):
    code, out, error = command(f"--workdir={corner_run}", "--positions=31:31,0:31", "--figure_rows=2")
    assert code == 0, error
    data = page_of(tmp_path / "out")
    generator_8, discriminator, generator_16 = (
        next(view for view in data["checkpoints"][0]["views"] if (view["network"], view["queries"]) == wanted)
        for wanted in (("generator", 8), ("discriminator", 16), ("generator", 16))
    )
    assert discriminator["source"] == "generated"
    for view, keys in ((generator_8, [0]), (generator_16, [0, 1, 8, 9])):
        maps, values = unpacked(view)
        assert values.shape == (4, view["queries"] ** 2, view["keys"] ** 2)
        expected = np.zeros(view["keys"] ** 2)
        expected[keys] = 1 / len(keys)
        np.testing.assert_allclose(maps, np.broadcast_to(expected, maps.shape), atol=1e-7)
        assert np.all(values[..., keys] == 255) and np.all(np.sum(values != 0, axis=-1) == len(keys))
        _check_corner(tmp_path / "out" / f"generator_{view['queries']}_00000010.png", view["queries"])


def _check_corner(path, queries):
    """In both rows of the figure: the image with two dots; then two maps, lit in the top left corner only."""
    picture = np.asarray(Image.open(path))
    tile = 96 + 2 * 4
    frame = np.array(ImageColor.getrgb(figures._COLOURS[0]))  # of the first map, right of the image
    left = np.flatnonzero((picture[-1] == frame).all(axis=-1))[0] - tile - 2
    rows = picture[-(2 * tile + 2) :, left : left + 3 * tile + 4]
    cell = 96 / queries
    dots = [(96 - cell / 2, 96 - cell / 2), (cell / 2, 96 - cell / 2)]
    at = np.mgrid[:96, :96]
    distances = [np.hypot(at[0] + 0.5 - row, at[1] + 0.5 - column) for row, column in dots]
    for top in (4, tile + 2 + 4):
        image, *maps = (
            rows[top : top + 96, left : left + 96] for left in (4, tile + 2 + 4, 2 * tile + 4 + 4)
        )
        assert (image[np.minimum(*distances) > 6] == GREY).all()
        for shown, distance in zip(maps, distances, strict=True):
            assert (shown[distance < 2] != VEILED).any(axis=-1).all()  # the dot
            lit = np.zeros((96, 96), bool)
            lit[:24, :24] = True
            assert (shown[lit] == figures.HEAT).all()
            assert (shown[~lit & (distance > 6)] == VEILED).all()


def test_page_holds_what_the_layers_say(varied_run, command, tmp_path):
    """Images, maps and strengths, against the networks called on all images at once."""
    flags = ("--num_samples=34", "--classes=3,1", "--seed=5", "--truncation=0.5", "--checkpoints=10,latest")
    code, out, error = command(f"--workdir={varied_run}", *flags)
    assert code == 0, error
    assert out.splitlines().count("step 10") == 1
    data = page_of(tmp_path / "out")
    (checkpoint,) = data["checkpoints"]  # both are the same
    assert data["classNames"] == {"1": "1", "3": "3"}
    assert checkpoint["sources"]["generated"]["labels"] == [3, 1] * 17
    assert checkpoint["sources"]["real"]["labels"] == [3, 1, 3]
    run, labels = restoring.restore(varied_run), np.array([3, 1] * 17)
    dataset = objects.open_dataset(CONFIG)
    members = [np.flatnonzero(dataset.source.labels == label) for label in (3, 1)]
    real = dataset.source.read(np.array([members[0][0], members[1][0], members[0][1]]))[0]
    np.testing.assert_array_equal(_images(data, "real"), real)
    of_generator = run.generator.look(samples.draw_z(np.arange(34), 5, 8, 0.5), labels)
    generated = of_generator.output
    assert np.abs(_images(data, "generated") - (generated + 1) * 127.5).max() < 0.51
    assert np.ptp(generated, axis=0).max() > 0.5
    expected = {
        ("generator", "generated"): of_generator,
        ("discriminator", "generated"): run.discriminator.look(generated, labels),
        ("discriminator", "real"): run.discriminator.look(real * np.float32(2 / 255) - 1, labels[:3]),
    }
    assert len(checkpoint["views"]) == 4
    for view in checkpoint["views"]:
        _, betas, shares = expected[view["network"], view["source"]]
        beta, (maps, _) = betas[view["queries"]].numpy(), unpacked(view)
        np.testing.assert_allclose(beta.sum(axis=-1), 1, rtol=1e-5)
        assert np.all(np.abs(maps - beta) <= beta.max(axis=-1, keepdims=True) * (0.5 / 255 + 1e-4))
        np.testing.assert_allclose(view["shares"], shares[view["queries"]], atol=1e-4)
        assert view["gamma"] == pytest.approx(0.5) and np.min(view["shares"]) > 0.001
        assert np.ptp(beta, axis=0).max() > 0.01  # images differ, so their order matters


def _images(data, source):
    """Images of the page, uint8 (n, 32, 32, 3)."""
    uris = [data["images"][number] for number in data["checkpoints"][0]["sources"][source]["images"]]
    files = [io.BytesIO(base64.b64decode(uri.partition(",")[2])) for uri in uris]
    return np.stack([np.asarray(Image.open(file)) for file in files])


def test_what_is_printed(corner_run, command):
    code, out, _ = command(f"--workdir={corner_run}", "--num_positions=2")
    lines = out.splitlines()
    assert code == 0 and lines[0] == "step 10"
    assert [line.split()[0] for line in lines[2:6]] == [
        "generator_8",
        "generator_16",
        "discriminator_16_generated",
        "discriminator_16_real",
    ]
    corner = next(line for line in lines if line.split()[0] == "generator_8")
    assert corner.split()[1:] == ["+0.5000", "0.0000", "hardly", "used"]  # its values are 0
    assert (
        sum("gamma near 0" in line and "gamma below 0: means nothing by itself" in line for line in lines)
        == 1
    )
    assert lines[-1].endswith("open it in a browser")


def test_smooth_maps_of_a_run_differ_from_those_of_cells(corner_run, command, tmp_path):
    pictures = []
    for option in ("--nosmooth", "--smooth"):
        output = tmp_path / option.strip("-")
        code, _, error = command(f"--workdir={corner_run}", "--num_samples=1", option, f"--output={output}")
        assert code == 0, error
        pictures.append(np.asarray(Image.open(output / "generator_16_00000010.png")).astype(int))
    cells, smooth = pictures
    assert cells.shape == smooth.shape and np.any(cells != smooth)
    np.testing.assert_array_equal(cells[:, :104], smooth[:, :104])  # captions and the image


def test_unconditional_run_and_all_checkpoints(plain_run, command, tmp_path):
    code, out, error = command(f"--workdir={plain_run}", "--checkpoints=all")
    assert code == 0, error
    data = page_of(tmp_path / "out")
    assert [checkpoint["step"] for checkpoint in data["checkpoints"]] == [10, 20]
    assert data["classNames"] == {}
    for checkpoint in data["checkpoints"]:
        assert {source["labels"] == [] for source in checkpoint["sources"].values()} == {True}
        assert [view["network"] for view in checkpoint["views"]] == ["discriminator"] * 2
        assert all(view["keys"] == view["queries"] == 16 for view in checkpoint["views"])
    assert (tmp_path / "out" / "discriminator_16_real_00000020.png").exists()
    assert "--classes=1: the model is unconditional" in refusal(
        command, f"--workdir={plain_run}", "--classes=1"
    )


def test_samples_are_the_same_however_many(varied_run, command, tmp_path):
    images = []
    for number in (2, 33):
        output = tmp_path / str(number)
        arguments = [f"--workdir={varied_run}", f"--num_samples={number}", "--real_images=0"]
        assert command(*arguments, output=output)[0] == 0
        data = page_of(output)
        assert set(data["checkpoints"][0]["sources"]) == {"generated"}
        images.append(_images(data, "generated"))
    assert_pictures_agree(images[1][:2], images[0])


def test_pictures_are_those_of_sample(tmp_path, command):
    """Also for a run in bfloat16; but for values between two levels."""
    workdir = make_run(tmp_path / "run", precision="bfloat16", change=vary)
    assert command(f"--workdir={workdir}", "--num_samples=11")[0] == 0
    generator = source.from_run(workdir, "latest", True).generator
    (expected,) = samples.GeneratorSamples(generator, np.arange(11) % 10, 0, 0.0).batches(11)
    assert_pictures_agree(_images(page_of(tmp_path / "out"), "generated"), expected)


def test_raw_weights(varied_run, command, tmp_path):
    assert command(f"--workdir={varied_run}", "--weights=raw")[0] == 0
    generator = restoring.restore(varied_run, ema=False).generator
    expected = generator(samples.draw_z(np.arange(4), 0, 8, 0.0), np.arange(4))
    assert np.abs(_images(page_of(tmp_path / "out"), "generated") - (expected + 1) * 127.5).max() < 0.51


def test_without_the_dataset_generated_images_alone(tmp_path, command):
    workdir = make_run(tmp_path / "run", dataset="folder:gone", generator_attention=())
    code, out, _ = command(f"--workdir={workdir}")
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.startswith("no real images")]
    assert "the discriminator is shown on generated ones only: --dataset=folder:gone: " in line
    assert set(page_of(tmp_path / "out")["checkpoints"][0]["sources"]) == {"generated"}


def test_another_dataset_in_its_place_is_not_taken(tmp_path, command):
    (tmp_path / "images" / "cat").mkdir(parents=True)
    Image.new("RGB", (32, 32)).save(tmp_path / "images" / "cat" / "a.png")
    workdir = make_run(tmp_path / "run", dataset=f"folder:{tmp_path / 'images'}", generator_attention=())
    code, out, _ = command(f"--workdir={workdir}")
    assert code == 0 and "no real images" in out and "has other classes than the run" in out


def test_real_images_of_hdf5_that_the_run_held_in_memory(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        file["imgs"], file["labels"] = pixels, np.array([0, 1, 0, 1, 0, 1])
    monkeypatch.setattr(sources, "MEMORY_LIMIT_BYTES", 1000)
    config = dataclasses.replace(CONFIG, dataset=f"hdf5:{tmp_path}/x.hdf5", in_memory="yes")
    for names in (("0", "1"), ("cat", "dog")):  # numbers may be of the same classes as names
        images, labels = attention_maps.real_images(config, names, [1, 0], 3)
        np.testing.assert_array_equal(images, pixels[[1, 0, 3]])
        assert labels == (1, 0, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--classes=11"], "--classes=11: no such class; allowed are names (0, 1, "),
        (["--positions=32:0"], "--positions=32:0: outside the image; rows and columns go from 0 to 31"),
        (["--positions=3"], "--positions=3: must be ROW:COLUMN in pixels, e.g. 12:40"),
        (["--positions=-1:3"], "--positions=-1:3: must be ROW:COLUMN"),
        (["--positions=" + ",".join(["1:1"] * 9)], "--positions: 9 are given; at most 8"),
        (["--checkpoints=11"], "--checkpoints=11: allowed are latest, best, 10"),
        (["--checkpoints=newest"], "--checkpoints=newest: allowed are latest, best, all, or a step"),
        (["--checkpoints="], "--checkpoints=: is empty"),
        (["--workdir="], "--workdir is missing"),
    ],
)
def test_mistakes_in_one_line(corner_run, command, arguments, message, tmp_path):
    assert message in refusal(command, f"--workdir={corner_run}", *arguments)
    assert not (tmp_path / "out").exists()


def test_runs_that_have_nothing_to_show(tmp_path, command):
    workdir = make_run(tmp_path / "run", (), generator_attention=(), discriminator_attention=())
    assert f"--workdir={workdir}: has no attention to show" in refusal(command, f"--workdir={workdir}")
    workdir = make_run(tmp_path / "control", (), attention_form="residual")
    error = refusal(command, f"--workdir={workdir}")
    assert f"--workdir={workdir}: has no attention to show: residual blocks" in error
    workdir = make_run(tmp_path / "early", ())
    for checkpoints in ("latest", "all"):
        error = refusal(command, f"--workdir={workdir}", f"--checkpoints={checkpoints}")
        assert f"--workdir={workdir}: has no checkpoint yet" in error
    assert "holds no run" in refusal(command, f"--workdir={tmp_path}")


def test_other_files_are_not_mixed_with(corner_run, command, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    error = refusal(command, f"--workdir={corner_run}", output=tmp_path)
    assert f"--output={tmp_path}: holds other files; name a new or empty directory" in error
    error = refusal(command, f"--workdir={corner_run}", output=tmp_path / "letter.txt" / "out")
    assert "cannot be written" in error


def test_another_run_s_page_is_not_written_over(corner_run, varied_run, command, tmp_path):
    assert command(f"--workdir={corner_run}")[0] == 0
    before = (tmp_path / "out" / "attention.html").read_bytes()
    error = refusal(command, f"--workdir={varied_run}")
    assert f"--output={tmp_path / 'out'}: holds what other options made (--workdir" in error
    assert (tmp_path / "out" / "attention.html").read_bytes() == before
    code, _, error = command(
        f"--workdir={corner_run}", "--num_samples=2", "--num_positions=1"
    )  # of the same run
    assert code == 0, error
    assert (tmp_path / "out" / "attention.html").read_bytes() != before


def test_a_page_of_an_earlier_version_is_written_over_in_the_run_s_own_folder_only(
    corner_run, command, tmp_path
):
    workdir = shutil.copytree(corner_run, tmp_path / "copy")
    for folder in (workdir / "attention", tmp_path / "other"):
        folder.mkdir()
        (folder / "attention.html").write_text("a page")
    assert "holds other files" in refusal(command, f"--workdir={workdir}", output=tmp_path / "other")
    code, _, error = command(f"--workdir={workdir}", output=workdir / "attention")
    assert code == 0, error
    assert (workdir / "attention" / "attention.html").read_text() != "a page"


def test_after_a_checkpoint_that_fails_the_same_folder_can_be_taken(tmp_path, command):
    numbers = iter((0.0, np.nan))

    def change(state):
        kernel = state.discriminator.attention_layers["16"].query.kernel
        kernel.assign_add(np.full(kernel.shape, next(numbers)))

    workdir = make_run(tmp_path / "run", (10, 20), change=change, generator_attention=())
    output = tmp_path / "run" / "attention"
    refused = refusal(command, f"--workdir={workdir}", "--checkpoints=all", output=output)
    assert "is not finite" in refused
    (output / "attention.html.partial").touch()  # what a kill while the page was written leaves
    code, _, error = command(f"--workdir={workdir}", "--checkpoints=10", output=output)
    assert code == 0, error
    assert (output / "attention.html").exists() and (output / "discriminator_16_real_00000010.png").exists()


class _Layer:
    gamma = type("Variable", (), {"value": 0.5})


class _Network:
    """Gives maps of a feature map of 2x2, pooled to one key, and of one of 4x4."""

    attention_layers = {"2": _Layer, "4": _Layer}

    def __init__(self, name, resolutions):
        self.name, self._resolutions = name, resolutions

    def look(self, images, labels):
        count = len(labels)
        maps = {r: tf.fill((count, r**2, r**2 // 4), 4 / r**2) for r in self._resolutions}
        return Look(tf.zeros((count, 8, 8, 3)), maps, {r: tf.ones(count) for r in self._resolutions})


def test_maps_of_one_key_are_left_out():
    drawing, lines = attention_maps.Drawing(1, (), 2), []

    def look(resolutions):
        networks = {name: _Network(name, resolutions) for name in ("generator", "discriminator")}
        run = restoring.Run(CONFIG, DIGITS, 3, **networks)
        observer = attention_maps.MapCollector(run, drawing, lines.append)
        return observer.look(np.zeros((33, 8)), np.zeros(33, np.int32), None, lambda done: None)

    assert [view.name for view in look((2, 4)).views] == ["generator_4", "discriminator_4_generated"]
    assert lines == [
        f"{name}_2 is left out: its map is 1x1, each position attends to the one key there is"
        for name in ("generator", "discriminator")
    ]
    with pytest.raises(attention_maps.UserError, match="every attention map of the run is 1x1"):
        look((2,))
