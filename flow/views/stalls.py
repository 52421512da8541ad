"""What parties' sides of a job wait for, in words: more for people of the party itself than for others. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated

from pydantic import Field

from flow.job.texts import ShownLabel
from flow.views.jobs import View, Waiting
from runtime.bounds import TimeMs

MOST_FACTS = 100

_TEXT = {
    "executor-stopped": "{side}, which is stopped by a signal",
    "starter-stopped": "{side}: what starts executors at {party} is stopped by a signal",
    "starting": "{party}, which is starting",
    "restart-waits": "{side} to start again",
    "node-silent": "{side}: its host is silent",
    "cluster-down": "the Cluster Manager of {party}, which does not answer",
    "disk-full": "room on a disk of {party}, which is full",
    "link-down": "the link from {party} to {peer}, which is down",
    "card-not-valid": "a valid card of {party}",
}
_DO = {
    "executor-stopped": "continue it with 'kill -CONT', or 'flow job stop' the job",
    "starter-stopped": "continue the warm parent of the Node Manager with 'kill -CONT'",
    "restart-waits": "'flow party status' shows how much room is free",
    "node-silent": "see whether that host and its Node Manager run",
    "cluster-down": "'flow party status' says more",
    "disk-full": "make room; nothing needs a restart",
    "link-down": "'flow party status' says why",
    "card-not-valid": "'flow party status' says why",
}


STALLS = frozenset(_TEXT)


class Fact(View):
    """One thing that a party's side of a job waits for.

    Attributes:
        code: Which; one that a release does not know is shown as it is.
        address: Whose executor, where it is about one.
        peer: To which party, where it is a link.
        since_ms: When it was first seen.
        stalled: Whether the party's executors told no news for so long that their time is waiting.
    """

    code: ShownLabel
    task: ShownLabel = ""
    address: ShownLabel = ""
    peer: ShownLabel = ""
    since_ms: TimeMs = 0
    stalled: bool = False

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What it is about."""
        return self.code, self.task, self.address, self.peer


Facts = Annotated[tuple[Fact, ...], Field(max_length=MOST_FACTS)]


def stall_waits(facts: Mapping[str, Iterable[Fact]], own: str) -> Iterator[Waiting]:
    """The facts of each party as what a job waits for; each sentence once, whatever executors it is about."""
    said = set()
    for party, known in facts.items():
        for fact in known:
            side = f"{fact.address} (task {fact.task})" if fact.address else party
            words = _TEXT.get(fact.code, "{party} ({code})")
            text = words.format(side=side, party=party, peer=fact.peer, code=fact.code)
            if text not in said:
                said.add(text)
                do = _DO.get(fact.code, "") if party == own else ""
                yield Waiting(who=party, what=fact.code, text=text, since_ms=fact.since_ms, do=do)
