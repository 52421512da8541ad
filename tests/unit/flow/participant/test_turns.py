"""Where a job stands in a party's queue."""

from __future__ import annotations

import pytest

from cluster_manager.client import Turn
from flow.rooms.turns import turn_of
from party.settings import PolicySettings


@pytest.mark.parametrize(
    ("policy", "initiator", "wish", "turn"),
    [
        ({}, "a", 9, Turn(9, 7, "ann", 0)),  # our own people say how urgent their jobs are
        ({}, "b", 9, Turn(5, 7, "b", 0)),
        ({}, "b", 2, Turn(2, 7, "b", 0)),
        ({"max_priority": 8}, "b", 9, Turn(8, 7, "b", 0)),
        ({"max_priority": 0}, "b", 5, Turn(0, 7, "b", 0)),
        ({"max_running_jobs_per_peer": 2, "max_running_jobs_per_user": 3}, "b", 5, Turn(5, 7, "b", 2)),
        ({"max_running_jobs_per_peer": 2, "max_running_jobs_per_user": 3}, "a", 5, Turn(5, 7, "ann", 3)),
    ],
)
def test_a_wish_counts_as_far_as_the_policy_lets_it(policy, initiator, wish, turn):
    found = turn_of("a", PolicySettings(**policy), initiator=initiator, user="ann", wish=wish, since_ms=7)
    assert found == turn
