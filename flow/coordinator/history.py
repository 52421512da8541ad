"""The history of a job: our own events and, of a job that we lead, what its parties tell of theirs when asked."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import Connection, or_, select

from flow.errors import UnknownMethod
from flow.protocol.messages import MAX_PAST_EVENTS, History, HistoryOrder, Method, PastEvent
from flow.rooms.peer_calls import PeerCalls
from flow.store.database import Database
from flow.store.participations import led_by, parties_of
from flow.store.queries import Reader
from flow.store.tables import event
from flow.views.history import HistoryView, Past, history
from flow.views.jobs import MOST_EVENTS, EventRow
from party.ids import Address
from runtime.clock import now_ms
from runtime.errors import PlatformError

ASK_S = 5.0
AT_ONCE = 16  # parties that are asked
MOST_TOLD = 5_000  # events of one party
TOLD_KINDS = ("party.left", "job.closed")  # and those of executors: what the initiator does not know as well


class Histories:
    """Tells the initiator of a job what happened here; puts together what happened everywhere."""

    def __init__(self, party: str, database: Database, reader: Reader, peers: PeerCalls) -> None:
        self._party = party
        self._database = database
        self._reader = reader
        self._peers = peers

    def tell(self, order: HistoryOrder, caller: str) -> History:
        """What happened to our own executors of the caller's job, without words. Raises UnknownJob."""
        led_by(self._database.rows(order.job), caller)
        query = select(event).where(event.c.job == order.job, event.c.id > order.since)
        query = query.where(or_(event.c.kind.like("executor.%"), event.c.kind.in_(TOLD_KINDS))).order_by(event.c.id)
        with self._database.read() as connection:
            rows = self._reader.event_rows(connection, query.limit(MAX_PAST_EVENTS + 1))
        return History(events=tuple(map(_past, rows[:MAX_PAST_EVENTS])), more=len(rows) > MAX_PAST_EVENTS)

    def history(self, job_id: str, party: str, after: str, limit: int) -> HistoryView:
        """Lines of the job's history. Raises UnknownJob."""
        with self._database.read() as connection:
            leads = self._reader.row(connection, job_id).initiator == self._party
            past = {self._party: Past(tuple(self._own(connection, job_id)))}
        untold: dict[str, str] = {}
        others = sorted(parties_of(self._database.rows(job_id)) - {self._party}) if leads else []
        if others:
            with ThreadPoolExecutor(min(AT_ONCE, len(others))) as pool:
                for other, told in zip(others, pool.map(lambda name: self._told(job_id, name), others), strict=True):
                    if isinstance(told, PlatformError):
                        untold[other] = _why_not(other, told)
                    else:
                        past[other] = told
        found = history(past, now_ms(self._database.clock), party, after, limit)
        return found.model_copy(update={"untold": tuple(untold.values())})

    def _own(self, connection: Connection, job_id: str) -> list[EventRow]:
        return self._reader.moves(connection, job_id, MOST_EVENTS)

    def _told(self, job_id: str, other: str) -> Past | PlatformError:
        """What another party tells of itself."""
        try:
            events = tuple(self._pages(job_id, other))
        except PlatformError as error:
            return error
        apart = self._database.clocks_apart().get(other)
        return Past(events, apart.ahead_ms if apart else 0)

    def _pages(self, job_id: str, other: str) -> Iterator[EventRow]:
        since, more, count = 0, True, 0
        while more and count < MOST_TOLD:
            order = HistoryOrder(job=job_id, since=since)
            reply = self._peers.ask(other, Method.HISTORY, order, History, ASK_S)
            yield from (_row(past, job_id, other) for past in reply.events if believed(past, other))
            newest = max((past.id for past in reply.events), default=since)
            more = reply.more and newest > since and len(reply.events) == MAX_PAST_EVENTS  # a page is full, or the last
            since, count = newest, count + len(reply.events)


def believed(past: PastEvent, party: str) -> bool:
    """Whether a party may tell this: it is about itself, and of what only it knows."""
    if past.address and Address.parse(past.address).party != party:
        return False
    return past.kind in TOLD_KINDS or (past.kind.startswith("executor.") and past.address != "")


def _past(row: EventRow) -> PastEvent:
    incarnation = row.body.get("incarnation")
    return PastEvent(
        id=row.id,
        hlc=row.hlc,
        kind=row.kind,
        task=row.task,
        attempt=row.attempt,
        address=str(row.body.get("address", "")),
        incarnation=incarnation if isinstance(incarnation, int) else 0,
        code=str(row.body.get("code", "")),
        cause=str(row.body.get("cause", "")),
    )


def _row(past: PastEvent, job_id: str, party: str) -> EventRow:
    body: dict[str, Any] = {"address": past.address, "cause": past.cause, "code": past.code}
    if past.incarnation:
        body["incarnation"] = past.incarnation
    place = {"task": past.task, "attempt": past.attempt, "party": party}
    return EventRow(id=past.id, hlc=past.hlc, kind=past.kind, job=job_id, body=body, **place)


def _why_not(party: str, error: PlatformError) -> str:
    if error.code == UnknownMethod.code:
        return f"{party}: its release does not tell it; what it reported is here."
    return f"{party}: {error.message}"
