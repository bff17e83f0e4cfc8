"""From a run's directory back to its networks, also if some of its files are damaged."""

import shutil

import numpy as np
import pytest

from sagan_tf.runs import restoring, run_files
from sagan_tf.system.errors import UserError
from tests.tiny_run import tensors


@pytest.fixture
def workdir(finished_run, tmp_path):
    """A run with checkpoints of every second step up to 8."""
    return shutil.copytree(finished_run[0], tmp_path / "run")


def manifest(workdir, step):
    return workdir / "checkpoints" / f"{step:08d}" / "manifest.json"


@pytest.mark.parametrize(("ema", "name"), [(True, "ema_generator"), (False, "generator")])
def test_weights_are_those_that_are_asked_for(finished_run, ema, name):
    """Of the newest checkpoint. The average and the generator itself are not the same."""
    workdir, _ = finished_run
    run = restoring.restore(str(workdir), ema=ema)
    end = "/.ATTRIBUTES/VARIABLE_VALUE"
    saved = tensors(workdir, 8).items()
    saved = {path.replace(".S", "/").removesuffix(end): value for path, value in saved}
    assert run.step == 8
    for network, owner in ((run.generator, name), (run.discriminator, "discriminator")):
        for variable in network.variables:
            place = f"{owner}/{variable.path.partition('/')[2]}"
            np.testing.assert_array_equal(variable.numpy(), saved[place], err_msg=place)
    assert (saved["ema_generator/dense/kernel"] != saved["generator/dense/kernel"]).any()


def test_a_damaged_newest_checkpoint_is_named_and_the_one_in_its_place(workdir, capsys):
    assert restoring.restore(str(workdir)).step == 8
    assert capsys.readouterr().err == ""
    manifest(workdir, 8).write_text("[]")
    manifest(workdir, 6).unlink()
    assert restoring.restore(str(workdir)).step == 4
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    for line, step in zip(lines, (8, 6), strict=True):
        assert line.startswith(f"warning: checkpoint of step {step} is damaged ({manifest(workdir, step)}: ")
        assert line.endswith("step 4 is used instead")


def test_all_are_damaged(workdir, capsys):
    for path in workdir.glob("checkpoints/*/manifest.json"):
        path.write_text("")
    with pytest.raises(UserError, match=f"--workdir={workdir}: .* damaged"):
        restoring.restore(str(workdir))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("text", ["", "[]", "3"])
def test_a_damaged_record_of_an_import(workdir, text):
    (workdir / "import.json").write_text(text)
    with pytest.raises(UserError, match="import.json: is damaged .*; "):
        run_files.has_discriminator(str(workdir))
