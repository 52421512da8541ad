"""How an error crosses a call between two services, without a socket."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NoReturn

import grpc
import pytest

from runtime.errors import Conflict, DiskFull, PlatformError, PortInUse, TooManyGuesses, Unavailable
from runtime.rpc import answering, asking, rpc_error, unix_server
from storage.client import StoreFull


class Away(Unavailable):
    """Nobody answers."""

    code = "test.away"


class Refused(grpc.RpcError):
    """How the call ended."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


class Context:
    """A call that can be ended."""

    def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        raise Refused(code, details)


def across(error: Exception, *, quoting: bool = True) -> tuple[PlatformError, grpc.StatusCode]:
    with pytest.raises(Refused) as refused, answering(Context(), quoting=quoting):  # type: ignore[arg-type]
        raise error
    with pytest.raises(PlatformError) as caught, asking("it", Away):
        raise refused.value
    return caught.value, refused.value.code()


def test_an_error_crosses_a_call_as_itself() -> None:
    back, status = across(TooManyGuesses("Too many.", hint="Wait."))
    assert type(back) is TooManyGuesses
    assert (back.code, back.message, back.hint) == ("runtime.too_many_guesses", "Too many.", "Wait.")
    assert status is grpc.StatusCode.PERMISSION_DENIED


def test_an_error_whose_class_is_not_loaded_keeps_its_code_and_family() -> None:
    stranger = Conflict("Who?")
    vars(stranger)["code"] = "elsewhere.strange"
    back, status = across(stranger)
    assert type(back) is Conflict
    assert back.code == "elsewhere.strange"
    assert status is grpc.StatusCode.FAILED_PRECONDITION


def test_a_defect_is_told_to_nobody() -> None:
    back, status = across(ZeroDivisionError("canary"))
    assert type(back) is Away
    assert "canary" not in str(back)
    assert status is grpc.StatusCode.INTERNAL


@pytest.mark.parametrize("quoting", [True, False])
@pytest.mark.parametrize(
    "full",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/srv/home/x"),
        DiskFull("No room left on / for /srv/home/x."),
        StoreFull("/", "/srv/home/x", None, None),
    ],
)
def test_what_the_disk_refused_is_named_to_those_who_may_read_it(full: Exception, quoting: bool) -> None:
    back, status = across(full, quoting=quoting)
    assert isinstance(back, DiskFull)
    assert ("/srv/home/x" in str(back)) is quoting
    assert status is grpc.StatusCode.UNAVAILABLE


def test_a_service_that_does_not_answer_is_said_by_name() -> None:
    with pytest.raises(Away, match="it does not answer"), asking("it", Away):
        raise Refused(grpc.StatusCode.UNAVAILABLE, "connection refused")


def test_an_answer_without_our_details_becomes_the_other_error() -> None:
    otherwise = Conflict("otherwise")
    assert rpc_error(Refused(grpc.StatusCode.UNKNOWN, "connection refused"), otherwise) is otherwise


def test_a_socket_that_cannot_be_served_is_said_by_name(tmp_path: Path) -> None:
    with pytest.raises(PortInUse, match=r"x\.sock"):
        unix_server(tmp_path / "nowhere" / "x.sock", 1)
