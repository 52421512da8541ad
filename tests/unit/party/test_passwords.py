"""Passwords are kept as costly digests, and guessing them is slowed down."""

from __future__ import annotations

import pytest

from party import passwords
from party.errors import NotAuthenticated, WeakPassword
from party.passwords import NOBODYS, checked_password, matches, password_digest
from party.users import Users, authenticate_by_password, make_user
from runtime.errors import TooManyGuesses
from runtime.limits.guessing import FORGET_S, FREE, LONGEST_S, MAX_NAMES, Brake, Turns
from tests.fakes.clock import FakeClock

GOOD = "correct horse battery"
CHEAP = 64


def test_a_password_matches_its_digest_however_it_was_typed() -> None:
    digest = password_digest("caf\u00e9 au lait chaud", memory_kib=CHEAP)
    assert digest.startswith("$argon2id$v=19$m=64,t=2,p=1$")
    assert digest != password_digest("caf\u00e9 au lait chaud", memory_kib=CHEAP)
    assert matches("cafe\u0301 au lait chaud", digest)
    for wrong in ("cafe au lait chaud", "", "x" * 100_000, "\ud800"):
        assert not matches(wrong, digest)


def test_the_cost_is_that_of_the_document() -> None:
    assert password_digest(GOOD).rsplit("$", 2)[0] == NOBODYS.rsplit("$", 2)[0] == "$argon2id$v=19$m=65536,t=2,p=1"


@pytest.mark.parametrize("weak", ["", "short", "x" * 201, "abababababababab", "ada lovelace 1815"])
def test_a_weak_password_is_refused_and_not_quoted(weak: str) -> None:
    with pytest.raises(WeakPassword) as refused:
        checked_password(weak, "ada")
    assert weak == "" or weak not in str(refused.value)


def test_an_unknown_user_a_user_without_a_password_and_a_wrong_one_are_told_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    users = Users().added(make_user("ada", ["officer"]), "t").added(make_user("bob", ["auditor"]), "u")
    users = users.with_password("ada", password_digest(GOOD, memory_kib=CHEAP))
    assert authenticate_by_password(users, "ada", GOOD).user.name == "ada"
    seen = []
    monkeypatch.setattr(passwords.Argon2id, "verify_phc_encoded", lambda _given, digest: seen.append(digest))
    told = set()
    for name, digest in [("eve", NOBODYS), ("bob", NOBODYS)]:
        with pytest.raises(NotAuthenticated) as refused:
            authenticate_by_password(users, name, GOOD)
        told.add(str(refused.value))
        assert seen.pop() == digest
    monkeypatch.undo()
    with pytest.raises(NotAuthenticated) as refused:
        authenticate_by_password(users, "ada", "wrong horse battery")
    assert told == {str(refused.value)}


def test_only_a_few_passwords_wait_to_be_looked_at_and_those_of_one_network_leave_room_for_others() -> None:
    turns = Turns()
    with turns.taken("10.0.0.1"), turns.taken("10.0.0.1"):
        for _ in range(2):
            with pytest.raises(TooManyGuesses) as refused, turns.taken("10.0.0.1"):
                pass
            assert refused.value.retry_s >= 1
        with turns.taken("10.0.0.2"), turns.taken("10.0.0.3"), pytest.raises(TooManyGuesses), turns.taken("10.0.0.4"):
            pass
    assert not turns._taken
    with pytest.raises(NotAuthenticated), turns.taken("10.0.0.1"):
        raise NotAuthenticated("wrong")
    assert not turns._taken


def test_guesses_are_slowed_down_by_name_up_to_a_minute_and_forgotten_in_time() -> None:
    clock = FakeClock()
    brake = Brake(clock)
    for _ in range(FREE):
        brake.admit("1.2.3.4 ada")
    with pytest.raises(TooManyGuesses, match="too many") as refused:
        brake.admit("1.2.3.4 ada")
    assert "2 seconds" in refused.value.hint
    assert refused.value.retry_s == 2
    brake.admit("1.2.3.4 bob")
    brake.admit("1.2.3.5 ada")
    waited = []
    for _ in range(10):
        before = clock.monotonic()
        while True:
            clock.advance(0.5)
            try:
                brake.admit("1.2.3.4 ada")
                break
            except TooManyGuesses:
                continue
        waited.append(clock.monotonic() - before)
    assert waited[:4] == [1.0, 2.0, 4.0, 8.0]
    assert max(waited) == LONGEST_S
    clock.advance(FORGET_S)
    for _ in range(FREE):
        brake.admit("1.2.3.4 ada")


def test_a_right_answer_is_not_counted_but_hides_no_wrong_one() -> None:
    brake = Brake(FakeClock())
    for _ in range(3 * FREE):
        brake.admit("ada")
        brake.right("ada")
    for guess in range(FREE):
        brake.admit("ada")
        if guess < FREE - 1:
            brake.admit("ada")
            brake.right("ada")
    with pytest.raises(TooManyGuesses):
        brake.admit("ada")


def test_the_brake_remembers_a_bounded_number_of_names_of_bounded_length() -> None:
    brake = Brake(FakeClock())
    for name in range(MAX_NAMES + 10):
        brake.admit(f"user {name}")
    brake.admit("\ud800" + "x" * 1_000_000)
    assert len(brake._wrong) == MAX_NAMES
    assert max(map(len, brake._wrong)) == 32
