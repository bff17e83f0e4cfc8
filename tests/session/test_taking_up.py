"""A run that is taken up is the run that it was, or it is refused: nothing is lost or mixed in silence."""

import json
import os
import shutil
import unicodedata

import numpy as np
import pytest
from PIL import Image

from sagan_tf import check_data, prepare_data, sample
from sagan_tf.runs import objects, run_files, training_data
from sagan_tf.runs.config import Config
from sagan_tf.session import workdir
from sagan_tf.system import cli, options
from sagan_tf.system.errors import UserError
from tests.tiny_run import TINY, run


def photos(folder, seed=0, **classes):
    """A folder of noise: so many images of each class."""
    draw = np.random.default_rng(seed)
    for name, count in classes.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = draw.integers(0, 256, (40, 40, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{seed}_{number}.png")
    return folder


def start(run_dir, *flags):
    """What `train` does before the first step; returns the line about images that have changed."""
    config, given = options.parse(Config, [f"--workdir={run_dir}", *flags])
    config = workdir.resolve(config, given)
    dataset = objects.open_dataset(config)
    change = workdir.check_images(config, dataset)
    data = training_data.describe(config, dataset)
    os.makedirs(run_dir, exist_ok=True)
    run_files.write_description(config, dataset.class_names, data=data)
    return change


@pytest.fixture
def begun(tmp_path):
    """A run on tmp_path / c that has not trained yet."""
    photos(tmp_path / "c", cat=3, dog=3)
    assert start(tmp_path / "run", *TINY, f"--dataset=folder:{tmp_path}/c") == ""
    return tmp_path / "run"


@pytest.fixture
def finished(finished_run, tmp_path):
    """A copy of a run that is complete at step 8."""
    return shutil.copytree(finished_run[0], tmp_path / "finished")


def refusal(result):
    code, _, error = result
    lines = [line for line in error.splitlines() if line.startswith("train: error: ")]
    assert code == 2 and len(lines) == 1 and "Traceback" not in error, error
    return lines[0]


def command(module, *arguments):
    with pytest.raises(SystemExit) as ended:
        cli.run(module.main, module.Options, module.__doc__, program=module.__name__, argv=list(arguments))
    return ended.value.code


@pytest.mark.parametrize("name", ["lr[1]", "[x]/a*b? c:d\\e größe 猫"])
def test_any_name_of_a_workdir(finished, tmp_path, name):
    shutil.move(finished, tmp_path / name)
    code, out, error = run(f"--workdir={tmp_path / name}")
    assert code == 0 and "complete at step 8" in out and "damaged" not in out, error
    arguments = [f"--workdir={tmp_path / name}", "--what=grid", "--columns=2", "--classes=1"]
    assert command(sample, *arguments) == 0


@pytest.mark.parametrize("how", ["deleted", "reversed"])
def test_checkpoints_of_which_none_can_be_read_are_never_begun_anew(finished, how):
    for data in finished.glob("checkpoints/*/state.data*"):
        content = data.read_bytes()
        data.unlink()
        if how == "reversed":
            data.write_bytes(content[::-1])
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("checkpoints/*/*")}
    assert "none of the 4 checkpoints can be read" in refusal(run(f"--workdir={finished}", "--train_steps=9"))
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("checkpoints/*/*")} == before


def test_checkpoints_without_a_configuration_are_of_an_unknown_run(finished):
    (finished / "config.cfg").unlink()
    assert "holds 4 checkpoints and no config.cfg" in refusal(run(f"--workdir={finished}", *TINY))


def test_an_empty_configuration_is_named(begun):
    (begun / "config.cfg").write_text("")
    with pytest.raises(UserError, match=r"config\.cfg: cannot be used"):
        start(begun)


def test_a_refused_take_up_leaves_the_configuration_as_it_was(finished):
    before = (finished / "config.cfg").read_text()
    bad = ["--train_steps=10", "--evaluate_every_steps=2", "--inception=/no/such/network"]
    assert "--inception=/no/such/network: " in refusal(run(f"--workdir={finished}", *bad))
    assert (finished / "config.cfg").read_text() == before
    code, out, error = run(f"--workdir={finished}")
    assert code == 0 and "complete at step 8" in out, error


def test_other_classes_are_refused_by_name(begun, tmp_path):
    os.rename(tmp_path / "c" / "dog", tmp_path / "c" / "ant")
    line = refusal(run(f"--workdir={begun}"))
    assert "classes dog before, ant now" in line and f"--dataset=folder:{tmp_path}/c: " in line
    assert (begun / "classes.txt").read_text() == "cat\ndog\n"
    photos(tmp_path / "c", eel=2)
    with pytest.raises(UserError, match="2 classes before, 3 now"):
        start(begun)


def test_an_unconditional_run_goes_on_with_other_classes(tmp_path):
    photos(tmp_path / "c", cat=3, dog=3)
    start(tmp_path / "run", *TINY, f"--dataset=folder:{tmp_path}/c", "--noconditional")
    os.rename(tmp_path / "c" / "dog", tmp_path / "c" / "ant")
    assert "have changed since the run was here last" in start(tmp_path / "run")


def test_names_in_another_unicode_form_are_the_same(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "größe") for form in ("NFC", "NFD"))
    photos(tmp_path / "c", **{"cat": 3, composed: 3})
    start(tmp_path / "run", *TINY, f"--dataset=folder:{tmp_path}/c")
    os.rename(tmp_path / "c" / composed, tmp_path / "c" / decomposed)
    assert start(tmp_path / "run") == ""
    assert (tmp_path / "run" / "classes.txt").read_text(encoding="utf-8") == f"cat\n{composed}\n"


@pytest.mark.parametrize(("change", "now"), [("added", 8), ("removed", 5), ("replaced", 6)])
def test_images_that_have_changed_are_told_with_counts(begun, tmp_path, change, now):
    if change == "removed":
        (tmp_path / "c" / "cat" / "0_0.png").unlink()
    elif change == "added":
        photos(tmp_path / "c", seed=1, cat=2)
    else:
        shutil.copy(tmp_path / "c" / "cat" / "0_1.png", tmp_path / "c" / "cat" / "0_0.png")
    counts = f"6 images in 2 classes before, {now} images in 2 classes now"
    assert f"images have changed since the run was here last: {counts}" in start(begun)
    assert start(begun) == "" and json.loads((begun / "data.json").read_text())["images"] == now


def test_the_line_about_changed_images_is_printed(finished):
    path = finished / "data.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"identities": ["of others"]}))
    code, out, error = run(f"--workdir={finished}")
    assert code == 0 and "digits: the images have changed since" in out, error


def test_the_same_images_at_another_place(begun, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert start(begun, "--dataset=folder:c") == start(begun, "--dataset=folder:./c/") == ""
    os.rename("c", "c2")
    assert start(begun, "--dataset=folder:c2") == ""  # from here on the run is of a relative place
    photos(tmp_path / "elsewhere" / "c2", seed=5, cat=3, dog=3)  # others by the same relative name
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert start(begun) == ""
    with pytest.raises(UserError, match="--dataset=folder:.*: these are not the images") as raised:
        start(begun, f"--dataset=folder:{tmp_path}/elsewhere/c2")
    assert "6 images in 2 classes before" in str(raised.value)
    arguments = [f"--dataset=folder:{tmp_path}/c2", f"--output={tmp_path}/records", "--image_size=32"]
    assert command(prepare_data, *arguments, "--encoding=jpeg") == 0
    assert start(begun, f"--dataset=records:{tmp_path}/records") == ""
    shutil.make_archive(tmp_path / "packed", "zip", tmp_path / "c2")
    assert start(begun, f"--dataset=archive:{tmp_path}/packed.zip") == ""
    os.rename(begun, tmp_path / "moved")
    assert start(tmp_path / "moved") == ""


def test_another_split_is_refused(tmp_path):
    start(tmp_path / "run", *TINY)
    with pytest.raises(UserError, match="learnt from, digits with split train .1,442 images.* 355 images"):
        start(tmp_path / "run", "--split=test")
    assert start(tmp_path / "run") == ""


def test_a_run_without_a_record_of_its_images_goes_by_their_name(begun, tmp_path):
    (begun / "data.json").unlink()
    shutil.copytree(tmp_path / "c", tmp_path / "c2")
    with pytest.raises(UserError, match="--dataset: .*c2' now"):
        start(begun, f"--dataset=folder:{tmp_path}/c2")
    assert start(begun) == "" and (begun / "data.json").exists()


def test_outputs_among_the_images_are_refused(tmp_path, monkeypatch, capsys):
    images = photos(tmp_path / "c", cat=3, dog=3)
    line = refusal(run(*TINY, f"--workdir={images}/run", f"--dataset=folder:{images}"))
    assert "lies within" in line and not (images / "run").exists()
    monkeypatch.chdir(images)
    for module in (check_data, prepare_data):
        output = "--output=out" if module is prepare_data else "--image_size=32"
        assert command(module, "--dataset=folder:.", output) == 2
        assert "lies within ., among the images" in capsys.readouterr().err
    assert sorted(os.listdir(images)) == ["cat", "dog"]


def test_names_that_other_programs_take_for_two_lines(tmp_path):
    photos(tmp_path / "c", **{"cat": 3, "do\u2028g": 3})
    start(tmp_path / "run", *TINY, f"--dataset=folder:{tmp_path}/c")
    assert start(tmp_path / "run") == ""
    classes = tmp_path / "run" / "classes.txt"
    classes.write_bytes(classes.read_bytes().replace(b"\n", b"\r\n"))  # by an editor of Windows
    assert start(tmp_path / "run") == ""


def test_imported_runs_have_numbers_for_names_until_they_are_trained(begun):
    (begun / "classes.txt").write_text("0\n1\n")
    assert start(begun) == "" and (begun / "classes.txt").read_text() == "cat\ndog\n"


def test_a_home_directory_and_slashes_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    photos(tmp_path / "c", cat=3, dog=3)
    (tmp_path / "flags.cfg").write_text("\ufeff--workdir=~/run//\n--dataset=folder:~/c/\n", encoding="utf-8")
    config, _ = options.parse(Config, [f"--flagfile={tmp_path}/flags.cfg"])
    assert config.workdir == str(tmp_path / "run") and config.dataset == f"folder:{tmp_path}/c"
