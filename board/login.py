"""Logging in and out: with a password, with a token, or with the single-use ticket of a login link.

A ticket is spent by a POST, never by the GET of the link, so that a preview of the link does not use it up, and so
that it leaves the address bar at once.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import RedirectResponse, Response

from board.context import Anybody, Form, Looking
from flow.client import Session
from runtime.errors import Denied, InvalidInput, TooManyGuesses

router = APIRouter()


@router.get("/login")
def show(looking: Anybody, ticket: Annotated[str, Query(max_length=200)] = "") -> Response:
    """The form, or with a ticket one that sends itself: but by hand where it would end somebody's session."""
    if looking.visit.token and not ticket:
        return RedirectResponse("/", status_code=303)
    return _form(looking, ticket=ticket)


@router.post("/login")
def log_in(looking: Anybody, fields: Form) -> Response:
    """Open a session with what the form holds."""
    try:
        session = _session(looking, fields)
    except (Denied, InvalidInput) as error:
        status = 429 if error.code == TooManyGuesses.code else 401
        return _form(looking, status_code=status, problem=f"{error.message} {error.hint}".strip())
    _end(looking)
    response = RedirectResponse("/", status_code=303)
    cookie = looking.context.cookie
    cookie.remember(cookie.log_in(session), response)
    return response


@router.post("/logout")
def log_out(looking: Anybody, fields: Form) -> Response:  # noqa: ARG001 - the form proves where it came from
    """End the session here and at Flow."""
    _end(looking)
    response = RedirectResponse("/login", status_code=303)
    cookie = looking.context.cookie
    cookie.remember(cookie.log_out(looking.visit), response)
    return response


def _end(looking: Looking) -> None:
    """End the visit's session at Flow, if it has one."""
    if looking.visit.token:
        with suppress(Denied):  # it was over already
            looking.flow.end_session()


def _session(looking: Looking, fields: dict[str, str]) -> Session:
    flow = looking.context.flow
    if ticket := fields.get("ticket", ""):
        return flow.redeem(ticket)
    if user := fields.get("user", "").strip():
        return _by_password(looking, user, fields.get("password", ""))
    token = fields.get("token", "").strip()
    if not token or not token.isascii():
        raise Denied("Give your name and password, or paste your token.")
    return flow.as_user(token).open_session()


def _by_password(looking: Looking, user: str, password: str) -> Session:
    """Flow slows guesses down by user and address, so it must know whose guess this is."""
    address = looking.request.client.host if looking.request.client else ""
    return looking.context.flow.log_in(user, password, looking.context.visitors.header(address))


def _form(looking: Looking, *, status_code: int = 200, ticket: str = "", problem: str = "") -> Response:
    response = looking.page("login.html", status_code=status_code, ticket=ticket, problem=problem)
    looking.context.cookie.remember(looking.visit, response)
    return response
