"""Looks at our own rooms while executors of ours run, and tells the initiators what keeps these from going on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sqlalchemy import select

from flow.job.states import AttemptState
from flow.protocol.messages import Ack, Method, Report
from flow.rooms.peer_calls import PeerCalls
from flow.rooms.ports import Rooms
from flow.rooms.signs import FLEETING, Pace, Signs, facts_of
from flow.rooms.stalls import Stalls
from flow.scheduler import Scheduler
from flow.store.database import Database
from flow.store.participations import parties_of
from flow.store.tables import executor
from flow.views.jobs import JobSummary
from flow.views.links import Links
from flow.views.stalls import Fact, stall_waits
from runtime.clock import now_ms
from runtime.errors import PlatformError
from runtime.log import get_logger

V = TypeVar("V", bound=JobSummary)
LOOK_S = 1.0
AGAIN_S = 10.0  # what holds on is told again, for an initiator that has forgotten
TELL_S = 10.0


@dataclass(frozen=True)
class Look:
    """Look at our rooms."""


@dataclass(frozen=True)
class Tell:
    """Tell the initiator of a job what our side waits for."""

    job: str
    initiator: str


class Looks:
    """Runs in the scheduler. `changed(job)` is called where our side of a job waits for something else than before."""

    def __init__(
        self,
        party: str,
        database: Database,
        rooms: Rooms,
        stalls: Stalls,
        scheduler: Scheduler,
        changed: Callable[[str], None],
    ) -> None:
        self._party, self._database, self._rooms = party, database, rooms
        self._stalls, self._scheduler, self._changed = stalls, scheduler, changed
        self._peers = PeerCalls(rooms.gateway, database)
        self._paces: dict[str, Pace] = {}
        self._fleeting: set[tuple[str, tuple[str, str, str, str]]] = set()
        self._told: dict[str, tuple[tuple[Fact, ...], float]] = {}
        self._log = get_logger("flow")

    def hearing(self, then: Callable[[str], None]) -> Callable[[str], None]:
        """What to call when executors of ours told news of a job: it is noted, then handed on."""

        def heard(job: str) -> None:
            now = time.monotonic()
            self._paces[job] = self._paces.get(job, Pace(now)).heard(now)
            then(job)

        return heard

    def look(self, _key: Look) -> float:
        """Look once; returns the seconds until the next time."""
        going = (AttemptState.RESERVED, AttemptState.RUNNING)
        with self._database.read() as connection:
            rows = connection.execute(select(executor).where(executor.c.state.in_(going))).all()
        jobs: dict[str, list[Any]] = {}
        for row in rows:
            jobs.setdefault(row.job, []).append(row)
        for known in (self._paces, self._told):
            for job in [job for job in list(known) if job not in jobs]:
                known.pop(job, None)
        if jobs:
            self._take(jobs, self._signs())
        return LOOK_S

    def tell(self, key: Tell) -> None:
        """Tell an initiator; one that does not answer is told at a later look."""
        facts = self._stalls.of(key.job).get(self._party, ())
        try:
            self._peers.ask(key.initiator, Method.REPORT, Report(job=key.job, facts=facts), Ack, TELL_S)
        except PlatformError as error:
            self._log.info("stall.not_told", job=key.job, code=error.code)
            if error.retry:
                return
        self._told[key.job] = (facts, time.monotonic())

    def with_waits(self, view: V) -> V:
        """A job as it is shown, with what each party's side of it waits for as far as we know."""
        more = tuple(stall_waits(self._stalls.of(view.id), self._party)) if view.ended_ms is None else ()
        return view.model_copy(update={"waiting_for": (*view.waiting_for, *more)}) if more else view

    def links(self, down: str = "") -> Links:
        """Our lines to other parties; `down` says why our gateway does not answer, where that is known."""
        clocks = self._database.clocks_apart()
        links = Links(self._party, now_ms(self._database.clock), clocks=clocks)
        if down:
            return replace(links, peers=None, down=down)
        try:
            return replace(links, peers={peer.party: peer for peer in self._rooms.gateway.peers()})
        except PlatformError as error:
            return replace(links, peers=None, down=str(error))

    def _take(self, jobs: Mapping[str, list[Any]], signs: Signs) -> None:
        before, self._fleeting = self._fleeting, set()
        for job, rows in jobs.items():
            known = self._database.rows(job)
            if known.part is None or known.part.state != "open":
                continue
            found = facts_of(job, rows, parties_of(known) - {self._party}, signs)
            self._fleeting |= {(job, fact.key) for fact in found if fact.code in FLEETING}
            last = [fact for fact in found if fact.code not in FLEETING or (job, fact.key) in before]
            self._note(job, known.part.initiator, last)

    def _note(self, job: str, initiator: str, facts: Sequence[Fact]) -> None:
        now = time.monotonic()
        quiet = self._paces.setdefault(job, Pace(now)).quiet(now)
        facts = [fact.model_copy(update={"stalled": quiet}) for fact in facts]
        new = self._stalls.note(job, self._party, facts)
        if initiator != self._party:
            if self._is_due(job, now):
                self._scheduler.poke(Tell(job, initiator))
        elif new:
            self._changed(job)

    def _is_due(self, job: str, now: float) -> bool:
        facts = self._stalls.of(job).get(self._party, ())
        told, at = self._told.get(job, ((), now))
        return facts != told or (bool(facts) and now - at >= AGAIN_S)

    def _signs(self) -> Signs:
        gateway, cluster = self._rooms.gateway, self._rooms.cluster
        try:
            nodes = cluster.nodes()
        except PlatformError:
            nodes = None
        try:
            down = [peer.party for peer in gateway.peers() if peer.state not in ("up", "no-address")]
            card = bool(gateway.health().problem)
        except PlatformError:  # the gateway is down: that is told elsewhere
            down, card = [], False
        return Signs(nodes=nodes, down=down, card=card, full=self._rooms.full())
