"""Errors on their way to another process."""

from __future__ import annotations

import pytest

from party.errors import UserExists
from runtime.errors import Conflict, PlatformError
from runtime.problems import carried, packed, status_name


def test_an_error_comes_back_as_what_it_was() -> None:
    back = carried(packed(UserExists("There is an ann.", hint="Take another.")))
    assert type(back) is UserExists
    assert (back.message, back.hint) == ("There is an ann.", "Take another.")
    assert status_name(back) == "FAILED_PRECONDITION"


def test_an_error_of_an_unknown_code_comes_back_as_its_kind() -> None:
    stranger = Conflict("Who?")
    vars(stranger)["code"] = "elsewhere.strange"
    back = carried(packed(stranger))
    assert type(back) is Conflict
    assert back.code == "elsewhere.strange"


def test_an_error_of_no_kind_has_a_status_too() -> None:
    assert status_name(PlatformError("Odd.")) == "UNKNOWN"


@pytest.mark.parametrize("details", [None, "", "Connection refused", "[]", "{}", '{"code": 1}', "[" * 8000, '"x"'])
def test_details_that_hold_no_error_give_none(details: str | None) -> None:
    assert carried(details) is None
