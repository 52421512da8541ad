"""The nodes of a party as its Cluster Manager hears them: one thread a node listens to its heartbeats."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from cluster_manager.reservations import ClusterStore
from node_manager.client import NOTHING, NodeClient, NodeStatus, NodeUnavailable, UnknownWireVersion
from runtime.log import get_logger

SILENT_S = 6.0
FIRST_PAUSE_S = 0.05
LAST_PAUSE_S = 2.0
_log = get_logger("cluster_manager")


@dataclass(eq=False)
class Member:
    """One node: its address, its door, what it said last."""

    address: str
    client: NodeClient
    status: NodeStatus | None = None
    heard_at: float = 0.0
    gone: threading.Event = field(default_factory=threading.Event)

    def silent(self, now: float) -> bool:
        """Whether it has not been heard from lately."""
        return self.status is None or self.heard_at < 0 or now - self.heard_at > SILENT_S


class Members:
    """All nodes, watched from `begin` on."""

    def __init__(
        self, nodes: Iterable[str], store: ClusterStore, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._monotonic = monotonic
        self._members = {address: Member(address, NodeClient(address)) for address in nodes}
        self._threads = [
            threading.Thread(target=self._follow, args=(member,), name=f"node {member.address}", daemon=True)
            for member in self.all()
        ]

    def begin(self) -> None:
        """Begin to watch."""
        for thread in self._threads:
            thread.start()

    def all(self) -> list[Member]:
        """Every node."""
        return list(self._members.values())

    def at(self, address: str) -> Member | None:
        """The node at this address."""
        return self._members.get(address)

    def statuses(self) -> list[NodeStatus]:
        """What each node said last, marked as silent where that is long ago, with what is reserved on it."""
        now = self._monotonic()
        reserved = self._store.reserved()
        found = []
        for member in self.all():
            if member.status is not None:
                amount = reserved.get(member.address, NOTHING)
                changes = {
                    "state": "silent" if member.silent(now) else "up",
                    "reserved_cores": amount.cores,
                    "reserved_memory_bytes": amount.memory_bytes,
                    "reserved_gpus": amount.gpus,
                }
                found.append(member.status.model_copy(update=changes))
        return sorted(found, key=lambda status: status.node)

    def close(self) -> None:
        """Watch nothing any more."""
        for member in self.all():
            member.gone.set()
            member.client.close()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(5)

    def _follow(self, member: Member) -> None:
        pause_s = FIRST_PAUSE_S
        while not member.gone.is_set():
            try:
                self._read(member)
            except NodeUnavailable as problem:
                if member.status is not None and pause_s == FIRST_PAUSE_S:
                    _log.warning("Node not reached", node=member.address, reason=problem.message)
                fresh = self._monotonic() - member.heard_at < LAST_PAUSE_S
                member.heard_at = -SILENT_S
                pause_s = FIRST_PAUSE_S if fresh else min(pause_s * 2, LAST_PAUSE_S)
                member.gone.wait(pause_s)
            except (UnknownWireVersion, ValueError) as problem:  # of another release
                _log.error("Node not understood, trying again", node=member.address, reason=str(problem))
                member.gone.wait(LAST_PAUSE_S)

    def _read(self, member: Member) -> None:
        for status in member.client.watch():
            if member.status is None and (adopted := self._store.adopt(member.address, status.held)):
                _log.warning("Reservations made again of what runs", node=member.address, reservations=adopted)
            member.status = status
            member.heard_at = self._monotonic()
            if member.gone.is_set():
                return
