"""Session tokens cannot be made up, changed or kept beyond their time."""

from __future__ import annotations

import base64
import json

import pytest

from flow.rest.sessions import MAX_TICKETS, SessionBook
from party.clock import FakeClock
from party.errors import NotAuthenticated


def book(clock: FakeClock | None = None, key: bytes = b"k" * 32) -> SessionBook:
    return SessionBook(key, clock or FakeClock())


def test_a_session_names_its_user() -> None:
    sessions = book()
    token, until_ms = sessions.open("alice", valid_s=60)
    assert sessions.user_of(token) == "alice"
    assert until_ms == 1_767_225_660_000


def test_a_changed_or_foreign_token_is_refused() -> None:
    token, _ = book().open("alice")
    text = token.split(".")[1]
    body = json.loads(base64.urlsafe_b64decode(text + "=="))
    forged = base64.urlsafe_b64encode(json.dumps(body | {"user": "admin"}).encode()).decode().rstrip("=")
    foreign, _ = book(key=b"x" * 32).open("alice")
    for wrong in (token.replace(text, forged), foreign, "s1.", "s1..", "s1.a.b", token + "x"):
        with pytest.raises(NotAuthenticated):
            book().user_of(wrong)


def test_a_ticket_is_spent_by_its_first_use_and_by_time() -> None:
    clock = FakeClock()
    sessions = book(clock)
    first, second = sessions.issue_ticket("alice", 10), sessions.issue_ticket("bob", 10)
    assert sessions.redeem(first) == "alice"
    for wrong in (first, "nonsense", ""):
        with pytest.raises(NotAuthenticated):
            sessions.redeem(wrong)
    clock.advance(10)
    with pytest.raises(NotAuthenticated):
        sessions.redeem(second)


def test_tickets_do_not_pile_up() -> None:
    sessions = book()
    first = sessions.issue_ticket("alice")
    for _ in range(MAX_TICKETS):
        last = sessions.issue_ticket("alice")
    assert sessions.redeem(last) == "alice"
    with pytest.raises(NotAuthenticated):
        sessions.redeem(first)
