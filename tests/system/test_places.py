"""Mistakes in places: what is missing is said before TensorFlow is imported, with what was probably meant."""

import importlib
import os
import re
import sys

import numpy as np
import pytest

from sagan_tf import reproduce, train
from sagan_tf.data import arrays, kinds
from sagan_tf.runs.config import Config
from sagan_tf.system import cli, installed, options, suggestions
from sagan_tf.system.errors import UserError
from sagan_tf.system.run_directory import check_is_run


@pytest.fixture(autouse=True)
def _there(tmp_path, monkeypatch):
    """A working directory with runs, images and files."""
    for name in ("runs/digits", "runs/photos"):
        (tmp_path / name / "checkpoints" / "00000004").mkdir(parents=True)
        (tmp_path / name / "config.cfg").write_text("--dataset=digits\n--workdir=a\n")
        (tmp_path / name / "classes.txt").write_text("cat\ndog\n")
    with open(tmp_path / "runs" / "photos" / "config.cfg", "a") as file:
        file.write("--generator_attention=\n--discriminator_attention=\n")
    (tmp_path / "models" / "digits" / "2").mkdir(parents=True)
    (tmp_path / "models" / "digits" / "2" / "saved_model.pb").touch()
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "manifest.json").write_text("{}")
    for name in ("photos.zip", "photos.tar.gz", "photos.npz", "photos.h5", "photos.txt"):
        (tmp_path / name).write_text("text")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.runtime, "import_tensorflow", lambda: pytest.fail("TensorFlow is imported"))


def answer(monkeypatch, capsys, command):
    """The line that a command answers a mistake with."""
    name, *arguments = command.split()
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"sagan_tf.{name}").console()
    out, error = capsys.readouterr()
    assert (ended.value.code, out, error.count("\n")) == (2, "", 1), error
    return error.removesuffix("\n").removeprefix(f"{name}: error: ")


@pytest.mark.parametrize(
    ("command", "line"),
    {
        "train --workdir=a": "--dataset is missing: name the images, .* --flagfile=flags/digits.cfg",
        "train --workdir=a --dataset=photos": "--dataset=photos: did you mean folder:photos. Allowed are",
        "train --workdir=a --dataset=cifar10": "--dataset=cifar10: did you mean tfds:cifar10. Allowed are",
        "train --workdir=a --dataset=folder:photo": "--dataset=folder:photo: no such folder; did you mean"
        " folder:photos.",
        "train --workdir=a --dataset=npz:photo.npz": "--dataset=npz:photo.npz: no such file; did you mean"
        " npz:photos.npz.",
        "train --workdir=a --dataset=folder:photos.zip": "--dataset=folder:photos.zip: no such folder;"
        " did you mean archive:photos.zip.",
        "train --workdir=a --dataset=digits --initialize_from=runs/digit": "--initialize_from=runs/digit:"
        " holds no run .*; did you mean runs/digits.",
        "sample --workdir=runs/digit": "--workdir=runs/digit: holds no run .*; did you mean runs/digits.",
        "sample --workdir=run/photos": "--workdir=run/photos: holds no run .*; did you mean runs/photos.",
        "sample --workdir=runs": "--workdir=runs: holds no run .*; below it are runs/digits, runs/photos",
        "sample --workdir=runs/digits/checkpoints": "--workdir=.*: holds no .*; did you mean runs/digits.",
        "sample --workdir=runs/digits --checkpoint=8": "--checkpoint=8: allowed are latest, best, 4",
        "sample --savedmodel=none": "--savedmodel=none: no such folder",
        "sample --savedmodel=models/digits": "--savedmodel=models/digits: is not a SavedModel .*; did you"
        " mean"
        " models/digits/2.",
        "sample --workdir=runs/digits --classes=cow": "--classes=cow: no such class; allowed are names"
        " .cat, dog",
        "sample runs/digits": "unexpected argument 'runs/digits': did you mean --workdir=runs/digits.",
        "attention --workdir=runs/digit": "--workdir=runs/digit: holds no run .*; did you mean runs/digits.",
        "attention --workdir=runs/photos": "--workdir=runs/photos: has no attention to show",
        "attention --workdir=runs/digits --positions=0:128": "--positions=0:128: outside the image; .* to"
        " 127",
        "attention --workdir=runs/digits --classes=cow": "--classes=cow: no such class",
        "evaluate --workdir=runs/digit --inception=none": "--workdir=.*: holds no .*; did you mean"
        " runs/digits.",
        "evaluate --workdir=runs/digits --inception=none": "--inception=none: no such folder; a classifier",
        "make_reference --dataset=digits --output=o --inception=none": "--inception=none: no such folder; a",
        "reproduce --output=o --inception=none": "--inception=none: no such folder; a classifier",
        "sample --workdir=runs/digits --inception=runs": "--inception=runs: is not a SavedModel .*; a",
        "train --workdir=a --dataset=digits --evaluate_every_steps=9 --inception=none": "--inception=none:",
        "train --workdir=a --dataset=digits --evaluate_every_steps=9 --inception=https://a"
        " --evaluate_reference=folder:foto": "--evaluate_reference=folder:foto: no such folder",
        "train --workdir=a --dataset=digits --evaluate_every_steps=9 --inception=https://a"
        " --evaluate_reference=photos": "--evaluate_reference=photos: no such file, and no dataset; did you",
        "export --workdir=runs/digits --export_dir=runs/digits": "--export_dir=runs/digits: belongs to the"
        " run in"
        " runs/digits; name a directory of its own",
        "export --workdir=runs/digits --export_dir=runs/digits/best/a": "--export_dir=.*: belongs to the"
        " run in",
        "import_weights --workdir=a --checkpoint=photo.npz": "--checkpoint=photo.npz: no such file; did"
        " you mean"
        " photos.npz.",
        "reproduce --output=o --overrides=machine.cfg": "--overrides=machine.cfg: no such file",
        "export --workdir=runs/digit --export_dir=m": "--workdir=.*: holds no .*; did you mean runs/digits.",
        "compare runs/digits runs/photo": "--runs=runs/photo: holds no run .*; did you mean runs/photos.",
        "check_data --dataset=photos": "--dataset=photos: did you mean folder:photos. Allowed are",
        "prepare_data --dataset=floder:photos --output=o": "--dataset=floder:photos: did you mean folder:",
        "make_reference --dataset=photos --output=o": "--dataset=photos: did you mean folder:photos. Allowed",
        "check_data --dataset=photo": "--dataset=photo: did you mean folder:photos or tfds:photo. Allowed"
        " are",
        "train --workdir=photos.txt --dataset=digits": "--workdir=photos.txt: is no directory",
        "train --workdir=photos.txt/a --dataset=digits": "--workdir=photos.txt/a: cannot be written",
        "train_classifier --dataset=folder:foto --output=o": "--dataset=folder:foto: no such folder",
    }.items(),
)
def test_what_is_missing(monkeypatch, capsys, command, line):
    assert re.match(line, answer(monkeypatch, capsys, command))
    assert not {"a", "o", "m"} & {*os.listdir()}


def test_options_of_an_old_sweep_stay_readable_when_its_network_has_moved():
    assert options.parse(reproduce.Options, ["--output=o", "--inception=none"])[0].inception == "none"


def test_a_run_that_is_taken_up_knows_its_images():
    config, given = options.parse(Config, ["--workdir=runs/digits", "--train_steps=9"])
    train.check_places(config, given)


@pytest.mark.parametrize(
    ("spec", "meant"),
    {
        "photos": "folder:photos",
        "records": "records:records",
        "photos.zip": "archive:photos.zip",
        "photos.tar.gz": "archive:photos.tar.gz",
        "photos.npz": "npz:photos.npz",
        "photos.h5": "hdf5:photos.h5",
        "photos.txt": "",
        "Digit": "digits",
        "digits:5": "digits",
        "TFDS:cifar10": "tfds:cifar10",
        "record:x": "records:x",
        "mnist": "tfds:mnist",
        "some/where": "",
        "unlike:x": "",
        "": "",
    }.items(),
)
def test_the_dataset_that_was_meant(spec, meant):
    assert kinds.meant_by(spec) == meant


def test_nearest_paths():
    assert suggestions.nearest_path("runz/digitz") == os.path.join("runs", "digits")
    assert suggestions.nearest_path(os.path.abspath("runs/digit")) == os.path.abspath("runs/digits")
    assert suggestions.nearest_path("unlike/digits") == suggestions.nearest_path("runs/unlike") == ""
    with pytest.raises(UserError, match=r"missing\)$"):
        check_is_run("photos")


def test_an_npz_that_is_text():
    with pytest.raises(UserError, match=r"cannot be read: it is no \.npz file"):
        arrays.open_npz("photos.npz", "train")
    np.savez("good.npz", x=np.zeros((3, 4, 4), np.uint8), y=np.zeros(3, int))
    assert len(arrays.open_npz("good.npz", "train")) == 3


def test_without_the_environment(monkeypatch, capsys):
    installed.check()
    monkeypatch.setattr(installed, "_NEEDED", ("numpy", "no_such_package"))
    with pytest.raises(SystemExit) as ended:
        installed.check()
    line = capsys.readouterr().err
    assert ended.value.code == 2 and line.count("\n") == 1
    assert f"no_such_package is not installed for {sys.executable}: activate the environment it" in line
    os.makedirs(".venv/bin")
    open(".venv/bin/activate", "w").close()
    with pytest.raises(SystemExit):
        installed.check()
    assert "(source .venv/bin/activate)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "attention", "line"),
    [
        (["--image_size=32"], (16, 16), "--discriminator_attention=16: chosen to fit --image_size=32\n"),
        (["--image_size=32", "--generator_attention=8"], (8, 16), "--discriminator_attention=16: chosen"),
        (["--image_size=64"], (32, 32), ""),
        ([], (32, 32), ""),
    ],
)
def test_attention_of_small_images(capsys, arguments, attention, line):
    config = options.parse(Config, ["--workdir=a", "--dataset=digits", *arguments])[0]
    assert (*config.generator_attention, *config.discriminator_attention) == attention
    error = capsys.readouterr().err
    assert (line in error) if line else not error
    with pytest.raises(UserError, match="no such feature map"):
        options.parse(Config, ["--workdir=a", "--image_size=32", "--discriminator_attention=32"])


def test_the_best_score_is_one_that_is_measured(capsys):
    arguments = ["--workdir=a", "--evaluate_every_steps=5", "--evaluate_metrics=is"]
    assert options.parse(Config, arguments)[0].best_metric == "is"
    assert capsys.readouterr().err == "--best_metric=is: chosen to fit --evaluate_metrics\n"
    with pytest.raises(UserError, match="is not measured"):
        options.parse(Config, [*arguments, "--best_metric=fid"])
