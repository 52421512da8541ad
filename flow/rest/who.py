"""Who calls and whether they may: the dependency that every route but health has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from flow.rest.backends import Backends
from party.errors import NotAuthenticated
from party.users import Thing, User, may

_bearer = HTTPBearer(auto_error=False, description="The token in HOME/tokens, or a session token.")


@dataclass(frozen=True)
class Caller:
    """An authenticated user, what they came with, and what stands behind the routes."""

    user: User
    token: str
    backends: Backends

    def may(self, verb: str, thing: Thing | str) -> None:
        """Raise NotAllowed unless the user may."""
        may(self.user, verb, thing)


def backends_of(request: Request) -> Backends:
    """What stands behind the routes of this application."""
    return cast("Backends", request.app.state.backends)


Behind = Annotated[Backends, Depends(backends_of)]


def caller(backends: Behind, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Caller:
    """The caller of this request. Raises NotAuthenticated."""
    if credentials is None:
        raise NotAuthenticated("The request carries no token.", hint="Send 'Authorization: Bearer TOKEN'.")
    token = credentials.credentials
    return Caller(backends.user(token), token, backends)


Known = Annotated[Caller, Depends(caller)]


def allowed(verb: str, kind: str) -> Callable[[Caller], Caller]:
    """A dependency: the caller, who may do `verb` to things of `kind` whoever owns them."""

    def checked(known: Known) -> Caller:
        known.may(verb, kind)
        return known

    return checked


ReadJob = Annotated[Caller, Depends(allowed("read", "job"))]
ReadEvent = Annotated[Caller, Depends(allowed("read", "event"))]
ReadMetric = Annotated[Caller, Depends(allowed("read", "metric"))]
ReadLog = Annotated[Caller, Depends(allowed("read", "log"))]
ReadTable = Annotated[Caller, Depends(allowed("read", "table"))]
ReadRows = Annotated[Caller, Depends(allowed("read", "rows"))]
ReadReport = Annotated[Caller, Depends(allowed("read", "report"))]
ReadParty = Annotated[Caller, Depends(allowed("read", "party"))]
SubmitJob = Annotated[Caller, Depends(allowed("submit", "job"))]
ApproveJob = Annotated[Caller, Depends(allowed("approve", "job"))]
UploadTable = Annotated[Caller, Depends(allowed("upload", "table"))]
