"""The initiator's calls about one attempt: reserve, start, stop."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable

from flow.coordinator.absence import Absence
from flow.coordinator.apply_plan import PlanApplier, note_running
from flow.coordinator.plan import Publish, Reserve, Start, Stop
from flow.errors import Moved
from flow.job.states import AttemptEvent, AttemptState, JobState
from flow.pauses import Pauses
from flow.protocol.messages import (
    Ack,
    AttemptOrder,
    KeptSteps,
    Method,
    Reserved,
    ReserveOrder,
    StopOrder,
)
from flow.protocol.resuming import CommonStep, StartOrder, Stopped
from flow.rooms.peer_calls import PeerCalls
from flow.scheduler import JITTER
from flow.store.database import Database
from flow.store.job_cache import Key
from flow.store.tables import attempt, side
from flow.store.transitions import beginning_of, bring, error_columns, move_attempt
from flow.store.writer import Writer
from flow.views.jobs import ErrorView
from party.ids import AttemptId, JobId, TaskName
from runtime.clock import now_ms
from runtime.errors import PlatformError, Unavailable
from runtime.log import get_logger

LEASE_S = 60.0
RESERVE_S = 20.0
START_S = 60.0


class AttemptCalls:
    """One method an action; each returns when the parties have answered and the store knows it."""

    def __init__(
        self,
        database: Database,
        peers: PeerCalls,
        absence: Absence,
        applier: PlanApplier,
        pauses: Pauses,
        ahead: Callable[[Reserve], int],
    ) -> None:
        """Store its parts; `ahead` says how many of our attempts ask for room before one."""
        self._database = database
        self._peers = peers
        self._absence = absence
        self._applier = applier
        self._pauses = pauses
        self._ahead = ahead
        self._held_since: dict[Reserve, float] = {}  # of what got room at some parties, by the monotonic clock
        self._log = get_logger("flow")

    def reserve(self, action: Reserve) -> float | None:
        """Get room at every party, in id order; give everything back at the first no.

        It is not given back at once, since parties are freed of one job at different moments; and what waited for long
        keeps what it got until it has the rest, so that nobody goes ahead at one party while it waits at the next. As
        all ask in the same order, no two can wait for each other.

        Returns:
            Seconds until it should be tried again, or None once there is room.
        """
        attempt_id = attempt_of(action)
        stored = self._database.rows(action.job)
        rows = stored.of(side, action.task, action.attempt)
        if stored.one(attempt, action.task, action.attempt).state != AttemptState.PENDING:
            return None  # it was hurried while it got room
        held: list[str] = []
        for party in sorted({row.party for row in rows}):
            try:
                refusal = self._ask_room(party, action)
            except Unavailable as error:
                self._give_back(held, action)
                self._absence.note(action.job, party, error)
                self._note_wait(attempt_id, "")
                return self._room_pause(action)
            except PlatformError:
                self._give_back(held, action)
                raise
            if refusal:
                waited_s = self._note_wait(attempt_id, f"{party}: {refusal}")
                return self._hold(held, action, waited_s)
            held.append(party)
        self._held_since.pop(action, None)
        try:
            self._note_reserved(attempt_id, [row.address for row in rows])
        except PlatformError:
            self._give_back(held, action)
            raise
        return None

    def start(self, action: Start) -> None:
        """Start a party's sides."""
        attempt_id = attempt_of(action)
        began = beginning_of(self._database.rows(action.job), action)
        point = CommonStep(attempt=began.attempt, step=began.step) if began is not None else None
        order = StartOrder(job=action.job, task=action.task, attempt=action.attempt, goes_on=point)
        self._peers.ask(action.party, Method.START, order, Ack, START_S)
        self._absence.clear(action.job, action.party)
        with self._applier.write(action.job) as writer:
            if writer.rows(action.job).job.state != JobState.PAUSED:  # else it is told to park them
                bring(writer, side, attempt_id, _addresses(writer, attempt_id, action.party), AttemptState.RUNNING)
                note_running(writer, attempt_id)

    def stop(self, action: Stop) -> None:
        """Stop a party's sides of an attempt that ended badly."""
        state = self._database.rows(action.job).one(attempt, action.task, action.attempt).state
        order = StopOrder(job=action.job, task=action.task, attempt=action.attempt, state=AttemptState(state))
        reply = self._peers.ask(action.party, Method.STOP, order, Stopped, START_S)
        self._absence.clear(action.job, action.party)
        self.note_stopped(action, reply.checkpoints)

    def note_stopped(self, action: Stop, kept: Iterable[KeptSteps] = ()) -> None:
        """The party's sides are over; `kept` is what they hold."""
        attempt_id = attempt_of(action)
        with self._applier.write(action.job) as writer:
            addresses = _addresses(writer, attempt_id, action.party)
            bring(writer, side, attempt_id, addresses, AttemptState.CANCELLED)
            _put_kept(writer, attempt_id, addresses, kept)

    def give_up(self, action: Reserve | Start, error: ErrorView, *, counted: bool) -> None:
        """End an attempt that cannot be started; one whose room had expired does not use up a retry."""
        attempt_id = attempt_of(action)
        how = AttemptEvent.FAILED if counted else AttemptEvent.CANCELLED
        with self._applier.write(action.job) as writer:
            _refuse_paused(writer, action.job)
            seen = writer.rows(attempt_id.job).one(attempt, attempt_id.task, attempt_id.attempt).state
            columns = {**error_columns(error), "counted": counted}
            move_attempt(writer, attempt_id, AttemptState(seen), how, **columns)

    def _ask_room(self, party: str, action: Reserve) -> str:
        order = ReserveOrder(job=action.job, task=action.task, attempt=action.attempt, lease_s=LEASE_S)
        reply = self._peers.ask(party, Method.RESERVE, order, Reserved, RESERVE_S)
        self._absence.clear(action.job, party)
        return "" if reply.reserved else (reply.reason or "no room")

    def _give_back(self, parties: list[str], action: Reserve) -> None:
        for party in parties:
            try:
                self._peers.ask(party, Method.GIVE_BACK, order_of(action), Ack, RESERVE_S)
            except PlatformError as error:  # its lease ends by itself
                self._log.info("room.not_given_back", job=action.job, party=party, code=error.code)

    def _hold(self, held: list[str], action: Reserve, waited_s: float) -> float:
        """Keep what was got for now, or give it back; seconds until room is asked for again."""
        now = time.monotonic()
        if held and now - self._held_since.setdefault(action, now) < self._pauses.hold_s:
            return self._pauses.first_s
        self._held_since.pop(action, None)
        if waited_s < self._pauses.patience_s:
            self._give_back(held, action)
        return self._room_pause(action)

    def _room_pause(self, action: Reserve) -> float:
        return self._pauses.longest_room_s(self._ahead(action)) * JITTER.uniform(0.3, 1.0)  # so that two jobs part ways

    def _note_wait(self, attempt_id: AttemptId, text: str) -> float:
        """What it waits for now; for how many seconds it has waited for room."""
        key = (attempt_id.task, attempt_id.attempt)
        row = self._database.rows(attempt_id.job).one(attempt, *key)
        if text != row.waits:
            with self._database.write() as writer:
                row = writer.rows(attempt_id.job).one(attempt, *key)
                changes = {"waits": text, "waits_ms": (row.waits_ms or writer.now_ms) if text else None}
                writer.change(attempt, attempt_id.job, [key], changes)
                if text:
                    writer.event("attempt.waits", attempt_id.job, place=(*key, ""), body={"for": text})
        return (now_ms(self._database.clock) - row.waits_ms) / 1000 if text and row.waits_ms else 0.0

    def _note_reserved(self, attempt_id: AttemptId, addresses: list[str]) -> None:
        with self._applier.write(attempt_id.job) as writer:
            _refuse_paused(writer, attempt_id.job)
            changes = {"waits": "", "waits_ms": None}
            move_attempt(writer, attempt_id, AttemptState.PENDING, AttemptEvent.RESERVED, **changes)
            bring(writer, side, attempt_id, addresses, AttemptState.RESERVED)
            sides = writer.rows(attempt_id.job).of(side, attempt_id.task, attempt_id.attempt)
            if any(row.state != AttemptState.RESERVED for row in sides):  # of one that was paused
                note_running(writer, attempt_id)


def attempt_of(action: Reserve | Start | Stop | Publish) -> AttemptId:
    """The attempt that an action is about."""
    return AttemptId(JobId(action.job), TaskName(action.task), action.attempt)


def order_of(action: Reserve | Start | Stop | Publish) -> AttemptOrder:
    """The attempt that an action is about, as an order."""
    return AttemptOrder(job=action.job, task=action.task, attempt=action.attempt)


def _refuse_paused(writer: Writer, job_id: str) -> None:
    """Raise Moved: what was asked for before the job was paused is no longer wanted."""
    if writer.rows(job_id).job.state == JobState.PAUSED:
        raise Moved(f"Job {job_id} was paused meanwhile.")


def _put_kept(writer: Writer, attempt_id: AttemptId, addresses: Iterable[str], told: Iterable[KeptSteps]) -> None:
    """Write down what was told when sides were stopped: of these addresses, of attempts of this task until then."""
    by_address: dict[str, dict[int, tuple[int, ...]]] = {address: {} for address in addresses}
    for kept in told:
        of_task = (kept.job, kept.task) == (attempt_id.job, attempt_id.task)
        if of_task and kept.attempt <= attempt_id.attempt and kept.address in by_address:
            by_address[kept.address][kept.attempt] = kept.steps
    for address, steps in by_address.items():
        key = (attempt_id.task, attempt_id.attempt, address)
        writer.change(side, attempt_id.job, [key], {"stopped": True, "kept": json.dumps(steps)})


def _addresses(writer: Writer, attempt_id: AttemptId, party: str) -> list[str]:
    rows = writer.rows(attempt_id.job).of(side, attempt_id.task, attempt_id.attempt)
    return [row.address for row in rows if row.party == party]


def _keys(attempt_id: AttemptId, addresses: list[str]) -> list[Key]:
    return [(attempt_id.task, attempt_id.attempt, address) for address in addresses]
