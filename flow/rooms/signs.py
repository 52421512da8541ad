"""What keeps a party's side of a running job from going on, as codes: found from the signs of its rooms. Pure.

A fact names nothing of the inside of its party: no host, no path, no user. Words are made where it is shown.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flow.job.states import AttemptState
from flow.views.stalls import MOST_FACTS, Fact
from node_manager.client import NodeStatus, log_name

FLEETING = frozenset(
    {"starting", "restart-waits", "cluster-down", "link-down"}
)  # often for a moment only: told where it lasts
QUIET_S = 30.0
_QUIET_TIMES = 3


@dataclass(frozen=True)
class Signs:
    """What a party's rooms show of themselves now.

    Attributes:
        nodes: Its hosts; None where the Cluster Manager does not answer.
        down: The parties to which the link does not work.
        card: Whether something is wrong with its own card.
        full: Whether a disk is full that its services write to.
    """

    nodes: Sequence[NodeStatus] | None = ()
    down: Collection[str] = ()
    card: bool = False
    full: bool = False


@dataclass(frozen=True)
class Pace:
    """How often a party's executors of a job tell news: when they last did, and the longest pause between two."""

    last_s: float
    longest_s: float = field(default=0.0)

    def heard(self, now_s: float) -> Pace:
        """After news; what was stalled is no pause of theirs."""
        gap = now_s - self.last_s
        return Pace(now_s, self.longest_s if self.quiet(now_s) else max(self.longest_s, gap))

    def quiet(self, now_s: float) -> bool:
        """Whether they are silent for longer than they ever were while they worked."""
        return now_s - self.last_s >= max(QUIET_S, _QUIET_TIMES * self.longest_s)


def facts_of(job: str, executors: Sequence[Any], parties: Collection[str], signs: Signs) -> list[Fact]:
    """What the running executors of a job wait for, by the signs of their party; `parties` are the others of the job.

    Args:
        job: Its id.
        executors: Rows of ours that are reserved or running.
        parties: The others of the job.
        signs: Of our rooms.
    """
    ours = {row.node for row in executors}
    full = signs.full or any(node.disk_full for node in signs.nodes or () if node.node in ours)
    found = [Fact(code=code) for code, holds in (("card-not-valid", signs.card), ("disk-full", full)) if holds]
    found += [Fact(code="link-down", peer=party) for party in sorted(set(signs.down) & set(parties))]
    if signs.nodes is None:
        return [*found, Fact(code="cluster-down")]
    known: dict[str, list[NodeStatus]] = {}
    for node in signs.nodes:
        known.setdefault(node.node, []).append(node)
    for row in executors:
        found += (Fact(code=code, task=row.task, address=row.address) for code in _of(job, row, known))
    return found[:MOST_FACTS]


def _of(job: str, row: Any, nodes: Mapping[str, list[NodeStatus]]) -> Iterator[str]:
    hosts = nodes.get(row.node, [])  # more than one where they share a name
    log = log_name(job, row.task, row.attempt, row.address, row.incarnation)
    if any(host.state in ("silent", "gone") for host in hosts):
        yield "node-silent"
    elif any(log in host.stopped for host in hosts):
        yield "executor-stopped"
    if row.restart_due or row.state == AttemptState.RESERVED:
        beginners = hosts or [host for some in nodes.values() for host in some]
        if any(one.parent_stopped for one in beginners):
            yield "starter-stopped"
        elif beginners and not any(one.warm for one in beginners):
            yield "starting"
        elif row.restart_due:
            yield "restart-waits"
