"""Files of JSON lines survive whatever ends the process that writes them."""

import json

from sagan_tf.system import json_lines


def test_lines_come_back_and_a_half_line_spoils_nothing(tmp_path):
    path = tmp_path / "new" / "lines.jsonl"
    assert json_lines.read(str(path)) == json_lines.read_end(str(path)) == []
    json_lines.append(str(path), {"step": 1, "text": "ä"})
    with open(path, "ab") as file:
        file.write(b'{"step": 2, "te')
    json_lines.append(str(path), {"step": 3}, flush=True)
    expected = [{"step": 1, "text": "ä"}, {"step": 3}]
    assert json_lines.read(str(path)) == json_lines.read_end(str(path)) == expected
    json_lines.replace(str(path), expected[:1])
    assert json_lines.read(str(path)) == expected[:1]


def test_the_end_of_a_long_file_is_read_alone(tmp_path):
    path = str(tmp_path / "lines.jsonl")
    json_lines.replace(path, [{"step": step} for step in range(20_000)])
    end = json_lines.read_end(path)
    assert len(end) < 10_000
    assert [line["step"] for line in end] == list(range(20_000 - len(end), 20_000))


def test_bytes_that_are_no_text_are_passed_over(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'\xff\xfe\n7\n{"step": 1}\n')
    assert json_lines.read(str(path)) == [{"step": 1}]


def test_what_json_does_not_have_becomes_null(tmp_path):
    path = tmp_path / "x.jsonl"
    line = {"a": float("nan"), "b": [1.5, float("inf")], "c": {"d": -float("inf")}, "e": "NaN"}
    json_lines.append(str(path), line)
    json_lines.replace(str(tmp_path / "y.jsonl"), [line])

    def refuse(word):
        raise AssertionError(f"not JSON: {word}")

    for name in ("x.jsonl", "y.jsonl"):
        found = json.loads((tmp_path / name).read_text(), parse_constant=refuse)
        assert found == {"a": None, "b": [1.5, None], "c": {"d": None}, "e": "NaN"}
