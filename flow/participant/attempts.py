"""This party's side of attempts: hold room, start executors, stop them, publish what they made.

Every handler may be called again at any time: it looks at what is recorded, does what is missing, and says the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from cluster_manager.client import NoCapacity, ReservationExpired, Turn
from flow.errors import BadMessage, CheckpointGone, StartedTooLate, TooManyAttempts, UnknownJob
from flow.job.binding import BoundTask
from flow.job.states import AttemptEvent, AttemptState, JobState, most_attempts
from flow.participant.job_locks import JobLocks
from flow.participant.launch import Launch, order_for, resources_for
from flow.protocol.messages import (
    Ack,
    AttemptOrder,
    KeptSteps,
    Published,
    Reserved,
    ReserveOrder,
    StopOrder,
)
from flow.protocol.resuming import CommonStep, StartOrder, Stopped
from flow.rooms.ports import Rooms
from flow.rooms.turns import turn_of
from flow.store.catalogue import Catalogue
from flow.store.database import Database
from flow.store.job_cache import JobRows, key_of
from flow.store.participations import LEFT, led_by, put_reserved, refuse_left
from flow.store.tables import executor, output
from flow.store.transitions import (
    beginning_of,
    bring,
    cancel_executors,
    mirror_attempt,
    mirror_job,
    move_each,
    put_beginning,
)
from party.ids import Address, AttemptId, JobId, TaskName
from party.settings import PolicySettings
from runtime.errors import PlatformError

HOLD_S = 30.0
MOST_LEASE_S = 120.0  # whatever the initiator asks for


class Attempts:
    """Carries out the initiator's orders about attempts."""

    def __init__(
        self,
        party: str,
        database: Database,
        catalogue: Catalogue,
        rooms: Rooms,
        locks: JobLocks,
        require_allowed: Callable[[JobRows, str], None],
        policy: Callable[[], PolicySettings],
    ) -> None:
        self._party = party
        self._database = database
        self._catalogue = catalogue
        self._gateway, self._cluster, self._store = rooms.gateway, rooms.cluster, rooms.store
        self._places = (rooms.executor_door, rooms.store_uri)
        self._locks = locks
        self._require_allowed = require_allowed
        self._policy = policy

    def reserve(self, order: ReserveOrder, caller: str) -> Reserved:
        """Hold room for all our addresses, or for none."""
        with self._locks.of(order.job):
            rows, task = self._open_task(order, caller)
            attempt_id = attempt_of(order)
            wanted, lease_s = {}, min(order.lease_s, MOST_LEASE_S)
            for address in map(str, self._mine(task)):
                row = rows.one(executor, order.task, order.attempt, address)
                if row is None or row.state in (AttemptState.PENDING, AttemptState.RESERVED):
                    wanted[address] = resources_for(task, Address.parse(address))  # the rest was started already
            try:
                rooms = self._cluster.reserve_all(attempt_id, wanted, lease_s, self._turn(rows))
            except NoCapacity as error:
                return Reserved(reserved=False, reason=f"{error.message} {error.hint}".rstrip())
            held = {address: {"reservation": room.id, "node": room.node} for address, room in rooms.items()}
            with self._database.write() as writer:
                until_ms = writer.now_ms + int(lease_s * 1000)
                put_reserved(
                    writer, attempt_id, {at: {**room, "lease_until_ms": until_ms} for at, room in held.items()}
                )
                if caller != self._party:
                    mirror_attempt(writer, attempt_id, AttemptState.RESERVED)
            return Reserved(reserved=True)

    def give_back(self, order: AttemptOrder, caller: str) -> Ack:
        """Return held room; what was started stays."""
        with self._locks.of(order.job):
            if led_by(self._database.rows(order.job), caller).part.state in LEFT:
                return Ack()  # it was given back when we left
            rows, _ = self._open_task(order, caller)
            attempt_id, given = attempt_of(order), AttemptEvent.GIVEN_BACK
            for row in rows.of(executor, order.task, order.attempt):
                if row.state == AttemptState.RESERVED:
                    self._cluster.release(row.reservation)
                    with self._database.write() as writer:
                        columns = {"reservation": "", "node": ""}
                        reserved = AttemptState.RESERVED
                        move_each(writer, executor, attempt_id, [row.address], reserved, [given], **columns)
                        if caller != self._party:
                            mirror_attempt(writer, attempt_id, AttemptState.PENDING)
            return Ack()

    def start(self, order: StartOrder, caller: str) -> Ack:
        """Start our executors in the room held for them.

        Raises:
            StartedTooLate: The room is not held any more.
            CheckpointGone: We do not hold what they are to go on from.
            PolicyForbids: Policies changed since we agreed.
        """
        with self._locks.of(order.job):
            rows, task = self._open_task(order, caller)
            ours = {row.address: row for row in rows.of(executor, order.task, order.attempt)}
            if any(row.state == AttemptState.RESERVED for row in ours.values()):
                self._require_allowed(rows, order.task)
                if order.goes_on is not None:
                    rows = self._take_beginning(rows, order, order.goes_on, self._mine(task))
            started: list[str] = []
            try:
                for address in self._mine(task):
                    row = ours.get(str(address))
                    if row is None or row.state in (AttemptState.PENDING, AttemptState.CANCELLED):
                        raise StartedTooLate(f"{self._party} holds no room for {attempt_of(order)}.")
                    if row.state == AttemptState.RESERVED:
                        self.launch(rows, row)
                        started.append(row.address)
            except PlatformError:
                self._note_started(order, started)
                raise
            self._note_started(order, started, mirror=caller != self._party)
            return Ack()

    def launch(self, rows: JobRows, row: Any) -> None:
        """Start an executor, as the incarnation in its row, in the room that is held for it. The lock is the caller's.

        Raises StartedTooLate, IncarnationOutdated, and what the Cluster Manager raises.
        """
        manifest, tasks = self._catalogue.agreed(rows)
        token = self._gateway.issue_token(row.job, row.task, row.attempt, row.address, row.incarnation)
        gateway, store = self._places
        resume = beginning_of(rows, row)
        launch = Launch(gateway=gateway, store=store, token=token, incarnation=row.incarnation, resume=resume)
        order = order_for(manifest, tasks[row.task], Address.parse(row.address), attempt_of(row), launch)
        try:
            self._cluster.start(row.reservation, order)
        except ReservationExpired as error:
            raise StartedTooLate(f"{self._party}: {error.message}", hint=error.hint) from None

    def hold(self, rows: JobRows, row: Any) -> Any:
        """Hold room for an executor once more; its row with it. Raises NoCapacity."""
        _, tasks = self._catalogue.agreed(rows)
        wanted = resources_for(tasks[row.task], Address.parse(row.address))
        room = self._cluster.reserve(attempt_of(row), row.address, wanted, HOLD_S)
        with self._database.write() as writer:
            changes = {"reservation": room.id, "node": room.node}
            writer.change(executor, row.job, [key_of(executor, row)], changes, row.state)
            return writer.rows(row.job).one(executor, *key_of(executor, row))

    def stop(self, order: StopOrder, caller: str) -> Stopped:
        """End our executors of an attempt, give their room back, drop what they staged; tell what they saved."""
        with self._locks.of(order.job):
            rows = led_by(self._database.rows(order.job), caller)
            if rows.part.state in LEFT:
                return Stopped()  # it was ended when we left
            attempt_id = attempt_of(order)
            ours = rows.of(executor, order.task, order.attempt)
            with self._database.write() as writer:  # first, so that their end is not taken for a loss
                cancel_executors(writer, order.job, order.task, order.attempt)
                if caller != self._party and ours:
                    mirror_attempt(writer, attempt_id, order.state)
            if ours:
                self._cluster.stop(order.job, order.task, order.attempt)
                self._release(row.reservation for row in ours if row.reservation)
            self._store.discard(attempt_id)
            return Stopped(checkpoints=tuple(self._kept(rows, order.task)))

    def publish(self, order: AttemptOrder, caller: str) -> Published:
        """Make what our executors staged visible."""
        with self._locks.of(order.job):
            _, task = self._open_task(order, caller)
            kinds = {name: str(port.kind) for name, port in task.component.outputs.items()}
            declared = {str(a): {name: kinds[name] for name in task.sides[a].outputs} for a in self._mine(task)}
            outputs = tuple(self._store.publish(attempt_of(order), declared))
            if caller != self._party:  # where we lead, the answer is written down
                with self._database.write() as writer:
                    for item in outputs:
                        writer.put(output, {"job": order.job, "task": order.task, **item.model_dump()})
                    mirror_attempt(writer, attempt_of(order), AttemptState.SUCCEEDED)
                    writer.event("task.published", order.job, place=(order.task, order.attempt, self._party))
            return Published(outputs=outputs)

    def _note_started(self, order: AttemptOrder, started: list[str], *, mirror: bool = False) -> None:
        if not started and not mirror:
            return
        with self._database.write() as writer:
            bring(writer, executor, attempt_of(order), started, AttemptState.RUNNING)
            if mirror:
                mirror_attempt(writer, attempt_of(order), AttemptState.RUNNING)
                mirror_job(writer, order.job, JobState.RUNNING)

    def _take_beginning(self, rows: JobRows, order: StartOrder, begin: CommonStep, ours: Iterable[Address]) -> JobRows:
        """Take over from where an attempt goes on, if all our addresses can."""
        for address in ours:
            held = self._store.held(order.job, order.task, address).get(begin.attempt, ())
            if begin.attempt >= order.attempt or begin.step not in held:
                raise CheckpointGone(
                    f"{self._party} has no checkpoint of {address} after step {begin.step} of attempt {begin.attempt}."
                )
        known = beginning_of(rows, order)
        if known is not None and (known.attempt, known.step) == (begin.attempt, begin.step):
            return rows  # where we lead, it is written down already
        with self._database.write() as writer:
            put_beginning(writer, attempt_of(order), begin.attempt, begin.step)
            return writer.rows(order.job)

    def _kept(self, rows: JobRows, task: str) -> Iterator[KeptSteps]:
        if rows.part.state != "open":
            return
        for address in sorted({row.address for row in rows.of(executor, task)}):
            for number, steps in self._store.held(rows.job_id, task, Address.parse(address)).items():
                yield KeptSteps(job=rows.job_id, task=task, attempt=number, address=address, steps=tuple(steps))

    # -- what is there -----------------------------------------------------------------------------------------------
    def _open_task(self, order: AttemptOrder, caller: str) -> tuple[JobRows, BoundTask]:
        rows = led_by(self._database.rows(order.job), caller)
        refuse_left(rows.part, self._party)
        if rows.part.state != "open":
            raise UnknownJob(f"Job {order.job} is not open at {self._party}; it is {rows.part.state}.")
        known = self._catalogue.of_job(rows)
        if order.task not in known.tasks:
            raise BadMessage(f"Job {order.job} has no task '{order.task[:80]}'.")
        most = most_attempts(known.spec.settings.retries)
        if order.attempt > most:
            raise TooManyAttempts(f"Job {order.job} allows {most} attempts of a task, not {order.attempt}.")
        return rows, known.tasks[order.task]

    def _turn(self, rows: JobRows) -> Turn:
        ours = rows.part.initiator == self._party
        return turn_of(
            self._party,
            self._policy(),
            initiator=rows.part.initiator,
            user=rows.job.user_name,
            wish=self._catalogue.of_job(rows).spec.settings.priority,
            since_ms=rows.job.submitted_ms if ours else rows.part.since_ms,
        )

    def _mine(self, task: BoundTask) -> list[Address]:
        return [address for address in task.addresses if address.party == self._party]

    def _release(self, reservations: Iterable[str]) -> None:
        for reservation in reservations:
            self._cluster.release(reservation)


def attempt_of(order: Any) -> AttemptId:
    """The attempt that an order or a row is about."""
    return AttemptId(JobId(order.job), TaskName(order.task), order.attempt)
