"""The ports of an algorithm's context over the real parts: the party's store, its gateway, the event log.

inputs    the tables and models that the order names, from the store
outputs   staged under the attempt; each is announced in the event log when it is whole
memory    sealed checkpoints in the store, the one of an earlier job among them; a sealed journal beside them
channel   the gateway's local door, with the order's token
compute   worker processes of the executor's own, as many as it has cores; they are there before anything is open

Where the store's disk has no room, what is written waits for it, and the party's people are told so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from algorithms.api.channel import Channel
from algorithms.api.component import Component
from algorithms.api.context import Context
from algorithms.compute.workers import Workers
from gateway.client import ExecutorWire
from node_manager.assignment import Assignment
from node_manager.errors import OrderRefused, StateLost
from node_manager.events import EventKind
from node_manager.executor.event_log import EventLog
from node_manager.executor.reach import JOURNALS
from node_manager.order import Order, ResumePoint
from party.ids import Address, AttemptId, JobId, TaskName
from runtime.disk.room import once_there_is_room
from storage.client import (
    Checkpoint,
    Damaged,
    Journal,
    Model,
    ModelNotFound,
    OutputRef,
    StagedOutputs,
    Store,
    StoreUnavailable,
    Table,
    TableRoles,
    Value,
    task_paths,
)

T = TypeVar("T")
OWN_SEED = "own-seed"  # drawn once per task, so that a later attempt draws alike; all else is of one attempt


def open_context(
    order: Order,
    component: Component,
    assignment: Assignment,
    compute: Workers,
    events: EventLog,
    closing: ExitStack,
) -> Context:
    """Everything that the role function may touch; `closing` lets go of it."""
    address = Address.parse(order.address)
    attempt = AttemptId(JobId(order.job), TaskName(order.task), order.attempt)
    key = bytes.fromhex(assignment.task_key)
    store = Store(order.store, key)
    wire = ExecutorWire(order.gateway, assignment.token)
    closing.callback(wire.close)
    memory = TaskMemory(
        SideCheckpoints(store, (attempt, address), order.resume, bytes.fromhex(assignment.earlier_key)),
        Journal(journal_path(order, assignment.folder), key),
        order.attempt,
        events,
        released=wire.checkpointed,
    )
    return Context(
        address=address,
        addresses=tuple(sorted(Address.parse(text) for text in order.addresses)),
        channel=Channel(wire, memory),
        inputs=StoreInputs(store, order, component, events),
        outputs=AnnouncedOutputs(store.staging.outputs(attempt, address), attempt, events),
        events=events,
        memory=memory,
        seed=bytes.fromhex(order.seed),
        cores=order.resources.cores,
        compute=compute,
        rows=order.told_rows(),
    )


def journal_path(order: Order, folder: Path) -> Path:
    """Beside the task's checkpoints; in the node's folder of the job where the store is not on this host."""
    address = Address.parse(order.address)
    name = f"{address.role}-{address.party}.journal"
    stored = task_paths.of_checkpoints(order.store, order.job, order.task)
    return stored[0] / name if stored else folder.parent / JOURNALS / f"{order.task}.{name}"


class StoreInputs:
    """Opens what the order names."""

    def __init__(self, store: Store, order: Order, component: Component, events: EventLog) -> None:
        self._events = events
        self._store = store
        self._order = order
        self._component = component

    def table(self, name: str) -> Table | None:
        """The table bound to the input, or None if the job leaves it out."""
        reference = self._reference(name, "table")
        if reference is None:
            return None
        table = self._store.tables.open(reference)
        size = f"{table.rows} rows, {len(table.manifest.columns)} columns"
        self._events.log("info", f"input {name}: {reference}, {size}")
        return table.as_input(self._order.job, self._order.task, name)

    def model(self, name: str) -> Model | None:
        """This role's part of the model if there is one, else the party's; None if the job leaves it out."""
        reference = self._reference(name, "model")
        if reference is None:
            return None
        try:
            model = self._store.models.load(reference, str(Address.parse(self._order.address).role))
        except ModelNotFound:
            model = self._store.models.load(reference)
        self._events.log("info", f"input {name}: {reference}, of kind {model.kind}")
        return model

    def _reference(self, name: str, kind: str) -> str | None:
        bound = self._order.inputs.get(name)
        if bound is None:
            return None
        if bound.kind != kind or name not in self._component.inputs:
            raise OrderRefused(f"inputs.{name} of {self._order.component} is bound to a {bound.kind}, not to a {kind}.")
        return bound.reference


class AnnouncedOutputs:
    """Staged outputs, each told in the event log once it is whole."""

    def __init__(self, staged: StagedOutputs, attempt: AttemptId, events: EventLog) -> None:
        self._staged = staged
        self._attempt = attempt
        self._events = events

    def save_table(self, name: str, rows: pa.Table, roles: TableRoles) -> None:
        """Stage a table. Raises as `TableRoles.check` does."""
        manifest = _patiently(lambda: self._staged.save_table(name, rows, roles), self._events)
        self._tell(name, "table", str(self._ref(name).table.at(1)), manifest.digest)

    def save_model(self, name: str, model: Model) -> None:
        """Stage this party's part of a model."""
        _patiently(lambda: self._staged.save_model(name, model), self._events)
        self._tell(name, "model", str(self._ref(name)), model.digest())

    def save_report(self, name: str, kind: str, schema: int, body: Mapping[str, object]) -> None:
        """Stage a JSON report."""
        _patiently(lambda: self._staged.save_report(name, kind, schema, body), self._events)
        self._tell(name, "report", str(self._ref(name)), "")

    def _ref(self, name: str) -> OutputRef:
        return OutputRef(self._attempt.job, self._attempt.task, name)

    def _tell(self, name: str, kind: str, reference: str, digest: str) -> None:
        self._events.write(EventKind.OUTPUT, name=name, kind=kind, reference=reference, digest=digest)
        self._events.log("info", f"output {name}: {kind} {reference}")


class SideCheckpoints:
    """The checkpoints of one address of an attempt, and the one of an earlier job that the attempt goes on from."""

    def __init__(
        self, store: Store, side: tuple[AttemptId, Address], resume: ResumePoint | None, earlier_key: bytes
    ) -> None:
        self._own = store.checkpoints()
        self._attempt, self._address = side
        self._resume = resume
        self._earlier = store.checkpoints(earlier_key)

    def save(self, step: int, parts: Mapping[str, Value]) -> None:
        """Store the state after `step`."""
        self._own.save(self._attempt, self._address, step, parts)

    def has_own(self) -> bool:
        """Whether there is one of this attempt."""
        return bool(self._own.steps(self._attempt, self._address))

    def latest(self) -> Checkpoint | None:
        """The newest of this attempt; before the first, the one it goes on from. Raises Damaged.

        What cannot be read is set aside, so that nobody is told of it any more.
        """
        own = self._own.latest(self._attempt, self._address)
        if own is not None or self._resume is None:
            return own
        earlier = AttemptId(JobId(self._resume.job), self._attempt.task, self._resume.attempt)
        try:
            return self._earlier.load(earlier, self._address, self._resume.step)
        except Damaged:
            with suppress(StoreUnavailable):  # those of another job we may only read
                self._earlier.set_aside(earlier, self._address, self._resume.step)
            raise


class TaskMemory:
    """What survives a restart of the executor. Whatever it has lost ends the attempt, as StateLost.

    Beside checkpoints there is always a journal: without what was drawn once, nothing can go on in the same attempt.
    """

    def __init__(
        self,
        checkpoints: SideCheckpoints,
        journal: Journal,
        attempt: int,
        events: EventLog,
        *,
        released: Callable[[], None],
    ) -> None:
        self._checkpoints = checkpoints
        self._journal = journal
        self._attempt = attempt
        self._events = events
        self._released = released
        if checkpoints.has_own() and not journal.exists():
            raise StateLost("The journal of this task is gone, whose checkpoints are there.")

    def checkpoint(self, step: int, parts: Mapping[str, Value]) -> None:
        """Store the state after `step`, then release the messages it covers. Raises StateLost."""
        with self._readable():
            _patiently(self._journal.keep, self._events)
        _patiently(lambda: self._checkpoints.save(step, parts), self._events)
        self._released()
        self._events.write(EventKind.CHECKPOINT, step=step)

    def latest(self) -> tuple[int, dict[str, Value]] | None:
        """The newest checkpoint of this attempt (or the one this attempt goes on from), or None. Raises StateLost."""
        try:
            found = self._checkpoints.latest()
        except Damaged as error:
            raise StateLost(f"No checkpoint of this task can be read: {error.message}") from error
        return None if found is None else (found.step, found.parts)

    def once(self, name: str, make: Callable[[], bytes]) -> bytes:
        """The bytes `make` returned the first time. Raises StateLost."""
        scope = "task" if name == OWN_SEED else f"attempt-{self._attempt}"
        made = cache(make)  # what was made is not made again where the disk had no room for it
        with self._readable():
            return _patiently(lambda: self._journal.once(f"{scope}/{name}", made), self._events)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except Damaged as error:
            self._journal.set_aside()
            raise StateLost(f"The journal of this task cannot be read: {error.message}") from error


def _patiently(write: Callable[[], T], events: EventLog) -> T:
    """What `write` returns once the disk has room for it."""

    def told(full: Exception) -> None:
        events.log("warning", f"{full} This executor waits for it.", insist=True)

    return once_there_is_room(write, told)
