"""Parties in one process whose room is given out by real Cluster Managers, each over a host that is only said to be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from cluster_manager.client import NoCapacity, Place, Reservation, Turn
from cluster_manager.manager import ClusterManager
from node_manager.client import NodeStatus, Resources
from party.ids import AttemptId
from tests.fakes.flow_world import FakeCluster, World

HOST = "unix:/nowhere/node"


class QueueingCluster(FakeCluster):
    """Asks a Cluster Manager for room; executors do what the script says. `waited`: how often each job found none."""

    def __init__(self, database: Path, cores: int) -> None:
        super().__init__(cores)
        self.waited: Counter[str] = Counter()
        self.manager = ClusterManager(database, [HOST])
        (member,) = self.manager._members.all()
        member.status = NodeStatus(schema=1, node="node-1", cores=cores, memory_bytes=1 << 40, gpus=0)
        member.silent = lambda now: False  # type: ignore[method-assign]

    def reserve_all(
        self, attempt: AttemptId, sizes: Mapping[str, Resources], lease_s: float, turn: Turn
    ) -> dict[str, Reservation]:
        try:
            made = self.manager.reserve_all(attempt, sizes, lease_s, turn)
        except NoCapacity:
            self.waited[attempt.job] += 1
            raise
        self.rooms.update({one.id: (one, one.resources.cores) for one in made.values()})  # type: ignore[misc]
        return {address: Reservation(one.id, "node-1") for address, one in made.items()}

    def queue(self) -> list[Place]:
        return self.manager.queue()

    def release(self, reservation_id: str) -> None:
        super().release(reservation_id)
        self.manager.release(reservation_id)

    def end_job(self, job: str) -> None:
        super().end_job(job)
        self.manager._store.end_job(job)


def use_cluster_managers(world: World, folder: Path, cores: int) -> None:
    """Let every party of a world that is not up yet have one host of so many cores."""
    for name, party in world.parties.items():
        party.cluster = QueueingCluster(folder / f"{name}-cluster.sqlite", cores)
