"""A run read back although some of its files are damaged: what is said, and what is refused."""

import shutil

import pytest

from sagan_tf.runs import restoring, run_files
from sagan_tf.system.errors import UserError


@pytest.fixture
def workdir(finished_run, tmp_path):
    """A run with checkpoints of every second step up to 8."""
    return shutil.copytree(finished_run[0], tmp_path / "run")


def manifest(workdir, step):
    return workdir / "checkpoints" / f"{step:08d}" / "manifest.json"


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
