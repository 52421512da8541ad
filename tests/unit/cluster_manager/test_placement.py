from __future__ import annotations

import pytest

from cluster_manager.placement import Candidate, fit_now, fitting
from node_manager.client import NOTHING, NodeStatus, Resources


@pytest.mark.parametrize(
    ("wanted", "reserved", "state", "is_room"),
    [
        ((2,), (0, 0), "up", True),
        ((4, 4), (0, 0), "up", True),
        ((4, 4), (0, 1), "up", False),
        ((3, 3, 2), (0, 0), "up", False),  # eight cores are free, but not so
        ((4,), (0, 0), "silent", False),
        ((1,), (5, 5), "up", False),  # promised when the hosts were larger
    ],
)
def test_there_is_room_now_where_all_fit_at_once_beside_what_is_promised(
    wanted: tuple[int, ...], reserved: tuple[int, int], state: str, is_room: bool
) -> None:
    nodes = [
        NodeStatus(node=f"n{i}", cores=4, memory_bytes=1 << 40, gpus=0, state=state, reserved_cores=cores)
        for i, cores in enumerate(reserved)
    ]
    assert fit_now([Resources(cores=cores, memory_bytes=1, gpus=0) for cores in wanted], nodes) is is_room


@pytest.mark.parametrize(
    ("rooms", "free", "found"),
    [
        ({"a": 2, "b": 4}, (4,), ["b"]),  # the largest first, the other finds its room taken
        ({"a": 2, "b": 4}, (4, 2), ["b", "a"]),
        ({"a": 5, "b": 1}, (4,), ["b"]),
        ({"a": 1}, (), []),
    ],
)
def test_rooms_move_as_far_as_each_leaves_some_for_the_next(
    rooms: dict[str, int], free: tuple[int, ...], found: list[str]
) -> None:
    nodes = [Candidate(f"n{i}", f"n{i}", Resources(cores=cores), NOTHING) for i, cores in enumerate(free)]
    assert fitting({name: Resources(cores=cores) for name, cores in rooms.items()}, nodes) == found
