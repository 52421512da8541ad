from __future__ import annotations

import math

import pytest
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from runtime.bounds import MAX_ATTEMPTS, MAX_COUNT, MAX_TIME_MS, Attempt, Count, Finite, TimeMs
from runtime.text import MAX_PLACE_CHARS, REPLACEMENT, first_problem, is_printable, printable


@pytest.mark.parametrize(
    "control", ["\x1b", "\x07", "\x9b", "\r", "\x7f", "\u202e", "\u2066", "\u200f", "\u2028", "\ud800", "\x00"]
)
def test_a_control_character_is_never_shown(control: str) -> None:
    assert printable(f"a{control}b", lines=True) == f"a{REPLACEMENT}b"
    assert not is_printable(f"a{control}b")


def test_line_breaks_and_tabs_stay_only_where_lines_are_shown() -> None:
    assert printable("a\n\tb", lines=True) == "a\n\tb"
    assert printable("a\n\tb") == f"a{REPLACEMENT * 2}b"


def test_letters_of_every_script_and_emoji_are_left_alone() -> None:
    text = "Zürich 東京 القاهرة שלום 👩‍🔬 naïve"
    assert printable(text) == text
    assert is_printable(text)


@pytest.mark.parametrize(
    ("kind", "inside", "outside"),
    [
        (Count, [0, MAX_COUNT], [-1, MAX_COUNT + 1, 10**30, True, "5", 1.5, math.nan]),
        (TimeMs, [0, MAX_TIME_MS], [-1, 10**17]),
        (Attempt, [1, MAX_ATTEMPTS], [0, -77, MAX_ATTEMPTS + 1]),
        (Finite, [0.0, -1e300], [math.nan, math.inf, -math.inf]),
    ],
)
def test_a_number_from_outside_has_bounds(kind: object, inside: list[object], outside: list[object]) -> None:
    adapter: TypeAdapter[object] = TypeAdapter(kind)
    for number in inside:
        assert adapter.validate_python(number) == number
    for number in outside:
        with pytest.raises(ValidationError):
            adapter.validate_python(number)


class _Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    rows: int


class _Outer(BaseModel):
    parts: list[_Inner]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"parts": [{"rows": 1}, {"rows": "x"}]}', "parts.1.rows: Input should be a valid integer"),
        ("{}", "parts: Field required"),
        ("[]", "Input should be an object"),
    ],
)
def test_the_first_problem_of_a_document_names_its_field(text: str, says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        _Outer.model_validate_json(text)
    assert first_problem(caught.value).startswith(says)


def test_a_key_that_another_has_chosen_is_shown_cut_and_without_controls() -> None:
    with pytest.raises(ValidationError) as caught:
        _Outer.model_validate({"parts": [{"rows": 1, "\x1b[2J" * 1000: 1}]})
    said = first_problem(caught.value)
    assert is_printable(said)
    assert len(said) < MAX_PLACE_CHARS + 100
