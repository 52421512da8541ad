from __future__ import annotations

import pytest

from cluster_manager.placement import fit_now
from node_manager.client import NodeStatus, Resources


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
