"""The queue as Flow is told of it: one document a place."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from cluster_manager.queue import Standing, Wait
from cluster_manager.reservations import StoredReservation
from node_manager.client import Resources


class Place(BaseModel):
    """An attempt that has room at this party, or waits for it.

    Attributes:
        state: Whether its executors were started, have room that is held for them, or wait for room.
        sizes, nodes: What each address has or wants; on which node it has it.
        since_ms: When the party first saw the job; only of one that waits.
        behind: The other jobs for which room is kept before it.
        why, help: Why it has no room now, and what would change that; empty if it only has to ask.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    state: Literal["started", "held", "waits"]
    job: str
    task: str
    attempt: int
    priority: int
    owner: str
    sizes: dict[str, Resources]
    nodes: dict[str, str] = {}
    since_ms: int | None = None
    behind: tuple[str, ...] = ()
    why: str = ""
    help: str = ""


def held_place(held: StoredReservation, node: str) -> Place:
    """What has room."""
    return Place(
        state="started" if held.started else "held",
        job=held.attempt.job,
        task=held.attempt.task,
        attempt=held.attempt.attempt,
        priority=held.priority,
        owner=held.owner,
        sizes={held.address: held.resources},
        nodes={held.address: node},
    )


def waiting_place(standing: Standing, what: dict[str, str] | Wait) -> Place:
    """What waits for room."""
    claim = standing.claim
    wait = what if isinstance(what, Wait) else Wait("")
    return Place(
        state="waits",
        job=claim.attempt.job,
        task=claim.attempt.task,
        attempt=claim.attempt.attempt,
        priority=claim.turn.priority,
        owner=claim.turn.owner,
        sizes=dict(claim.sizes),
        since_ms=claim.turn.since_ms,
        behind=standing.behind,
        why=wait.why,
        help=wait.help,
    )
