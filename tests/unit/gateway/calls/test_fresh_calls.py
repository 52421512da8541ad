"""A call is answered once, and only if it was made about now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.calls.calls import CALL_PURPOSE, Calls, SignedLetter
from gateway.errors import BadEnvelope, CallRepeated, ClocksDiffer
from gateway.mailbox.disk import DiskMailbox
from gateway.mailbox.ledger import unbroken
from gateway.mailbox.schema import open_database
from gateway.peers import PeerBook
from gateway.recorder import Recorder
from party.home import PartyHome
from party.seal import sign
from runtime.canonical import canonical_json

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


class SetClock:
    """The receiver's clock."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at


class Asked:
    """A Flow that says what it is asked."""

    def __init__(self) -> None:
        self.count = 0

    def ask(self, *_: object) -> bytes:
        self.count += 1
        return b"yes"


class Beta:
    """Beta's end of the call path, its mailbox on disk, and alpha's hand to write calls."""

    def __init__(self, homes: dict[str, PartyHome], folder: Path) -> None:
        self.homes, self.folder, self.clock, self.asked = homes, folder, SetClock(), Asked()
        self.start()

    def start(self) -> None:
        self.mailbox = DiskMailbox(
            self.folder / "mailbox", open_database(self.folder / "gateway.sqlite"), clock=self.clock
        )
        book = PeerBook(self.homes["beta"])
        self.calls = Calls(book, self.mailbox, self.asked, Recorder(None), None, self.clock)  # type: ignore[arg-type]

    def restart(self) -> None:
        self.mailbox.close()
        self.start()

    def letter(self, sent: datetime = NOW, **changes: object) -> SignedLetter:
        fields: dict[str, object] = {
            "version": 1, "sender": "alpha", "receiver": "beta", "size": 0, "id": "one", "method": "propose",
            "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "sent_at_ms": int(sent.timestamp() * 1000),
        }  # fmt: skip
        header = canonical_json(fields | changes)
        return SignedLetter(header, sign(self.homes["alpha"].keys, CALL_PURPOSE, header), b"")

    def answer(self, letter: SignedLetter) -> SignedLetter:
        return self.calls.answer(self.homes["alpha"].card, letter, 1, lambda leave: True)

    def entries(self) -> list[str]:
        ledger = self.mailbox.ledger()
        assert unbroken(ledger)
        return [entry.what for entry, _ in ledger]


@pytest.fixture
def beta(homes: dict[str, PartyHome], tmp_path: Path) -> Beta:
    return Beta(homes, tmp_path)


def test_a_call_that_is_replayed_is_not_answered_again_not_even_after_a_restart(beta: Beta) -> None:
    beta.answer(beta.letter())
    with pytest.raises(CallRepeated, match="This call of alpha came before"):
        beta.answer(beta.letter())
    beta.restart()
    beta.clock.at += timedelta(minutes=10)
    with pytest.raises(CallRepeated):
        beta.answer(beta.letter())
    beta.answer(beta.letter(id="two"))
    assert beta.asked.count == 2
    assert [what for what in beta.entries() if what.startswith("refused ")] == [
        "refused gateway.call_repeated call/propose"
    ] * 2


def test_ids_of_calls_are_forgotten_once_their_time_alone_refuses_them(beta: Beta) -> None:
    beta.answer(beta.letter())
    beta.clock.at += timedelta(minutes=21)
    beta.answer(beta.letter(beta.clock.at, id="two"))
    assert beta.mailbox._database.read("SELECT id FROM answered") == [("two",)]
    with pytest.raises(ClocksDiffer):
        beta.answer(beta.letter())


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (NOW - timedelta(hours=1), "a call of alpha is dated 1 h behind ours, where it is 2026-11-27 12:00:00 UTC"),
        (NOW + timedelta(days=2, hours=3, minutes=5), "dated 2 d 3 h ahead of ours"),
        (datetime(1970, 1, 1, tzinfo=UTC), "behind ours"),
        (NOW - timedelta(minutes=10, seconds=1), "10 min 1 s behind"),
    ],
)
def test_clocks_that_differ_are_named_with_the_difference(beta: Beta, sent: datetime, says: str) -> None:
    with pytest.raises(ClocksDiffer, match=f"The clocks of alpha and beta differ: .*{says}"):
        beta.answer(beta.letter(sent))
    assert beta.asked.count == 0
    assert beta.entries() == ["refused gateway.clocks_differ call/propose"]


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_clock_that_is_a_little_wrong_is_borne(beta: Beta, minutes: int) -> None:
    beta.answer(beta.letter(NOW + timedelta(minutes=minutes)))


@pytest.mark.parametrize("time", [-1, 10**17, 1.5, True, "1"])
def test_a_time_that_is_none_is_refused(beta: Beta, time: object) -> None:
    with pytest.raises(BadEnvelope, match="The header of a call is wrong"):
        beta.answer(beta.letter(sent_at_ms=time) if time != 1.5 else beta.letter(sent_at_ms="1.5"))


def test_a_header_without_end_is_not_parsed(beta: Beta) -> None:
    with pytest.raises(BadEnvelope, match="header of a call has"):
        beta.answer(beta.letter(id="x" * 70_000))
