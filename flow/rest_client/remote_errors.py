"""Errors that came over REST, raised again here as what they were: same root, same code, message and hint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import httpx

from runtime.error_kinds import root_of_http
from runtime.errors import Conflict, Denied, InvalidInput, NotFound, PlatformError, Unavailable


class FlowUnreachable(Unavailable):
    """The party's REST interface does not answer."""

    code = "flow.unreachable"


class RefusedInput(InvalidInput):
    """Flow refused the input."""

    code = "flow.remote_invalid_input"
    field = ""


class FarNotFound(NotFound):
    """Flow does not have it."""

    code = "flow.remote_not_found"


class FarConflict(Conflict):
    """Flow found a conflict."""

    code = "flow.remote_conflict"


class FarDenied(Denied):
    """Flow denied it."""

    code = "flow.remote_denied"


class FarUnavailable(Unavailable):
    """Flow cannot do it now."""

    code = "flow.remote_unavailable"


class FarDefect(PlatformError):
    """Flow met a defect of its own, or something else answers at its address."""

    code = "flow.remote_defect"


_FAR: dict[type[PlatformError], type[PlatformError]] = {
    InvalidInput: RefusedInput,
    NotFound: FarNotFound,
    Denied: FarDenied,
    Conflict: FarConflict,
    Unavailable: FarUnavailable,
    PlatformError: FarDefect,
}


def raise_refusal(status: int, content: bytes) -> NoReturn:
    """Raise the error that an HTTP answer tells of."""
    kind = _FAR[root_of_http(status)]
    try:
        body = json.loads(content)
        code, message, hint = str(body["code"]), str(body["message"]), str(body.get("hint") or "")
        field, problems = str(body.get("field") or ""), list(body.get("problems") or ())
    except (ValueError, KeyError, TypeError, AttributeError):
        raise FarDefect(f"The answer (HTTP {status}) is not one of Flow's.", hint="Check the address.") from None
    error = kind(message, hint=hint)
    error.__dict__.update(
        code=code, field=field, problems=problems
    )  # the instance tells what the far side's class said
    raise error


@contextmanager
def wrapped(url: str) -> Iterator[None]:
    """Turn every failure of the connection into FlowUnreachable."""
    try:
        yield
    except httpx.InvalidURL as error:
        raise RefusedInput(f"'{url}' is not an address: {error}.", hint="Write http://host:port.") from None
    except httpx.UnsupportedProtocol:
        raise RefusedInput(f"'{url}' is not an address.", hint="Write http://host:port.") from None
    except httpx.ReadTimeout:
        raise FlowUnreachable(
            f"Flow takes connections at {url} and does not answer in time.",
            hint="It may be stopped by a signal, or busy: look at its process and its log.",
        ) from None
    except httpx.TransportError as error:
        reason = str(error) or type(error).__name__
        raise FlowUnreachable(
            f"Flow does not answer at {url} ({reason}).", hint="Start the party with 'flow party up'."
        ) from None
