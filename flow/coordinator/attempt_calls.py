"""The initiator's calls about one attempt: reserve, start, stop, publish."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, update

from flow.coordinator.absence import Absence
from flow.coordinator.moves import bring_side, note_running, side_name
from flow.doors import Caller
from flow.job_state import AttemptEvent, AttemptState
from flow.messages import Ack, AttemptOrder, Method, Published, Reserved, ReserveOrder, StopOrder
from flow.plan import Publish, Reserve, Start, Stop
from flow.scheduler import JITTER
from flow.store.database import Database, Writer
from flow.store.moves import attempt_key, error_columns, move_attempt
from flow.store.tables import attempt, output, side
from flow.views import ErrorView
from party.ids import AttemptId, JobId, TaskName
from runtime.errors import PlatformError, Unavailable
from runtime.log import get_logger

LEASE_S = 60.0
RESERVE_S = 20.0
START_S = 60.0
PUBLISH_S = 120.0
ROOM_PAUSE_S = 3.0


class AttemptCalls:
    """One method an errand; each returns when the parties have answered and the store knows it."""

    def __init__(self, database: Database, caller: Caller, absence: Absence) -> None:
        self._database = database
        self._caller = caller
        self._absence = absence
        self._log = get_logger("flow")

    def reserve(self, errand: Reserve) -> float | None:
        """Get room at every party, in id order; give everything back at the first no.

        Returns:
            Seconds until it should be tried again, or None once there is room.
        """
        name = attempt_name(errand)
        with self._database.read() as connection:
            rows = connection.execute(select(side.c.address, side.c.party).where(*match(side, name))).all()
        held: list[str] = []
        for party in sorted({row.party for row in rows}):
            try:
                refusal = self._ask_room(party, errand)
            except Unavailable as error:
                self._give_back(held, errand)
                self._absence.note(errand.job, party, error)
                self._note_wait(name, "")
                return ROOM_PAUSE_S * _jitter()
            except PlatformError:
                self._give_back(held, errand)
                raise
            if refusal:
                self._give_back(held, errand)
                self._note_wait(name, f"{party}: {refusal}")
                return ROOM_PAUSE_S * _jitter()
            held.append(party)
        try:
            self._note_reserved(name, [row.address for row in rows])
        except PlatformError:
            self._give_back(held, errand)
            raise
        return None

    def start(self, errand: Start) -> None:
        """Start a party's sides."""
        name = attempt_name(errand)
        self._caller.ask(errand.party, Method.START, order_of(errand), Ack, START_S)
        self._absence.clear(errand.job, errand.party)
        with self._database.write() as writer:
            for address in _addresses(writer, name, errand.party):
                bring_side(writer, side_name(errand.job, errand.task, errand.attempt, address), AttemptState.RUNNING)
            note_running(writer, name)

    def stop(self, errand: Stop) -> None:
        """Stop a party's sides of an attempt that ended badly."""
        name = attempt_name(errand)
        with self._database.read() as connection:
            state = connection.execute(select(attempt.c.state).where(*match(attempt, name))).scalar_one()
        order = StopOrder(job=errand.job, task=errand.task, attempt=errand.attempt, state=AttemptState(state))
        self._caller.ask(errand.party, Method.STOP, order, Ack, START_S)
        self._absence.clear(errand.job, errand.party)
        with self._database.write() as writer:
            self.note_stopped(writer, errand)

    def note_stopped(self, writer: Writer, errand: Stop) -> None:
        """The party's sides are over."""
        name = attempt_name(errand)
        for address in _addresses(writer, name, errand.party):
            place = side_name(errand.job, errand.task, errand.attempt, address)
            bring_side(writer, place, AttemptState.CANCELLED)
        writer.run(update(side).where(*match(side, name), side.c.party == errand.party).values(stopped=True))

    def publish(self, errand: Publish) -> None:
        """Make a party's outputs visible; note where they are."""
        name = attempt_name(errand)
        reply = self._caller.ask(errand.party, Method.PUBLISH, order_of(errand), Published, PUBLISH_S)
        self._absence.clear(errand.job, errand.party)
        with self._database.write() as writer:
            for item in reply.outputs:
                writer.put(output, {"job": errand.job, "task": errand.task, **item.model_dump()})
            writer.run(update(side).where(*match(side, name), side.c.party == errand.party).values(published=True))
            writer.event("task.published", errand.job, place=(errand.task, errand.attempt, errand.party))

    def give_up(self, errand: Reserve | Start, error: ErrorView, *, counted: bool) -> None:
        """End an attempt that cannot be started; one whose room had expired does not use up a retry."""
        name = attempt_name(errand)
        how = AttemptEvent.FAILED if counted else AttemptEvent.CANCELLED
        with self._database.write() as writer:
            seen = writer.run(select(attempt.c.state).where(*match(attempt, name))).scalar_one()
            columns = {**error_columns(error), "counted": counted}
            move_attempt(writer, name, AttemptState(seen), how, **columns)

    def _ask_room(self, party: str, errand: Reserve) -> str:
        order = ReserveOrder(job=errand.job, task=errand.task, attempt=errand.attempt, lease_s=LEASE_S)
        reply = self._caller.ask(party, Method.RESERVE, order, Reserved, RESERVE_S)
        self._absence.clear(errand.job, party)
        return "" if reply.reserved else (reply.reason or "no room")

    def _give_back(self, parties: list[str], errand: Reserve) -> None:
        for party in parties:
            try:
                self._caller.ask(party, Method.GIVE_BACK, order_of(errand), Ack, RESERVE_S)
            except PlatformError as error:  # its lease ends by itself
                self._log.info("room.not_given_back", job=errand.job, party=party, code=error.code)

    def _note_wait(self, name: AttemptId, text: str) -> None:
        with self._database.write() as writer:
            where = match(attempt, name)
            began = writer.now_ms if text else None
            since = attempt.c.waits_ms.is_(None) if text else attempt.c.waits_ms.is_not(None)
            writer.run(update(attempt).where(*where, since).values(waits_ms=began))
            if writer.run(update(attempt).where(*where, attempt.c.waits != text).values(waits=text)).rowcount and text:
                writer.event("attempt.waits", name.job, place=(name.task, name.attempt, ""), body={"for": text})

    def _note_reserved(self, name: AttemptId, addresses: list[str]) -> None:
        with self._database.write() as writer:
            changes = {"waits": "", "waits_ms": None}
            move_attempt(writer, name, AttemptState.PENDING, AttemptEvent.RESERVED, **changes)
            for address in addresses:
                bring_side(writer, side_name(name.job, name.task, name.attempt, address), AttemptState.RESERVED)


def attempt_name(errand: Reserve | Start | Stop | Publish) -> AttemptId:
    """The attempt that an errand is about."""
    return AttemptId(JobId(errand.job), TaskName(errand.task), errand.attempt)


def order_of(errand: Reserve | Start | Stop | Publish) -> AttemptOrder:
    """The attempt that an errand is about, as an order."""
    return AttemptOrder(job=errand.job, task=errand.task, attempt=errand.attempt)


def match(table: Any, name: AttemptId) -> list[Any]:
    """The condition that finds an attempt's rows."""
    return [table.c[key] == value for key, value in attempt_key(name).items()]


def _addresses(writer: Writer, name: AttemptId, party: str) -> list[str]:
    found = writer.run(select(side.c.address).where(*match(side, name), side.c.party == party))
    return [row.address for row in found]


def _jitter() -> float:
    return JITTER.uniform(0.3, 1.0)  # so that two jobs part ways
