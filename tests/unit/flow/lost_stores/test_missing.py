"""Which executors are lost because their node knows nothing of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from flow.job.states import AttemptState
from flow.lost_stores.missing import MISSING_S, Missing
from node_manager.client import NodeStatus

LOG = "01J00000000000000000000000/train-1-host-b-i2"


def _row(**changes: Any) -> Any:
    row = {
        "job": "01J00000000000000000000000", "task": "train", "attempt": 1, "address": "host:b", "incarnation": 2,
        "state": AttemptState.RUNNING, "restart_due": False, "node": "one",
    }  # fmt: skip
    return SimpleNamespace(**{**row, **changes})


def _node(*executors: str, state: str = "up", name: str = "one") -> NodeStatus:
    return NodeStatus(node=name, cores=1, memory_bytes=1, gpus=0, executors=executors, state=state)


CASES = [
    (_row(), [_node()], 1),
    (_row(), [_node(LOG)], 0),
    (_row(), [_node(LOG.replace("i2", "i1"))], 1),
    (_row(), [_node(state="silent")], 0),
    (_row(), [_node(name="two")], 0),
    (_row(), [_node(LOG), _node()], 0),
    (_row(), [_node(), _node(state="silent")], 0),
    (_row(), [_node(), _node()], 1),
    (_row(), [], 0),
    (_row(restart_due=True), [_node()], 0),
    (_row(state=AttemptState.RESERVED), [_node()], 0),
    (_row(state=AttemptState.SUCCEEDED), [_node()], 0),
]


@pytest.mark.parametrize(("row", "nodes", "lost"), CASES)
def test_one_that_its_node_does_not_run_for_a_while_is_lost(row: Any, nodes: list[NodeStatus], lost: int) -> None:
    missing = Missing()
    assert missing.after([row], nodes, {LOG: 7}, 0.0) == []
    assert missing.after([row], nodes, {LOG: 7}, MISSING_S - 1) == []
    events = missing.after([row], nodes, {LOG: 7}, MISSING_S)
    assert [(event.log, event.sequence, event.kind) for event in events] == [(LOG, 8, "lost")] * lost


def test_what_is_still_told_of_one_that_ended_is_waited_for() -> None:
    missing = Missing()
    for place in range(5):
        assert missing.after([_row()], [_node()], {LOG: place}, place * MISSING_S) == []


def test_one_that_comes_back_was_not_missing() -> None:
    missing = Missing()
    for executors, now in (((), 0.0), ((LOG,), 10.0), ((), 20.0)):
        assert missing.after([_row()], [_node(*executors)], {}, now) == []
    assert missing.after([_row()], [_node()], {}, 20.0 + MISSING_S)
