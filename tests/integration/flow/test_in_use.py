"""What a job needs that is not over is not deleted."""

from __future__ import annotations

import pytest

from flow.errors import InUse
from flow.job.states import JobState
from tests.fakes.flow_world import SCIENTIST, World, hangs, train_job


def test_what_a_job_reads_is_needed_until_that_task_has_succeeded(world: World) -> None:
    table, other = ["breast/train@1"], ["breast/train@2"]
    world["b"].cluster.script = hangs
    job = world.submit(train_job())
    world.until(lambda v: v.tasks[0].state == "running" and world["b"].cluster.running() == 1, job)
    for party in ("a", "b"):
        flow = world[party].flow
        assert flow is not None
        with pytest.raises(InUse, match=f"Table breast/train@1 is needed by job {job}") as refused:
            flow.refuse_needed(table, is_table=True)
        assert refused.value.code == "flow.in_use"
        flow.refuse_needed(other, is_table=True)
        flow.refuse_needed(table, is_table=False)
    world["c"].flow.refuse_needed(table, is_table=True)  # type: ignore[union-attr]
    with pytest.raises(InUse, match=f"Model {job}/train.model is needed by job {job}"):
        world.a.refuse_needed([f"{job}/train.model"], is_table=False)
    world.a.stop(job, SCIENTIST)
    assert world.wait_closed(job).state is JobState.CANCELLED
    world.a.refuse_needed(table, is_table=True)
