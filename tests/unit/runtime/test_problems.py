"""Errors on their way to another process."""

from __future__ import annotations

import pytest

from runtime.errors import Conflict, TooManyGuesses
from runtime.problems import carried, packed


def test_an_error_comes_back_as_what_it_was() -> None:
    back = carried(packed(TooManyGuesses("Too many.", hint="Wait.")))
    assert type(back) is TooManyGuesses
    assert (back.message, back.hint) == ("Too many.", "Wait.")


def test_an_error_of_an_unknown_code_comes_back_as_its_kind() -> None:
    stranger = Conflict("Who?")
    vars(stranger)["code"] = "elsewhere.strange"
    back = carried(packed(stranger))
    assert type(back) is Conflict
    assert back.code == "elsewhere.strange"


@pytest.mark.parametrize("details", [None, "", "Connection refused", "[]", "{}", '{"code": 1}', "[" * 8000, '"x"'])
def test_details_that_hold_no_error_give_none(details: str | None) -> None:
    assert carried(details) is None
