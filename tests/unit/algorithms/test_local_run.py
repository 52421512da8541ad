"""What a run in one process keeps."""

from __future__ import annotations

import numpy as np

from algorithms.local_run import LocalMemory


def test_memory_keeps_the_last_two_checkpoints():
    memory = LocalMemory()
    assert memory.latest() is None
    for step in (1, 2, 3):
        memory.checkpoint(step, {"part": {"w": np.full(2, step)}})
    step, parts = memory.latest()
    assert (step, parts["part"]["w"].tolist()) == (3, [3, 3])
    assert sorted(memory._checkpoints) == [2, 3]
