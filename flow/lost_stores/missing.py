"""Executors that should run and of which their node knows nothing: its working folders and their logs were lost.

Nobody will ever tell how such an executor ended, so it counts as lost once its node has said for a while that it does
not run it, and nothing more of its log was recorded meanwhile: what has ended is told by its log, however long that is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from flow.job.states import AttemptState
from flow.participant.executor_events import EventReader
from flow.rooms.ports import ClusterPort
from flow.store.database import Database
from flow.store.tables import executor
from node_manager.client import Cause, EventKind, ExecutorEvent, NodeStatus
from runtime.log import get_logger

LOOK_EVERY_S = 3.0
MISSING_S = 15.0


class Missing:
    """Remembers since when which executors are missing."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, int], float] = {}  # by log and how far that is recorded

    def after(
        self, rows: Iterable[Any], nodes: Iterable[NodeStatus], places: Mapping[str, int], now: float
    ) -> list[ExecutorEvent]:
        """What is to be recorded of those that are lost.

        Args:
            rows: Our executors.
            nodes: What each node said last.
            places: The last sequence recorded, by event log.
            now: On a monotonic clock, in seconds.
        """
        running = _running(nodes)
        before, self._since = self._since, {}
        lost = []
        for row in rows:
            if row.state != AttemptState.RUNNING or row.restart_due or row.node not in running:
                continue
            event = _lost(row)
            if event.log in running[row.node]:
                continue
            place = places.get(event.log, 0)
            since = self._since[event.log, place] = before.get((event.log, place), now)
            if now - since >= MISSING_S:
                lost.append(event.model_copy(update={"sequence": place + 1}))
        return lost


def _running(nodes: Iterable[NodeStatus]) -> dict[str, set[str]]:
    """What runs, by name of a node that is up; nodes may share a name, and are up together."""
    running: dict[str, set[str]] = {}
    away = set()
    for status in nodes:
        running.setdefault(status.node, set()).update(status.executors)
        if status.state != "up":
            away.add(status.node)
    return {name: executors for name, executors in running.items() if name not in away}


def _lost(row: Any) -> ExecutorEvent:
    return ExecutorEvent(
        schema=1,
        job=row.job,
        task=row.task,
        attempt=row.attempt,
        address=row.address,
        incarnation=row.incarnation,
        sequence=1,
        at_ms=0,
        kind=EventKind.LOST,
        body={"cause": str(Cause.UNKNOWN), "text": "Its node knows nothing of it any more."},
    )


@dataclass(frozen=True)
class FindMissing:
    """Look for executors that are missing."""


class MissingExecutors:
    """Looks for them, and records their end."""

    def __init__(self, database: Database, cluster: ClusterPort, events: EventReader) -> None:
        self._database = database
        self._cluster = cluster
        self._events = events
        self._missing = Missing()
        self._log = get_logger("flow")

    def look(self, _key: FindMissing) -> float:
        """Record the end of those that are lost. Returns the seconds until the next look."""
        places = self._events.places
        running = select(executor).where(executor.c.state == AttemptState.RUNNING)
        with self._database.read() as connection:
            rows = connection.execute(running).all()
        nodes = self._cluster.nodes() if rows else ()
        lost = self._missing.after(rows, nodes, places, self._database.clock.monotonic())
        for event in lost:
            self._log.error("executor.missing", job=event.job, executor=event.log)
        self._events.take(lost)
        return LOOK_EVERY_S
