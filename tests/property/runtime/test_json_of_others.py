"""Whatever is sent as JSON is read or refused by name."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.canonical import parse_json
from runtime.errors import NotCanonical

PIECES = ["{", "}", "[", "]", ",", ":", '"a"', '"b"', '"', "\\", "1", "-", "1e999", "NaN", "-Infinity", "x", "\n", " "]


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
@example("[1e999x")
@example('{"a":1e999}}')
@example('{"a":NaN "')
def test_what_is_no_json_of_ours_is_refused_by_name(text: str) -> None:
    with suppress(NotCanonical):
        parse_json(text.encode(), "It")


@pytest.mark.parametrize("text", ["[1e999x", "[1e999-]", '{"a":-1e999.}'])
def test_a_number_that_is_none_is_refused_where_something_else_is_wrong_as_well(text: str) -> None:
    with pytest.raises(NotCanonical, match="It is not JSON"):
        parse_json(text.encode(), "It")
