from __future__ import annotations

import pytest

from runtime.canonical import NotCanonical, canonical_digest, canonical_json, parse_json


def test_the_same_value_has_the_same_bytes_in_any_order() -> None:
    assert canonical_json({"b": [1, 2], "a": "é\n"}) == '{"a":"é\\n","b":[1,2]}'.encode()
    assert canonical_digest({"a": 1, "b": 2}) == canonical_digest({"b": 2, "a": 1})
    assert canonical_digest({"a": 1}) != canonical_digest({"a": "1"})


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), {1, 2}, b"x", object(), {"a": b"x"}, {1: 1, "b": 2}, "\ud800"]
)
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(NotCanonical):
        canonical_json(value)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"a": 1, "b": {"x": 1, "x": 2}}', "'x' is given twice"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[" * 100_000, "is nested more than 64 deep"),
        (b"[" * 65 + b"]" * 65, "is nested more than 64 deep"),
        (b'{"a": 1e999}', "larger than a number may be"),
        (b'{"a": 1} x', "is not JSON"),
    ],
)
def test_json_that_two_readers_could_take_differently_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(NotCanonical, match=said):
        parse_json(data, "The file")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{\n "a": 1,\n "b": 2,\n "a": 3\n}', "key 'a' is given twice, again in line 4"),
        ('{"a": {"x": 1},\n "b": {"x": 1,\n\n "x": 2}}', "key 'x' is given twice, again in line 4"),
        ('[{"a": 1}, {"a": 1},\n{"b": "a", "a": "b", "\\u0061": 0}]', "key 'a' is given twice, again in line 2"),
        ('{"a": "NaN",\n"b": [1, "Infinity", "{\\"", 2e3,\n-Infinity]}', r"-Infinity is not a JSON number \(line 3\)"),
        ('{"a": [1' + "0" * 400 + ', "1e999",\n 1e999]}', r"1e999 is larger than a number may be \(line 2\)"),
        ('{"a": 0,\r\n"a": NaN}', "key 'a' is given twice, again in line 2"),
        ("[NaN}}", r"NaN is not a JSON number \(line 1\)"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_only_python_takes_for_json_is_named_with_its_line(text: str, said: str, encoding: str) -> None:
    with pytest.raises(NotCanonical, match=f"The file is not JSON: {said}"):
        parse_json(text.encode(encoding), "The file")


@pytest.mark.parametrize("data", [b"[0,0,0,0]", b'{"a":{"b":1},"c":[0]}', b"[[],[],[[]]]"])
def test_json_of_more_values_than_its_reader_takes_is_refused(data: bytes) -> None:
    assert parse_json(data, "The file", 4)
    with pytest.raises(NotCanonical, match="The file holds more than 3 values"):
        parse_json(data, "The file", 3)
    with pytest.raises(NotCanonical, match="holds more than 200000 values"):
        parse_json(b"[" + b"0," * 200_000 + b"0]", "The file")


def test_json_is_read_as_it_was_written() -> None:
    value = {"a": [1, 2.5, None, True, "é"], "b": {}}
    assert parse_json(canonical_json(value), "x") == value
