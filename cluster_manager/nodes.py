"""The nodes of a party as its Cluster Manager hears them: one thread a node listens to its heartbeats."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from cluster_manager.reservations import ClusterStore
from node_manager.client import NOTHING, NodeClient, NodeStatus, UnknownWireVersion
from runtime.errors import PlatformError
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
    heard_at: float = 0.0  # negative where the line has broken since
    last_heard_at: float = 0.0  # whatever came since; of one that was never heard, when we began to listen
    lock: threading.Lock = field(default_factory=threading.Lock)  # to leave it word, or to hear that it is back
    closed: threading.Event = field(default_factory=threading.Event)

    def silent(self, now: float) -> bool:
        """Whether it has not been heard from lately."""
        return self.status is None or self.heard_at < 0 or now - self.heard_at > SILENT_S

    def state(self, now: float, gone_s: float) -> str:
        """Up, silent, or gone: silent for so long that its work is done elsewhere."""
        if not self.silent(now):
            return "up"
        return "gone" if now - self.last_heard_at > gone_s else "silent"


class Members:
    """All nodes, watched from `begin` on.

    `back(member)` is called before one that was silent counts as up again: it tells what the node has missed, and says
    whether that was anything. It may raise as calls of the node do.
    """

    def __init__(
        self,
        nodes: Iterable[str],
        store: ClusterStore,
        gone_s: float,
        back: Callable[[Member], bool],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._gone_s = gone_s
        self._back = back
        self._monotonic = monotonic
        begun = monotonic()
        self._members = {address: Member(address, NodeClient(address), last_heard_at=begun) for address in nodes}
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
                    "state": member.state(now, self._gone_s),
                    "reserved_cores": amount.cores,
                    "reserved_memory_bytes": amount.memory_bytes,
                    "reserved_gpus": amount.gpus,
                }
                found.append(member.status.model_copy(update=changes))
        return sorted(found, key=lambda status: status.node)

    def silent(self, member: Member) -> bool:
        """Whether a node has not been heard from lately."""
        return member.silent(self._monotonic())

    def gone(self, member: Member) -> bool:
        """Whether a node has been silent for so long that its work is done elsewhere."""
        return member.state(self._monotonic(), self._gone_s) == "gone"

    def close(self) -> None:
        """Watch nothing any more."""
        for member in self.all():
            member.closed.set()
            member.client.close()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(5)

    def _follow(self, member: Member) -> None:
        pause_s = FIRST_PAUSE_S
        while not member.closed.is_set():
            try:
                self._read(member)
            except (UnknownWireVersion, ValueError) as problem:  # of another release
                _log.error("Node not understood, trying again", node=member.address, reason=str(problem))
                member.closed.wait(LAST_PAUSE_S)
            except PlatformError as problem:
                if member.status is not None and pause_s == FIRST_PAUSE_S:
                    _log.warning("Node not reached", node=member.address, reason=problem.message)
                fresh = self._monotonic() - member.heard_at < LAST_PAUSE_S
                member.heard_at = -SILENT_S
                pause_s = FIRST_PAUSE_S if fresh else min(pause_s * 2, LAST_PAUSE_S)
                member.closed.wait(pause_s)

    def _read(self, member: Member) -> None:
        for status in member.client.watch():
            with member.lock:
                if member.silent(self._monotonic()) and self._back(member):
                    return  # it is asked anew: this it said before it was told
                if member.status is None and (adopted := self._store.adopt(member.address, status.held)):
                    _log.warning("Reservations made again of what runs", node=member.address, reservations=adopted)
                member.status = status
                member.heard_at = member.last_heard_at = self._monotonic()
            if member.closed.is_set():
                return
