"""The flagfiles: each differs in what it studies, has the parameters that the table says, and trains."""

import dataclasses
import functools
import re

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.monitoring import estimate
from sagan_tf.reproduction import plan
from sagan_tf.runs import objects
from sagan_tf.runs.config import Config
from sagan_tf.runs.config.networks import NetworkOptions
from sagan_tf.system import options
from tests.conftest import ROOT, without_values

FLAGS = ROOT / "flags"
ROWS = sorted(str(path.relative_to(FLAGS).with_suffix("")) for path in FLAGS.glob("*/*.cfg"))
CLASSES = {"imagenet": 1000, "cifar10": 10, "digits": 10}
ATTENTION = {"generator_attention", "discriminator_attention"}
RATES = {"generator_learning_rate", "discriminator_learning_rate"}
# In what each differs from which: the claim of its name.
STUDIES = {
    "sn_gd_ttur": ("attention_32 attention_16", ATTENTION),
    "no_attention": ("sn_gd_ttur", set()),
    "sn_gd": ("sn_gd_ttur", RATES),
    "sn_d": ("sn_gd", {"generator_spectral_norm"}),
    "sngan_projection": ("sn_d", {"discriminator_steps"}),
    "acgan": ("sngan_projection", {"class_conditioning"}),
    "attention_8": ("attention_16", ATTENTION),
    "attention_16": ("attention_32 sn_gd_ttur", ATTENTION),
    "attention_32": ("sn_gd_ttur", ATTENTION),
    "attention_64": ("attention_32", ATTENTION),
    "residual_8": ("attention_8", {"attention_form"}),
    "residual_16": ("attention_16", {"attention_form"}),
    "residual_32": ("attention_32", {"attention_form"}),
    "residual_64": ("attention_64", {"attention_form"}),
    "d_steps_2": ("attention_32 attention_16", {"discriminator_steps"}),
    "d_steps_5": ("attention_32 attention_16", {"discriminator_steps"}),
    "keys_c_over_1": ("attention_32 attention_16", {"attention_key_ratio"}),
    "keys_c_over_2": ("attention_32 attention_16", {"attention_key_ratio"}),
    "keys_c_over_4": ("attention_32 attention_16", {"attention_key_ratio"}),
    "attention_paper_v1": ("attention_32 attention_16", {"attention_form"}),
    "attention_paper_v2": ("attention_32 attention_16", {"attention_form"}),
    "relativistic": ("sn_gd_ttur", {"loss", "gradient_penalty", "gradient_penalty_weight"}),
    "few_images": ("attention_16", {"split"}),
    "few_images_d_steps_2": ("few_images", {"discriminator_steps"}),
    "few_images_d_steps_5": ("few_images", {"discriminator_steps"}),
    "few_images_augment": ("few_images", {"augment"}),
    "few_images_augment_d_steps_2": ("few_images_d_steps_2", {"augment"}),
    "few_images_augment_d_steps_5": ("few_images_d_steps_5", {"augment"}),
    "beta2_0.999": ("attention_32 attention_16", {"beta2"}),
}
RECIPES = {"imagenet/mmgeneration", "imagenet/biggan", "cifar10/biggan", "cifar10/studiogan"}


@functools.cache
def config(row):
    arguments = [f"--flagfile={FLAGS / row}.cfg", "--workdir=unused", "--precision=float32"]
    return options.parse(Config, arguments)[0]


@pytest.mark.parametrize("row", ROWS)
def test_a_flagfile_differs_in_what_it_studies(row):
    """A row is like its neighbour in all but the options that its name promises."""
    assert (FLAGS / f"{row}.cfg").read_text().startswith("# ")
    folder, _, name = row.partition("/")
    assert config(row).batch_size  # it can be read
    if row in RECIPES or name == "_base":
        return
    others, studied = STUDIES[name]
    other = next(f"{folder}/{other}" for other in others.split() if f"{folder}/{other}" in ROWS)
    differences = options.difference(config(other), config(row))
    assert {line.split(":")[0].removeprefix("--") for line in differences} == studied


def test_flagfiles_are_the_paper_s():
    """What SPEC says of the paper's and its neighbours' settings, of those that comparisons do not show."""
    base = config("imagenet/attention_32")
    assert (base.batch_size, base.train_steps, base.generator_channels) == (256, 1_000_000, 64)
    assert (base.generator_learning_rate, base.discriminator_learning_rate) == (1e-4, 4e-4)
    assert (base.beta1, base.beta2, base.discriminator_steps, base.loss) == (0.0, 0.9, 1, "hinge")
    for folder in ("imagenet", "cifar10", "digits"):
        ttur, equal = config(f"{folder}/sn_gd_ttur"), config(f"{folder}/sn_gd")
        assert ttur.discriminator_learning_rate == 4 * ttur.generator_learning_rate
        assert equal.generator_learning_rate == equal.discriminator_learning_rate
        mean = (ttur.generator_learning_rate * ttur.discriminator_learning_rate) ** 0.5
        assert equal.generator_learning_rate == pytest.approx(mean)
        assert not ttur.generator_attention and not ttur.discriminator_attention
        assert not config(f"{folder}/sn_d").generator_spectral_norm
        assert config(f"{folder}/sn_d").discriminator_spectral_norm
    few = config("cifar10/few_images")  # scored with images that it does not learn
    assert (few.dataset, few.split) == (few.evaluate_reference, "train[:1000]")
    assert few.evaluate_reference_split == "train[90%:]"
    for row in ROWS:
        number = re.search(r"(attention|residual)_(\d+)$", row)
        if number:
            assert config(row).generator_attention == config(row).discriminator_attention
            assert config(row).generator_attention == (int(number[2]),)
        number = re.search(r"(?:d_steps|keys_c_over)_(\d+)$", row)
        if number:
            name = "attention_key_ratio" if "key" in row else "discriminator_steps"
            assert getattr(config(row), name) == int(number[1])


ARCHITECTURE = (
    "image_size z_dim generator_channels discriminator_channels generator_attention discriminator_attention"
    " attention_form attention_key_ratio generator_spectral_norm discriminator_spectral_norm"
    " class_conditioning generator_embedding hierarchical_z"
).split()


@functools.cache
def parameters(classes, *architecture):
    """Trainable parameters of G and D, of networks that were made."""
    of = dict(zip(ARCHITECTURE, architecture, strict=True))
    with without_values():
        cost = plan.cost(Config(**{"workdir": "unused", "precision": "float32"} | of), classes)
    return cost.generator, cost.discriminator


def test_table_of_the_flagfiles():
    """flags/README.md: every flagfile, its first comment, and the parameters of its networks."""
    lines = []
    for row in ROWS:
        first = (FLAGS / f"{row}.cfg").read_text().splitlines()[0].removeprefix("# ")
        of = [getattr(config(row), name) for name in ARCHITECTURE]
        generator, discriminator = parameters(CLASSES[row.partition("/")[0]], *of)
        lines.append(f"| [{row}]({row}.cfg) | {first} | {generator:,} | {discriminator:,} |")
    table, page = "\n".join(lines), (FLAGS / "README.md").read_text()
    assert table in page, table
    for path in FLAGS.glob("*.cfg"):
        first = path.read_text().splitlines()[0].removeprefix("# ")
        assert f"| [{path.stem}]({path.name}) | {first} |" in page


def test_planning_table():
    """sagan_tf/training/README.md: arithmetic, memory and checkpoint of every preset; hours on a CPU."""
    page = (FLAGS.parent / "sagan_tf" / "training" / "README.md").read_text()
    named = re.findall(r"^\| \[(\w+)\]\(", page, re.MULTILINE)
    assert set(named) == {path.stem for path in FLAGS.glob("*.cfg")} - {"my_images_from_run"}
    for name in named:
        rows = re.search(rf"^\| \[{name}\](.*)\n(\| the same \| \|.*\n)?", page, re.MULTILINE)
        for row in filter(None, rows.groups()):
            _, device, flop, memory, disk, time = (cell.strip() for cell in row.strip(" |\n").split("|")[-6:])
            cost, config = cost_of_preset(
                name, on_cpu="CPU" in device, replicas=4 if "4 GPUs" in device else 1
            )
            assert float(flop) == float(f"{cost.flop_per_image / 1e9:.3g}"), row
            if "measured" not in memory:
                assert float(memory.split()[0]) == round(cost.bytes / 2**30, 2), row
                assert float(disk.split()[0]) == round(estimate.checkpoint_bytes(cost) / 1e9, 2), row
            if time.endswith(" h"):
                seconds = config.train_steps * config.batch_size * cost.flop_per_image / 173e9
                assert int(time.split()[0]) == pytest.approx(seconds / 3600, abs=0.6), row


def cost_of_preset(name, on_cpu, replicas):
    arguments = [f"--flagfile={FLAGS / name}.cfg", "--workdir=unused", "--precision=bfloat16"]
    config = options.parse(Config, [*arguments, f"--fast_forms={'yes' if on_cpu else 'no'}"])[0]
    classes = 1000 if name.startswith("imagenet") else 10
    with without_values():
        networks = objects.make_generator(config, classes), objects.make_discriminator(config, classes)
        return estimate.estimate(config, *networks, replicas), config


@pytest.mark.parametrize("name", sorted(path.stem for path in FLAGS.glob("*.cfg")))
def test_a_preset_names_its_images(name):
    _, given = options.parse(Config, [f"--flagfile={FLAGS / name}.cfg", "--workdir=unused"])
    assert "dataset" in given


def test_presets_for_ones_own_images():
    """What is to be changed stands at their top; every option has a comment before it."""
    for path in FLAGS.glob("my_images*.cfg"):
        lines = path.read_text().splitlines()
        after = lines[lines.index("# Change these three:") :] if "# Change these three:" in lines else lines
        named = [line.partition("=")[0] for line in after if line.startswith("--")]
        assert named[:3] == ["--dataset", "--flip", "--train_steps"] or named[0] == "--flagfile"
        for before, line in zip(lines, lines[1:], strict=False):
            assert not line.startswith("--") or before.startswith(("#", "--")), line
    (small, _), (large, _), (begun, given) = (
        options.parse(Config, [f"--flagfile={FLAGS}/{name}.cfg", "--workdir=a"])
        for name in ("my_images_small", "my_images_256", "my_images_from_run")
    )
    assert small.augment and small.flip and (small.image_size, small.generator_channels) == (64, 32)
    assert (large.image_size, large.batch_size) == (256, 64)
    # What is not given of the networks is that run's.
    assert begun.initialize_from and not given & {field.name for field in dataclasses.fields(NetworkOptions)}


# One of each kind by default: a tenth of the time.
_QUICK = "sn_d residual_16 acgan attention_paper_v1 biggan".split()
_EACH = [
    row if row in {f"cifar10/{name}" for name in _QUICK} else pytest.param(row, marks=pytest.mark.slow)
    for row in ROWS
]


@pytest.mark.parametrize("row", _EACH)
def test_it_trains(row, eagerly):
    """Two steps with few channels and two images. In the first gamma moves, in the second the attention."""
    shrunk = dataclasses.replace(
        config(row),
        batch_size=2,
        generator_channels=2,
        discriminator_channels=1,
    )
    options.check(shrunk)
    strategy = tf.distribute.get_strategy()
    state = objects.make_state(shrunk, 3, strategy)
    before = [
        variable.numpy()
        for network in (state.generator, state.discriminator)
        for variable in network.trainable_variables
    ]
    size, images = shrunk.image_size, shrunk.batch_size * shrunk.discriminator_steps
    pixels = tf.random.stateless_uniform((images, size, size, 3), (0, 0), -1.0, 1.0)
    batches = tf.data.Dataset.from_tensors((pixels, tf.range(images) % 3)).repeat()
    step = objects.make_step(shrunk, state, strategy)
    values = step(iter(strategy.experimental_distribute_dataset(batches)), tf.constant(2))
    assert all(np.isfinite(value.numpy()).all() for value in values.values()), values
    after = [
        variable.numpy()
        for network in (state.generator, state.discriminator)
        for variable in network.trainable_variables
    ]
    moved = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    # Biases and tables of classes that had no turn may stay; most others must not.
    assert np.isfinite([np.sum(variable) for variable in after]).all()
    assert np.mean(moved) > 0.8
