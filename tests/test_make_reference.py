"""The command `make_reference`: its file says what it is of, and mistakes are refused before any work."""

import pytest

from sagan_tf import make_reference
from sagan_tf.evaluation.reference import Reference
from tests.commands import run_command
from tests.metrics.conftest import classifier_folder

__all__ = ["classifier_folder"]


def test_one_image_is_too_few_for_a_reference(capfd):
    code, _, error = _run(capfd, "--dataset=digits", "--output=x.h5", "--num_images=1")
    assert code == 2 and "--num_images=1: a reference needs at least 2" in error


def _run(capfd, *arguments):
    return run_command(make_reference, *arguments), *capfd.readouterr()


def test_the_file_says_what_it_is_of(classifier_folder, tmp_path, capfd):
    arguments = ["--dataset=digits", "--split=test", "--image_size=16", f"--inception={classifier_folder}"]
    code, out, error = _run(
        capfd, *arguments, f"--output={tmp_path}/new/a.h5", "--num_images=50", "--devices=cpu:2"
    )
    assert code == 0, error
    made = Reference(f"{tmp_path}/new/a.h5")
    assert f"digits test, 50 of 355 (seed 0) images, 16x16 (digest {made.digest})" in out
    assert "to 16x16, tf.image.resize bilinear, antialiased" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output=x.h5"], "--dataset is missing"),
        (["--dataset=folder:/no/such", "--output=x.h5"], "--dataset=folder:/no/such: no such folder"),
        (["--dataset=npz:/no/such", "--output=x.h5"], "--dataset=npz:/no/such: no such file"),
        (["--dataset=digits", "--output=x.h5", "--devices=cpu:0"], "--devices=cpu:0: allowed are auto, cpu"),
        (["--dataset=digits", "--output=/dev/null/x.h5"], "cannot be written"),
    ],
)
def test_mistakes_are_one_line(arguments, message, capfd, monkeypatch):
    monkeypatch.setattr(make_reference, "main", None)
    code, _, error = _run(capfd, *arguments)
    assert code == 2 and message in error and "Traceback" not in error


def test_devices_that_are_not_here(classifier_folder, tmp_path, capfd):
    arguments = ["--dataset=digits", f"--inception={classifier_folder}", f"--output={tmp_path}/a.h5"]
    code, _, error = _run(capfd, *arguments, "--devices=gpu:9")
    assert (
        code == 2 and "--devices=gpu:9: TensorFlow sees 0 GPUs here" in error and not list(tmp_path.iterdir())
    )
