"""What every page needs: Flow, the cookie, the renderer; and who is looking."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, cast
from urllib.parse import parse_qs

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse

from board.cookies import Visit, VisitCookie
from board.rendering import Renderer
from flow.client import FlowClient, Visitors
from party.users import Thing, User, allows
from runtime.errors import Denied
from runtime.http.connections import recognise
from runtime.metrics import metrics

MOST_FIELDS = 10
_PAGES = metrics("board").counter("pages", "Whole pages that were shown.", ["status"])


class NotLoggedIn(Denied):
    """The page needs a login first."""

    code = "board.not_logged_in"


@dataclass(frozen=True)
class BoardContext:
    """Bound once when the board starts."""

    flow: FlowClient
    cookie: VisitCookie
    renderer: Renderer
    visitors: Visitors


@dataclass(frozen=True)
class Looking:
    """One request: who looks, and what they may ask Flow as themselves."""

    request: Request
    context: BoardContext
    visit: Visit

    @property
    def flow(self) -> FlowClient:
        """Flow, asked as this user."""
        return self.context.flow.as_user(self.visit.token)

    def can(self, verb: str, kind: str, owner: str = "") -> bool:
        """Whether to offer it; Flow decides when it is asked."""
        return allows(User(self.visit.user, frozenset(self.visit.roles)), verb, Thing(kind, owner=owner))

    def recognised(self) -> None:
        """Flow has let this user in: what they ask for now is not crowded out by strangers."""
        recognise(self.request.scope, self.visit.user)

    def page(self, template: str, status_code: int = 200, **values: object) -> HTMLResponse:
        """A whole page."""
        _PAGES.labels(str(status_code)).inc()
        html = self.part(template, path=self.request.url.path, **values)
        return HTMLResponse(html, status_code=status_code)

    def part(self, template: str, **values: object) -> str:
        """A part of a page."""
        return self.context.renderer.page(template, visit=self.visit, can=self.can, **values)


def anybody(request: Request) -> Looking:
    """Whoever it is."""
    context = cast("BoardContext", request.app.state.context)
    return Looking(request, context, context.cookie.of(request))


def logged_in(looking: Annotated[Looking, Depends(anybody)]) -> Looking:
    """Only a logged-in user. Raises NotLoggedIn."""
    if not looking.visit.token:
        raise NotLoggedIn("Log in first.")
    return looking


async def form(request: Request) -> dict[str, str]:
    """The fields of a posted form; none of one with more than any of ours has."""
    body = await request.body()
    with suppress(ValueError):
        fields = parse_qs(body.decode("utf-8", errors="replace"), max_num_fields=MOST_FIELDS)
        return {name: values[-1] for name, values in fields.items()}
    return {}


def checked_form(
    looking: Annotated[Looking, Depends(anybody)], fields: Annotated[dict[str, str], Depends(form)]
) -> dict[str, str]:
    """The fields of a form that came from one of this visit's own pages. Raises ForgedForm."""
    looking.visit.check(fields.get("csrf", ""))
    return fields


Anybody = Annotated[Looking, Depends(anybody)]
LoggedIn = Annotated[Looking, Depends(logged_in)]
Form = Annotated[dict[str, str], Depends(checked_form)]
