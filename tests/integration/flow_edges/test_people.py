"""Who comes in and how long they stay: users, tokens, passwords, tickets and sessions, over REST and by command."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from flow.client import VISITOR_PURPOSE, FlowClient, Visitors
from flow.rest.visitors import HEADER
from party import passwords
from party.home_init import create_home
from party.passwords import password_digest
from party.seal import derive
from runtime.errors import Conflict, Denied, InvalidInput, NotFound, PlatformError, Unavailable
from runtime.limits.guessing import FREE
from tests.fakes.flow_party import FakeParty
from tests.integration.flow_edges.conftest import Command

GOOD, OTHER = "correct horse battery", "another horse battery"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords that cost no time here."""
    monkeypatch.setattr("party.user_file.password_digest", lambda text: password_digest(text, memory_kib=64))
    monkeypatch.setattr(passwords, "NOBODYS", password_digest("nobody knows this", memory_kib=64))


def refused(error: type[PlatformError], code: str, action: object, *words: object) -> None:
    with pytest.raises(error) as caught:
        action(*words)  # type: ignore[operator]
    assert caught.value.code == code


def test_a_ticket_opens_one_session_and_a_session_ends(party: FakeParty) -> None:
    ticket = party.client.ticket().ticket
    nobody = party.client.as_user("")
    session = nobody.redeem(ticket)
    assert session.user == "admin"
    refused(Denied, "party.not_authenticated", nobody.redeem, ticket)
    late = party.client.ticket(valid_s=60).ticket
    party.clock.advance(61)
    refused(Denied, "party.not_authenticated", nobody.redeem, late)
    client = party.client.as_user(session.token)
    client.end_session()
    refused(Denied, "party.not_authenticated", client.jobs)
    old = party.client.open_session().token
    party.clock.advance(13 * 3600)
    refused(Denied, "party.not_authenticated", party.client.as_user(old).jobs)
    refused(Denied, "party.not_authenticated", party.client.end_session)  # a user's own token is no session


def test_a_session_opens_nothing_and_makes_no_credential(party: FakeParty) -> None:
    session = party.client.as_user(party.client.open_session().token)
    assert session.users()
    for action in (
        session.open_session,
        session.ticket,
        lambda: session.new_token("admin"),
        lambda: session.set_password("admin", GOOD),
        lambda: session.set_password("admin", None),
        lambda: session.add_user("mallory", ["officer"]),
        lambda: session.set_roles("admin", ["officer"]),
        lambda: session.remove_user("admin"),
    ):
        refused(Denied, "flow.session_cannot", action)


def test_a_session_ends_with_its_user_and_with_what_opened_it(party: FakeParty) -> None:
    file = party.home.user_file
    ends = {
        "removed": lambda name: file.remove(name),
        "renewed": lambda name: file.new_token(name),
        "password": lambda name: file.set_password(name, GOOD),
        "replaced": lambda name: (file.remove(name), file.add(name, ["officer"], again=True)),
    }
    for name, end in ends.items():
        user = party.client_of(name, "scientist")
        session, ticket = party.client.as_user(user.open_session().token), user.ticket().ticket
        assert session.jobs() is not None
        end(name)
        refused(Denied, "party.not_authenticated", session.jobs)
        refused(Denied, "party.not_authenticated", party.client.as_user("").redeem, ticket)
    refused(Denied, "party.not_authenticated", party.client_of("gone", "auditor").as_user("arch_x").jobs)


def test_an_officer_manages_users_and_what_is_changed_counts_at_once(party: FakeParty) -> None:
    officer = party.client_of("chief", "officer")
    added = officer.add_user("rest-ada", ["scientist"])
    ada = party.client.as_user(added.token)
    assert ada.jobs() is not None
    refused(Denied, "party.not_allowed", ada.users)
    refused(Denied, "party.not_allowed", ada.add_user, "eve", ["officer"])
    assert officer.set_roles("rest-ada", ["auditor", "scientist"]).roles == ("auditor", "scientist")
    assert {"name": "rest-ada", "roles": ("auditor", "scientist"), "has_password": False} in [
        view.model_dump() for view in ada.users()
    ]
    fresh = officer.new_token("rest-ada").token
    refused(Denied, "party.not_authenticated", ada.jobs)
    officer.remove_user("rest-ada")
    refused(Denied, "party.not_authenticated", party.client.as_user(fresh).jobs)
    refused(NotFound, "party.user_unknown", officer.remove_user, "rest-ada")
    refused(Conflict, "party.user_was_removed", officer.add_user, "rest-ada", ["auditor"])
    assert officer.add_user("rest-ada", ["auditor"], again=True).name == "rest-ada"
    refused(Conflict, "party.user_exists", officer.add_user, "chief", ["auditor"])
    refused(InvalidInput, "party.invalid_name", officer.add_user, "Eve/..", ["auditor"])
    refused(InvalidInput, "flow.bad_request", officer.add_user, "eve", ["admin"])
    refused(InvalidInput, "flow.bad_request", officer.add_user, "eve", [])


def test_everybody_may_renew_their_own_token_and_password_and_nobody_elses(party: FakeParty) -> None:
    eve = party.client_of("own-eve", "scientist")
    refused(Denied, "party.not_allowed", eve.new_token, "admin")
    refused(Denied, "party.not_allowed", eve.set_password, "admin", GOOD)
    eve = party.client.as_user(eve.new_token("own-eve").token)
    eve.set_password("own-eve", GOOD)
    assert party.client.as_user("").log_in("own-eve", GOOD).roles == ("scientist",)
    refused(InvalidInput, "party.weak_password", eve.set_password, "own-eve", "short")


def test_a_password_opens_a_session_and_guesses_are_slowed_down(party: FakeParty) -> None:
    party.home.user_file.add("pass-ada", ["scientist"])
    party.home.user_file.set_password("pass-ada", GOOD)
    nobody = party.client.as_user("")
    session = party.client.as_user(nobody.log_in("pass-ada", GOOD).token)
    assert session.jobs() is not None
    for _ in range(FREE):
        refused(Denied, "party.not_authenticated", nobody.log_in, "pass-ada", OTHER)
    refused(Denied, "runtime.too_many_guesses", nobody.log_in, "pass-ada", GOOD)
    refused(Denied, "party.not_authenticated", nobody.log_in, "admin", GOOD)  # others are let in meanwhile
    party.clock.advance(2)
    assert nobody.log_in("pass-ada", GOOD).user == "pass-ada"
    party.home.user_file.set_password("pass-ada", OTHER)
    refused(Denied, "party.not_authenticated", session.jobs)


def test_a_guess_counts_where_the_board_says_that_it_came_from_and_nobody_else_may_say(party: FakeParty) -> None:
    party.home.user_file.add("far-ada", ["scientist"])
    party.home.user_file.set_password("far-ada", GOOD)
    nobody = party.client.as_user("")
    board = Visitors(derive(party.home.master, VISITOR_PURPOSE))
    for number in range(FREE):
        refused(Denied, "party.not_authenticated", nobody.log_in, "far-ada", OTHER, board.header(f"2001:db8::{number}"))
    refused(Denied, "runtime.too_many_guesses", nobody.log_in, "far-ada", GOOD, board.header("2001:db8::77"))
    assert nobody.log_in("far-ada", GOOD, board.header("2001:db9::1")).user == "far-ada"
    assert nobody.log_in("far-ada", GOOD).user == "far-ada"
    for _ in range(FREE):
        refused(Denied, "party.not_authenticated", nobody.log_in, "far-ada", OTHER)
    for forged in (
        {HEADER: "198.51.100.7"},
        {HEADER: f"198.51.100.7 {'0' * 64}"},
        Visitors(b"another key").header("198.51.100.7"),
        {"X-Forwarded-For": "198.51.100.7", "Forwarded": "for=198.51.100.7"},
    ):
        refused(Denied, "runtime.too_many_guesses", nobody.log_in, "far-ada", GOOD, forged)


def test_whoever_finds_no_turn_has_not_guessed_and_hears_when_to_come_again(party: FakeParty) -> None:
    party.home.user_file.add("turn-ada", ["scientist"])
    party.home.user_file.set_password("turn-ada", GOOD)
    turns = party.app.state.backends.turns
    with turns.taken("127.0.0.1"), turns.taken("127.0.0.1"):
        for _ in range(2 * FREE):
            body = {"user": "turn-ada", "password": GOOD}
            answer = httpx.post(f"{party.client.url}/v1/sessions/password", json=body, trust_env=False)
            assert answer.status_code == 429
            assert int(answer.headers["Retry-After"]) >= 1
    assert party.client.as_user("").log_in("turn-ada", GOOD).user == "turn-ada"


def test_a_password_that_is_too_long_is_refused_without_being_quoted(party: FakeParty) -> None:
    with pytest.raises(InvalidInput) as caught:
        party.client.as_user("").log_in("admin", "sesame" * 100)
    assert "sesame" not in str(caught.value)


def users(flow: Command) -> list[str]:
    return [line for line in flow("user", "list").out.splitlines() if "cli-" in line]


@pytest.mark.parametrize("up", [True, False], ids=["party up", "party down"])
def test_users_are_managed_by_command_whether_the_party_runs_or_not(party: FakeParty, tmp_path: Path, up: bool) -> None:
    home = party.home if up else create_home(tmp_path / "down", "hospital-z")
    flow = Command(party).with_environment(ARCHIPELAGO_HOME=str(home.root))
    added = flow("user", "add", "cli-ada", "--role", "scientist", "--role", "auditor")
    assert (added.code, added.out[:5]) == (0, "arch_")
    assert "shown this once" in added.err
    assert [line.split() for line in users(flow)] == [["cli-ada", "auditor,", "scientist", "no"]]
    secret = tmp_path / "secret"
    secret.write_text(f"{GOOD}\n")
    assert flow("user", "password", "cli-ada", "--password-file", secret).out == "cli-ada has a new password.\n"
    assert flow("user", "role", "cli-ada", "operator").out == "cli-ada: operator.\n"
    assert [line.split() for line in users(flow)] == [["cli-ada", "operator", "yes"]]
    fresh = flow("user", "token", "cli-ada", "--json").json()
    assert fresh["user"] == "cli-ada"
    assert fresh["token"] != added.out.strip()
    assert flow("user", "password", "cli-ada", "--remove").code == 0
    assert flow("user", "remove", "cli-ada").out == "Removed cli-ada.\n"
    assert users(flow) == []
    assert flow("user", "remove", "cli-ada").code == 3


def test_a_password_is_read_from_a_pipe_and_never_shown(party: FakeParty, flow: Command) -> None:
    party.home.user_file.add("piped", ["auditor"])
    done = flow("user", "password", "piped", typed=f"{GOOD}\n")
    assert done.code == 0
    assert GOOD not in done.out + done.err
    assert FlowClient(party.client.url).log_in("piped", GOOD).user == "piped"


def test_the_last_officer_is_not_removed_by_command(tmp_path: Path, party: FakeParty) -> None:
    home = create_home(tmp_path / "alone", "hospital-y")
    flow = Command(party).with_environment(ARCHIPELAGO_HOME=str(home.root))
    for words in (("remove", "admin"), ("role", "admin", "scientist")):
        done = flow("user", *words)
        assert done.code == 5
        assert "without an officer; make somebody else one first" in done.err


def test_users_are_managed_while_the_party_is_not_healthy(party: FakeParty, flow: Command) -> None:
    party.gateway.down = Unavailable("The gateway is away.")
    try:
        assert flow("user", "list").code == 0
        assert flow("user", "add", "ill", "--role", "scientist").code == 0
    finally:
        party.gateway.down = None
