"""Options say what the tables have that they choose from. Options are read without TensorFlow."""

import dataclasses
import re

import pytest

from sagan_tf import check_data, data, evaluate, make_reference, prepare_data, train_classifier
from sagan_tf.data import kinds, records
from sagan_tf.layers import ATTENTION_FORMS
from sagan_tf.runs.config import Config
from sagan_tf.system.errors import UserError
from sagan_tf.training.augment import POLICIES
from sagan_tf.training.losses import GRADIENT_PENALTIES, LOSSES
from tests.conftest import ROOT

FORMS = [kind.form for kind in kinds.KINDS.values()]


def metadata(name, options=Config):
    return next(field for field in dataclasses.fields(options) if field.name == name).metadata


def test_choices_are_the_keys_of_their_tables():
    assert metadata("loss")["choices"] == tuple(LOSSES)
    assert metadata("gradient_penalty")["choices"] == ("none", *GRADIENT_PENALTIES)
    assert metadata("attention_form")["choices"] == (*ATTENTION_FORMS, "residual")
    assert metadata("augment")["choices"] == POLICIES


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (Config, "dataset"),
        (prepare_data.Options, "dataset"),
        (check_data.Options, "dataset"),
        (evaluate.Options, "reference"),
        (make_reference.Options, "dataset"),
        (train_classifier.Options, "dataset"),
    ],
)
def test_help_names_every_kind_of_data(options, name):
    prepared = [kind.form for kind in kinds.KINDS.values() if not kind.open]
    text = metadata(name, options)["help"]
    wanted = [form for form in FORMS if form not in prepared or options is not prepare_data.Options]
    assert [form for form in FORMS if re.search(rf"\b{form}\b", text)] == wanted


@pytest.mark.parametrize("name", kinds.KINDS)
def test_every_kind_of_data_is_checked_and_opened(name):
    """A place that is not there is refused, by name where it is a path, not as an unknown kind."""
    kind = kinds.KINDS[name]
    spec = f"{name}:gone" if kind.place else name
    Config(workdir="run", dataset=spec).check()
    if not kind.place:
        assert len(data.open_examples(spec))
        return
    with pytest.raises(UserError) as raised:
        data.open_dataset(spec, image_size=8)
    assert raised.value.option == "dataset" and "allowed are" not in raised.value.problem
    if kind.exists:
        with pytest.raises(UserError, match="no such fi|no such fo"):
            kinds.check("dataset", spec)


@pytest.mark.parametrize("name", [name for name, kind in kinds.KINDS.items() if not kind.has_splits])
def test_a_split_of_what_has_none_is_refused_before_it_is_opened(name, monkeypatch):
    monkeypatch.setattr(kinds, "check_exists", lambda option, spec: None)
    kinds.check("dataset", f"{name}:place", "train")
    for check in (kinds.check, kinds.check_reference):
        with pytest.raises(UserError, match="has no splits") as raised:
            check("dataset", f"{name}:place", "test")
        assert (raised.value.option, raised.value.value) == ("split", "test")


def test_a_split_of_a_file_of_statistics_is_refused(tmp_path):
    (tmp_path / "real.h5").touch()
    kinds.check_reference("reference", f"{tmp_path}/real.h5", "train")
    with pytest.raises(UserError, match="--split=test: .*real.h5 is a file, which has no splits"):
        kinds.check_reference("reference", f"{tmp_path}/real.h5", "test")


@pytest.mark.parametrize("spec", ["photos", "folder", "digits:8", "", "zip:a"])
def test_other_data_is_refused_with_the_kinds_there_are(spec):
    for refuse in (
        Config(workdir="run", dataset=spec).check,
        lambda: data.open_examples(spec),
        lambda: data.open_dataset(spec, image_size=8),
    ):
        with pytest.raises(UserError) as raised:
            refuse()
        assert raised.value.option == "dataset"
        assert raised.value.problem.endswith(f"llowed are {', '.join(FORMS)}")


def test_a_place_without_its_kind_gets_a_hint(tmp_path):
    for name in ("photos", "prepared"):
        (tmp_path / name).mkdir()
    (tmp_path / "prepared" / records.MANIFEST).write_text("{}")
    (tmp_path / "photos.zip").write_text("")
    for kind, name in (("folder", "photos"), ("records", "prepared"), ("archive", "photos.zip")):
        place = tmp_path / name
        with pytest.raises(UserError, match=f"^--dataset={place}: did you mean {kind}:{place}. Allowed are"):
            Config(workdir="run", dataset=str(place)).check()


def test_readme_names_every_kind_of_data():
    pages = [ROOT / "README.md", *ROOT.glob("sagan_tf/data/README.md")]
    text = "".join(page.read_text() for page in pages)
    assert [kind.form for kind in kinds.KINDS.values() if f"{kind.name}:" not in text and kind.place] == []
