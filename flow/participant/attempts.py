"""This party's side of attempts: hold room, start executors, stop them, publish what they made.

Every handler may be called again at any time: it looks at what is recorded, does what is missing, and says the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Row

from cluster_manager.client import NoRoom, ReservationExpired
from flow.bindings import BoundTask
from flow.coordinator.facts import Catalogue
from flow.coordinator.moves import side_name
from flow.doors import Rooms
from flow.errors import BadMessage, StartedTooLate, TooManyAttempts, UnknownJob
from flow.job_state import AttemptEvent, AttemptState, JobState
from flow.messages import Ack, AttemptOrder, Manifest, Published, Reserved, ReserveOrder, StopOrder
from flow.orders import Launch, order_for, resources_for
from flow.participant.running import run_state
from flow.participant.turns import Turns
from flow.plan import most_attempts
from flow.store.database import Database
from flow.store.moves import mirror_attempt, mirror_job, move_executor
from flow.store.parts import (
    LEFT,
    cancel_executors,
    executors,
    part_led_by,
    part_manifest,
    put_reserved,
    refuse_left,
    state_of,
)  # fmt: skip
from flow.store.tables import output
from party.ids import Address, AttemptId, JobId, TaskName


class Attempts:
    """Carries out the initiator's orders about attempts."""

    def __init__(
        self,
        party: str,
        database: Database,
        catalogue: Catalogue,
        rooms: Rooms,
        turns: Turns,
        require_allowed: Callable[[Manifest, str], None],
    ) -> None:
        self._party = party
        self._database = database
        self._catalogue = catalogue
        self._gateway, self._cluster, self._store = rooms.gateway, rooms.cluster, rooms.store
        self._places = (rooms.executor_door, rooms.store_uri)
        self._turns = turns
        self._require_allowed = require_allowed

    def reserve(self, order: ReserveOrder, caller: str) -> Reserved:
        """Hold room for all our addresses, or for none."""
        with self._turns.of(order.job):
            task, _ = self._open_task(order, caller)
            name = _name(order)
            with self._database.read() as connection:
                rows = {row.address: row for row in executors(connection, order.job, order.task, order.attempt)}
            held: list[tuple[Address, str, str]] = []
            for address in self._mine(task):
                row = rows.get(str(address))
                if row is not None and row.state not in (AttemptState.PENDING, AttemptState.RESERVED):
                    continue  # was started already
                try:
                    room = self._cluster.reserve(name, str(address), resources_for(task, address), order.lease_s)
                except NoRoom as error:
                    self._release(held)
                    return Reserved(reserved=False, reason=f"{error.message} {error.hint}".rstrip())
                held.append((address, room.id, room.node))
            with self._database.write() as writer:
                until_ms = writer.now_ms + int(order.lease_s * 1000)
                for address, room_id, node in held:
                    place = side_name(order.job, order.task, order.attempt, str(address))
                    put_reserved(writer, place, room_id, node, until_ms)
                if caller != self._party:
                    mirror_attempt(writer, name, AttemptState.RESERVED)
            return Reserved(reserved=True)

    def give_back(self, order: AttemptOrder, caller: str) -> Ack:
        """Return held room; what was started stays."""
        with self._turns.of(order.job):
            if self._known(order.job, caller).state in LEFT:
                return Ack()  # it was given back when we left
            self._open_task(order, caller)
            for row in self._rows(order):
                if row.state == AttemptState.RESERVED:
                    self._cluster.release(row.reservation)
                    with self._database.write() as writer:
                        place = side_name(order.job, order.task, order.attempt, row.address)
                        columns = {"reservation": "", "node": ""}
                        move_executor(writer, place, AttemptState.RESERVED, AttemptEvent.GIVEN_BACK, **columns)
                        if caller != self._party:
                            mirror_attempt(writer, _name(order), AttemptState.PENDING)
            return Ack()

    def start(self, order: AttemptOrder, caller: str) -> Ack:
        """Start our executors in the room held for them. Raises StartedTooLate; PolicyForbids if policies changed."""
        with self._turns.of(order.job):
            task, manifest = self._open_task(order, caller)
            rows = {row.address: row for row in self._rows(order)}
            if any(row.state == AttemptState.RESERVED for row in rows.values()):
                self._require_allowed(manifest, order.task)
            for address in self._mine(task):
                row = rows.get(str(address))
                if row is None or row.state in (AttemptState.PENDING, AttemptState.CANCELLED):
                    raise StartedTooLate(f"{self._party} holds no room for {_name(order)}.")
                if row.state == AttemptState.RESERVED:
                    self._launch(order, task, manifest, row)
            if caller != self._party:
                with self._database.write() as writer:
                    mirror_attempt(writer, _name(order), AttemptState.RUNNING)
                    mirror_job(writer, order.job, JobState.RUNNING)
            return Ack()

    def stop(self, order: StopOrder, caller: str) -> Ack:
        """End our executors of an attempt, give their room back, drop what they staged."""
        with self._turns.of(order.job):
            if self._known(order.job, caller).state in LEFT:
                return Ack()  # it was ended when we left
            name = _name(order)
            rows = self._rows(order)
            with self._database.write() as writer:  # first, so that their end is not taken for a loss
                cancel_executors(writer, order.job, name)
                if caller != self._party and rows:
                    mirror_attempt(writer, name, order.state)
            if rows:
                self._cluster.stop(order.job, order.task, order.attempt)
                self._release((None, row.reservation, "") for row in rows if row.reservation)
            self._store.discard(name)
            return Ack()

    def publish(self, order: AttemptOrder, caller: str) -> Published:
        """Make what our executors staged visible."""
        with self._turns.of(order.job):
            task, _ = self._open_task(order, caller)
            kinds = {name: str(port.kind) for name, port in task.component.outputs.items()}
            declared = {str(a): {name: kinds[name] for name in task.sides[a].outputs} for a in self._mine(task)}
            outputs = tuple(self._store.publish(_name(order), declared))
            with self._database.write() as writer:
                for item in outputs:
                    writer.put(output, {"job": order.job, "task": order.task, **item.model_dump()})
                if caller != self._party:
                    mirror_attempt(writer, _name(order), AttemptState.SUCCEEDED)
                    writer.event("task.published", order.job, place=(order.task, order.attempt, self._party))
            return Published(outputs=outputs)

    def _launch(self, order: AttemptOrder, task: BoundTask, manifest: Manifest, row: Row[Any]) -> None:
        address = Address.parse(row.address)
        token = self._gateway.issue_token(order.job, order.task, order.attempt, row.address, row.incarnation)
        gateway, store = self._places
        launch = Launch(gateway=gateway, store=store, token=token, incarnation=row.incarnation)
        try:
            self._cluster.start(row.reservation, order_for(manifest, task, address, _name(order), launch))
        except ReservationExpired as error:
            raise StartedTooLate(f"{self._party}: {error.message}", hint=error.hint) from None
        place = side_name(order.job, order.task, order.attempt, row.address)
        with self._database.write() as writer:
            run_state(writer, place, state_of(writer, place), AttemptState.RUNNING)

    # -- what is there -----------------------------------------------------------------------------------------------
    def _open_task(self, order: AttemptOrder, caller: str) -> tuple[BoundTask, Manifest]:
        row = self._known(order.job, caller)
        refuse_left(row, self._party)
        if row.state != "open":
            raise UnknownJob(f"Job {order.job} is not open at {self._party}; it is {row.state}.")
        manifest = part_manifest(row)
        known = self._catalogue.of_proposal(manifest.proposal)
        if order.task not in known.tasks:
            raise BadMessage(f"Job {order.job} has no task '{order.task[:80]}'.")
        most = most_attempts(known.spec.settings.retries)
        if order.attempt > most:
            raise TooManyAttempts(f"Job {order.job} allows {most} attempts of a task, not {order.attempt}.")
        return known.tasks[order.task], manifest

    def _known(self, name: str, caller: str) -> Row[Any]:
        with self._database.read() as connection:
            return part_led_by(connection, name, caller)

    def _rows(self, order: AttemptOrder) -> list[Row[Any]]:
        with self._database.read() as connection:
            return executors(connection, order.job, order.task, order.attempt)

    def _mine(self, task: BoundTask) -> list[Address]:
        return [address for address in task.addresses if address.party == self._party]

    def _release(self, held: Iterable[tuple[object, str, str]]) -> None:
        for _, reservation, _ in held:
            self._cluster.release(reservation)


def _name(order: AttemptOrder) -> AttemptId:
    return AttemptId(JobId(order.job), TaskName(order.task), order.attempt)
