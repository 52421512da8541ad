"""How soon a peer that is gone is seen to be: a lane and a link on a clock that only their own waiting moves."""

from __future__ import annotations

from types import SimpleNamespace

import grpc
import pytest

from gateway.peers import PeerBook
from gateway.recorder import Recorder
from gateway.transfer.delivery import Lane
from gateway.transfer.link import Link
from gateway.wire import transfer
from party.home import PartyHome
from tests.fakes.memory_mailbox import MemoryMailbox

KILLED_S = 4.0  # twice what a peer may stay unheard: its last answer may have come just after the lane had looked
CUT_S = KILLED_S + 3.0  # a greeting that nobody answers is given up


class Gone(grpc.RpcError):
    """A call that ended so."""

    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "connection refused"


class Watched:
    """A lane with nothing to deliver to a peer that is gone at `gone_s`, and answers some other call just before."""

    def __init__(self, book: PeerBook, gone_s: float, *, killed: bool) -> None:
        self.now_s = 0.0
        self._gone_s, self._killed = gone_s, killed
        self._heard = False
        self.link = Link(book, "beta", diagnose=lambda *_: None, clock=lambda: self.now_s)
        self.link._transfer = lambda: SimpleNamespace(Hello=self._hello)  # type: ignore[method-assign,assignment,return-value]
        self._lane = Lane(self.link, MemoryMailbox(), Recorder(None), lambda _: None, large=False)
        self._lane._wake = SimpleNamespace(clear=lambda: None, set=lambda: None, wait=self._wait)  # type: ignore[assignment]

    def seen_down_s(self) -> float:
        """When the link first said that the peer is not up."""
        self._lane._run()
        return self.now_s

    def _hello(self, _greeting: transfer.Greeting, timeout: float) -> transfer.Greeting:
        if self.now_s < self._gone_s:
            return transfer.Greeting(protocol=1, minimum=1)
        if self._killed:
            raise Gone(grpc.StatusCode.UNAVAILABLE)
        self.now_s += timeout
        raise Gone(grpc.StatusCode.DEADLINE_EXCEEDED)

    def _wait(self, timeout_s: float | None) -> None:
        assert timeout_s is not None, "nobody looks any more"
        assert self.now_s < 1000, "it never came about"
        if not self.link.up:
            self._lane.stop()
            return
        until_s = self.now_s + timeout_s
        if not self._heard and self._gone_s <= until_s:
            self.now_s, self._heard = self._gone_s, True
            self.link.answered()
        self.now_s = until_s


@pytest.mark.parametrize(("killed", "most_s"), [(True, KILLED_S), (False, CUT_S)], ids=["killed", "cut off"])
def test_a_peer_that_is_gone_is_down_soon_whenever_it_went(
    homes: dict[str, PartyHome], killed: bool, most_s: float
) -> None:
    book = PeerBook(homes["alpha"])
    for tenth in range(400, 460):
        gone_s = tenth / 10 + 0.05
        watched = Watched(book, gone_s, killed=killed)
        assert 0 < watched.seen_down_s() - gone_s <= most_s
        assert watched.link.status(0).state == "down"
