"""Sessions rest on the token or password they were opened with, and end with it, by time, or for good by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from flow.rest.sessions import MAX_SESSIONS, MAX_TICKETS, SessionBook
from party.errors import NotAuthenticated
from party.users import Users, make_user
from tests.fakes.clock import FakeClock

ALICE, BOB = make_user("alice", ["scientist"]), make_user("bob", ["officer"])
USERS = Users().added(ALICE, "t-alice").added(BOB, "t-bob")


def book(folder: Path, clock: FakeClock | None = None) -> SessionBook:
    return SessionBook(folder / "sessions.json", clock or FakeClock())


def test_a_session_names_its_user_until_it_ends(tmp_path: Path) -> None:
    clock = FakeClock()
    sessions = book(tmp_path, clock)
    token, until_ms = sessions.open(USERS.account("alice"), valid_s=60)
    assert sessions.account(token, USERS).user == ALICE
    assert until_ms == 1_767_225_660_000
    clock.advance(60)
    with pytest.raises(NotAuthenticated, match="over"):
        sessions.account(token, USERS)


def test_a_made_up_token_is_refused(tmp_path: Path) -> None:
    sessions = book(tmp_path)
    token, _ = sessions.open(USERS.account("alice"))
    for wrong in ("s1.", "s1..", token + "x", token[:-1], "s1.\ud800"):
        with pytest.raises(NotAuthenticated):
            sessions.account(wrong, USERS)
    assert token not in (tmp_path / "sessions.json").read_text()


def test_a_session_ends_with_the_user_the_token_and_the_password_it_rests_on(tmp_path: Path) -> None:
    sessions = book(tmp_path)
    token, _ = sessions.open(USERS.account("alice"))
    changed = (
        USERS.without("alice"),
        USERS.without("alice").added(ALICE, "t-another", again=True),
        USERS.with_token("alice", "t-new"),
        USERS.with_password("alice", "$argon2id$x"),
    )
    for users in changed:
        with pytest.raises(NotAuthenticated, match="over"):
            sessions.account(token, users)
    assert sessions.account(token, USERS.with_roles("alice", ["auditor"])).user.roles == {"auditor"}
    ticket = sessions.issue_ticket(USERS.account("alice"))
    with pytest.raises(NotAuthenticated):
        sessions.redeem(ticket, USERS.with_token("alice", "t-new"))


def test_a_restart_keeps_open_sessions_open_and_ended_ones_ended(tmp_path: Path) -> None:
    first = book(tmp_path)
    kept, ended = (first.open(USERS.account("alice"))[0] for _ in range(2))
    first.end(ended)
    second = book(tmp_path)
    assert second.account(kept, USERS).user == ALICE
    for action in (lambda: second.account(ended, USERS), lambda: second.end(ended)):
        with pytest.raises(NotAuthenticated):
            action()


def test_a_file_that_cannot_be_read_or_written_ends_sessions_and_nothing_else(tmp_path: Path) -> None:
    first = book(tmp_path)
    token, _ = first.open(USERS.account("alice"))
    for content in (b"", b"[]", b'{"schema": 2, "sessions": {}}', b'{"schema": 1, "sessions": {"x": 5}}'):
        (tmp_path / "sessions.json").write_bytes(content)
        with pytest.raises(NotAuthenticated):
            book(tmp_path).account(token, USERS)
    away = SessionBook(tmp_path / "away" / "sessions.json", FakeClock())
    token, _ = away.open(USERS.account("alice"))
    assert away.account(token, USERS).user == ALICE


def test_sessions_and_tickets_do_not_pile_up(tmp_path: Path) -> None:
    clock = FakeClock()
    sessions = book(tmp_path, clock)
    bobs, _ = sessions.open(USERS.account("bob"))
    tokens = [sessions.open(USERS.account("alice"))[0] for _ in range(MAX_SESSIONS + 1)]
    with pytest.raises(NotAuthenticated):
        sessions.account(tokens[0], USERS)
    for token in (bobs, tokens[1], tokens[-1]):
        sessions.account(token, USERS)
    clock.advance(13 * 3600)
    sessions.open(USERS.account("bob"))
    assert (tmp_path / "sessions.json").read_text().count("until_ms") == 1
    first = sessions.issue_ticket(USERS.account("alice"))
    for _ in range(MAX_TICKETS):
        last = sessions.issue_ticket(USERS.account("alice"))
    assert sessions.redeem(last, USERS).user == ALICE
    with pytest.raises(NotAuthenticated):
        sessions.redeem(first, USERS)


def test_a_ticket_is_spent_by_its_first_use_and_by_time(tmp_path: Path) -> None:
    clock = FakeClock()
    sessions = book(tmp_path, clock)
    first, second = sessions.issue_ticket(USERS.account("alice"), 10), sessions.issue_ticket(USERS.account("bob"), 10)
    assert sessions.redeem(first, USERS).user == ALICE
    for wrong in (first, "nonsense", ""):
        with pytest.raises(NotAuthenticated):
            sessions.redeem(wrong, USERS)
    clock.advance(10)
    with pytest.raises(NotAuthenticated):
        sessions.redeem(second, USERS)
