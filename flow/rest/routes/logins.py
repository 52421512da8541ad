"""Routes by which people come in and go: tickets, sessions, passwords.

Only a token, a password or a ticket opens a session; a session opens nothing.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from flow.rest.access import Anybody, Behind, Credentialed, openly
from flow.rest.backends import Backends
from flow.rest.sessions import TICKET_S
from flow.views.party import Session, Ticket
from party.passwords import MAX_CHARS
from party.users import Account, authenticate_by_password
from runtime.limits.waiting_room import network_of

router = APIRouter(tags=["sessions"])


class Redeem(BaseModel):
    """The ticket of a login link."""

    model_config = ConfigDict(extra="forbid")
    ticket: str = Field(max_length=200)


class Login(BaseModel):
    """A user and the password."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    user: str = Field(max_length=100)
    password: str = Field(max_length=MAX_CHARS)


@router.post("/tickets", status_code=201, summary="A single-use login ticket for yourself")
def ticket(known: Credentialed, valid_s: Annotated[int, Query(ge=5, le=600)] = TICKET_S) -> Ticket:
    """Opens one session of the caller, for a login link to the board. A session cannot ask for one."""
    return Ticket(ticket=known.backends.sessions.issue_ticket(known.account, valid_s), valid_s=valid_s)


@router.post("/sessions", status_code=201, summary="Open a session with your token")
def open_session(known: Credentialed) -> Session:
    """A short-lived token that stands in for the caller's own. A session opens no further one."""
    return _session(known.backends, known.account)


@router.post("/sessions/ticket", status_code=201, summary="Open a session with a ticket")
@openly
def open_by_ticket(backends: Behind, body: Annotated[Redeem, Body()]) -> Session:
    """Needs no token: the ticket is the proof, once."""
    return _session(backends, backends.sessions.redeem(body.ticket, backends.book.users()))


@router.post("/sessions/password", status_code=201, summary="Open a session with a password")
@openly
def open_by_password(request: Request, backends: Behind, body: Annotated[Login, Body()]) -> Session:
    """Needs no token: the password is the proof.

    After a few wrong ones for a user from one network, each further one from there must wait longer.
    """
    host = request.client.host if request.client else ""
    network = network_of(backends.visitors.address(request.headers) or host)
    name = f"{network} {body.user}"
    with backends.turns.taken(network):  # first: who found no turn has not guessed
        backends.brake.admit(name)
        account = authenticate_by_password(backends.book.users(), body.user, body.password)
        backends.brake.right(name)
    return _session(backends, account)


@router.delete("/sessions", status_code=204, summary="End this session")
def end_session(known: Anybody) -> None:
    """The session token of this request works no longer. A user's own token is not a session."""
    known.backends.sessions.end(known.token)


def _session(backends: Backends, account: Account) -> Session:
    token, until_ms = backends.sessions.open(account)
    user = account.user
    return Session(token=token, user=user.name, roles=tuple(sorted(user.roles)), until_ms=until_ms)
