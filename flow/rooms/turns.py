"""Where a job stands in this party's queue for room. Pure.

What its initiator wishes is bounded by our policy, and how long it waits is told by our own clock alone: no other party
can put a job before those that we have known for longer.
"""

from __future__ import annotations

from cluster_manager.client import Turn
from party.settings import PolicySettings


def turn_of(party: str, policy: PolicySettings, *, initiator: str, user: str, wish: int, since_ms: int) -> Turn:
    """The turn of a job's attempts at `party`.

    Args:
        party: Ours.
        policy: What we agree to.
        initiator: Who leads the job.
        user: Its user there.
        wish: The `settings.priority` of the job.
        since_ms: When it was submitted here, or proposed to us.
    """
    if initiator == party:
        return Turn(wish, since_ms, user, policy.max_running_jobs_per_user)
    return Turn(min(wish, policy.max_priority), since_ms, initiator, policy.max_running_jobs_per_peer)
