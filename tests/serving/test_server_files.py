"""models.config follows the directory that it is in; what a user has changed in it stays."""

import re
import shutil

from sagan_tf.serving import server_files


def _write(folder, name):
    folder.mkdir(exist_ok=True)
    return server_files.write_server_files(str(folder), name)


def test_a_directory_that_was_renamed_is_served_by_its_new_name(tmp_path):
    assert len(_write(tmp_path / "old", "old")) == 2
    shutil.move(tmp_path / "old", tmp_path / 'new "x"')
    written = _write(tmp_path / 'new "x"', "faces")
    text = (tmp_path / 'new "x"' / "models.config").read_text()
    assert written == [str(tmp_path / 'new "x"' / "models.config")]
    assert 'name: "faces"' in text and r"new \"x\"" in text and "old" not in text
    assert _write(tmp_path / 'new "x"', "faces") == []


def test_what_a_user_has_changed_stays(tmp_path, capsys):
    _write(tmp_path / "a", "a")
    path = tmp_path / "a" / "models.config"
    path.write_text(path.read_text().replace("}\n}", "}\n  config { name: 'b' }\n}"))
    changed = path.read_text()
    assert _write(tmp_path / "a", "a") == [] and path.read_text() == changed
    assert not capsys.readouterr().err
    shutil.move(tmp_path / "a", tmp_path / "c")
    assert _write(tmp_path / "c", "c") == []
    warning = capsys.readouterr().err
    assert warning.count("\n") == 1 and re.search('hold name: "c" and base_path: ".*/c": make', warning)
    assert (tmp_path / "c" / "models.config").read_text() == changed
