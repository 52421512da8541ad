"""Who calls and whether they may: the dependency that every route but health has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ParamSpec, TypeVar, cast

from fastapi import APIRouter, Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from flow.rest.backends import Backends
from flow.rest.sessions import is_session
from party.errors import NotAuthenticated
from party.users import Account, Thing, User, may, may_some
from runtime.errors import Denied

P = ParamSpec("P")
R = TypeVar("R")

_bearer = HTTPBearer(auto_error=False, description="The token in HOME/tokens, or a session token.")


class SessionCannot(Denied):
    """What was asked for takes the user's own token, not a session's."""

    code = "flow.session_cannot"


@dataclass(frozen=True)
class Caller:
    """An authenticated user, what they came with, and what stands behind the routes."""

    account: Account
    token: str
    backends: Backends

    @property
    def user(self) -> User:
        """Who calls."""
        return self.account.user

    def may(self, verb: str, thing: Thing | str) -> None:
        """Raise NotAllowed unless the user may."""
        may(self.user, verb, thing)

    def again(self) -> Caller:
        """The caller as they are now: what takes long asks again. Raises NotAuthenticated."""
        return Caller(self.backends.account(self.token), self.token, self.backends)


def backends_of(request: Request) -> Backends:
    """What stands behind the routes of this application."""
    return cast("Backends", request.app.state.backends)


Behind = Annotated[Backends, Depends(backends_of)]


def token_of(authorization: str | None) -> str:
    """The bearer token of a request's header. Raises NotAuthenticated."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotAuthenticated("The request carries no token.", hint="Send 'Authorization: Bearer TOKEN'.")
    return token.strip()


def caller(backends: Behind, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Caller:
    """The caller of this request. Raises NotAuthenticated."""
    token = token_of(f"{credentials.scheme} {credentials.credentials}" if credentials else None)
    return Caller(backends.account(token), token, backends)


Known = Annotated[Caller, Depends(caller)]


GUARDS: dict[Callable[..., Caller], tuple[str, str]] = {}
"""Every dependency that asks what the caller may do, and the verb and kind of thing that it asks for."""


def _guard(check: Callable[[User], None], verb: str, kind: str) -> Callable[[Caller], Caller]:
    def checked(known: Known) -> Caller:
        check(known.user)
        return known

    GUARDS[checked] = (verb, kind)
    return checked


def allowed(verb: str, kind: str) -> Callable[[Caller], Caller]:
    """A dependency: the caller, who may do `verb` to things of `kind` whoever owns them."""
    return _guard(lambda user: may(user, verb, kind), verb, kind)


def allowed_some(verb: str, kind: str) -> Callable[[Caller], Caller]:
    """A dependency: the caller, who may do `verb` to some things of `kind`; the route asks again about the one."""
    return _guard(lambda user: may_some(user, verb, kind), verb, kind)


def anybody(known: Known) -> Caller:
    """A dependency of routes that are about the caller alone: whoever it is, but somebody."""
    return known


GUARDS[anybody] = ("", "")


def with_credential(known: Known) -> Caller:
    """A dependency: the caller, who came with their own token. Raises SessionCannot.

    A session opens no further session and makes no token or password, so that it ends when it should.
    """
    if is_session(known.token):
        raise SessionCannot("A session cannot do this.", hint="Use your own token.")
    return known


GUARDS[with_credential] = ("", "")


def guarded(router: APIRouter) -> APIRouter:
    """The router, every route of which asks who calls and what they may, or says that it is open to all.

    Raises:
        TypeError: Naming the route that does neither: it would let everybody in.
    """
    for route in router.routes:
        if not isinstance(route, APIRoute):
            raise TypeError(f"{route} has no guard")
        if not guards_of(route.dependant) and not getattr(route.endpoint, "is_open", False):
            raise TypeError(f"{route.methods} {route.path} has no guard")
    return router


def open_routes(router: APIRouter) -> list[tuple[str, str]]:
    """Method and path of each route that asks nobody who calls."""
    routes = [route for route in router.routes if isinstance(route, APIRoute)]
    return [(m, r.path) for r in routes if getattr(r.endpoint, "is_open", False) for m in r.methods or ()]


def guards_of(dependant: Dependant) -> list[tuple[str, str]]:
    """What a route asks before it is run: verbs and kinds of things."""
    found = [GUARDS[dependant.call]] if dependant.call in GUARDS else []
    return found + [guard for below in dependant.dependencies for guard in guards_of(below)]


def openly(endpoint: Callable[P, R]) -> Callable[P, R]:
    """Say of a route that it is open to all: what it needs as proof, it checks itself."""
    endpoint.is_open = True  # type: ignore[attr-defined]
    return endpoint


Anybody = Annotated[Caller, Depends(anybody)]
Credentialed = Annotated[Caller, Depends(with_credential)]


def managing_users(known: Credentialed, _allowed: Annotated[Caller, Depends(allowed("manage", "user"))]) -> Caller:
    """A dependency: an officer, who came with their own token."""
    return known


def own_user(known: Credentialed, name: str) -> Caller:
    """A dependency: the user whom the path names, or an officer; both came with their own token."""
    if name != known.user.name:
        known.may("manage", "user")
    return known


GUARDS[own_user] = ("manage", "user")
ManageUser = Annotated[Caller, Depends(managing_users)]
OwnUser = Annotated[Caller, Depends(own_user)]
ReadUser = Annotated[Caller, Depends(allowed("read", "user"))]
ReadJob = Annotated[Caller, Depends(allowed("read", "job"))]
READ_EVENTS = ("read", "event")
ReadEvent = Annotated[Caller, Depends(allowed(*READ_EVENTS))]
READ_METRICS = ("read", "metric")
ReadMetric = Annotated[Caller, Depends(allowed(*READ_METRICS))]
ReadLog = Annotated[Caller, Depends(allowed("read", "log"))]
ReadTable = Annotated[Caller, Depends(allowed("read", "table"))]
ReadSomeRows = Annotated[Caller, Depends(allowed_some("read", "rows"))]
ReadPolicy = Annotated[Caller, Depends(allowed("read", "policy"))]
ManagePolicy = Annotated[Caller, Depends(allowed("manage", "policy"))]
ManageSomeTable = Annotated[Caller, Depends(allowed_some("manage", "table"))]
ManageSomeModel = Annotated[Caller, Depends(allowed_some("manage", "model"))]
ReadModel = Annotated[Caller, Depends(allowed("read", "model"))]
ReadReport = Annotated[Caller, Depends(allowed("read", "report"))]
ReadService = Annotated[Caller, Depends(allowed("read", "service"))]
ReadParty = Annotated[Caller, Depends(allowed("read", "party"))]
SubmitJob = Annotated[Caller, Depends(allowed("submit", "job"))]
ApproveJob = Annotated[Caller, Depends(allowed("approve", "job"))]
CleanJobs = Annotated[Caller, Depends(allowed("clean", "job"))]
NoteJob = Annotated[Caller, Depends(allowed("note", "job"))]
StopSomeJob = Annotated[Caller, Depends(allowed_some("stop", "job"))]
ExportSomeTable = Annotated[Caller, Depends(allowed_some("export", "table"))]
ExportSomeModel = Annotated[Caller, Depends(allowed_some("export", "model"))]
DeleteSomeModel = Annotated[Caller, Depends(allowed_some("delete", "model"))]
DeleteSomeTable = Annotated[Caller, Depends(allowed_some("delete", "table"))]
TrustParty = Annotated[Caller, Depends(allowed("trust", "party"))]
UploadTable = Annotated[Caller, Depends(allowed("upload", "table"))]
