"""What an error is called elsewhere."""

from __future__ import annotations

import pytest

from runtime.error_kinds import KINDS, exit_code, grpc_status, http_status, root_of, root_of_exit, root_of_http
from runtime.errors import (
    BodyTooLarge,
    Conflict,
    Denied,
    InvalidInput,
    NotFound,
    PlatformError,
    PortInUse,
    TooManyGuesses,
    Unavailable,
    all_codes,
)


@pytest.mark.parametrize(
    ("error", "grpc", "http", "exit"),
    [
        (InvalidInput("x"), "INVALID_ARGUMENT", 400, 2),
        (BodyTooLarge("x"), "INVALID_ARGUMENT", 413, 2),
        (NotFound("x"), "NOT_FOUND", 404, 3),
        (Denied("x"), "PERMISSION_DENIED", 403, 4),
        (TooManyGuesses("x"), "PERMISSION_DENIED", 429, 4),
        (Conflict("x"), "FAILED_PRECONDITION", 409, 5),
        (Unavailable("x"), "UNAVAILABLE", 503, 6),
        (PortInUse("x"), "UNAVAILABLE", 503, 6),
        (PlatformError("x"), "UNKNOWN", 500, 1),
    ],
)
def test_every_kind_of_error_has_its_statuses_and_its_exit_code(
    error: PlatformError, grpc: str, http: int, exit: int
) -> None:
    assert (grpc_status(error), http_status(error), exit_code(error)) == (grpc, http, exit)
    assert root_of_exit(exit) is root_of(error)


def test_every_status_of_an_error_tells_its_kind_again() -> None:
    for error in all_codes().values():
        assert root_of_http(http_status(error)) is root_of(error)


@pytest.mark.parametrize(
    ("status", "root"), [(405, InvalidInput), (422, InvalidInput), (200, PlatformError), (502, PlatformError)]
)
def test_statuses_of_nobodys_error_are_told_as_what_they_mean(status: int, root: type[PlatformError]) -> None:
    assert root_of_http(status) is root


def test_no_two_kinds_are_the_same_elsewhere() -> None:
    for names in (
        [kind.grpc for kind in KINDS.values()],
        [kind.exit for kind in KINDS.values()],
        [status for kind in KINDS.values() for status in (kind.http, *kind.narrower)],
    ):
        assert len(set(names)) == len(names)
