"""What is made of a table, by however many steps, is held to the table's use policy and belongs to nobody else."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import delete

from flow.errors import DataNotYours
from flow.protocol.messages import Decision
from flow.protocol.policy import NO_USER, ModelFacts, TableFacts
from flow.store.tables import part
from party.users import make_user
from storage.client import UsePolicy
from tests.fakes.flow_world import SCIENTIST, World, fails, nothing_job, train_job

TABLE = TableFacts("breast/train@1", 100)
ONLY_TRAIN = replace(TABLE, use=UsePolicy(components=("train@1",)))


def scoring_job() -> dict[str, Any]:
    """The second task reads the table that the first one makes."""
    job = train_job()
    job["tasks"]["score"]["roles"] = ["host"]
    job["tasks"]["score"]["inputs"] = {"model": "train.model", "data": "train.scores"}
    return job


def later_job(earlier: str, **inputs: str) -> dict[str, Any]:
    """At `b` alone, of what an earlier job made there."""
    named = {name: f"job:{earlier}/{output}" for name, output in inputs.items()}
    return {
        "schema": 1,
        "name": "later",
        "initiator": "a",
        "roles": {"guest": ["b"], "host": ["a"]},
        "tasks": {"score": {"component": "score@1", "roles": ["guest"], "inputs": named}},
    }


def reasons_at_b(world: World, job: str) -> str:
    world.wait(job, "refused")
    world.wait(job, "refused", party="b")
    view = world["b"].flow.job(job)  # type: ignore[union-attr]
    return " ".join(reason for p in view.parties if p.party == "b" for reason in p.reasons)


@pytest.fixture
def earlier(world: World) -> str:
    """A job that has succeeded, and the model that each trainer holds of it."""
    job = world.submit(train_job())
    world.wait_closed(job)
    for name in "ab":
        world[name].store.models[f"{job}/train.model"] = ModelFacts(f"{job}/train.model")
    return job


def test_a_later_task_of_a_job_does_not_use_what_its_table_may_not_be_used_for(world: World) -> None:
    world["b"].store.tables["breast/train"] = ONLY_TRAIN
    job = world.submit(scoring_job())
    view = world.wait(job, "refused")
    assert "tasks.score.inputs.data: train.scores of b may not be used by score@1." in view.error.message
    assert "tasks.score.inputs.model: train.model of b may not be used by score@1." in view.error.message
    assert "breast/train@1" not in view.model_dump_json(), "what it was made of is told to our own people alone"
    own = reasons_at_b(world, job)
    assert "train.scores of b was made of breast/train@1, which may not be used by score@1" in own
    assert "flow data policy breast/train" in own


@pytest.mark.parametrize("made", [{"data": "train.scores", "model": "train.model"}, {"model": "train.model"}])
def test_a_later_job_does_not_use_what_the_table_behind_its_inputs_may_not_be_used_for(
    world: World, earlier: str, made: dict[str, str]
) -> None:
    world["b"].store.tables["breast/train"] = ONLY_TRAIN
    job = world.submit(later_job(earlier, **made))
    assert "was made of breast/train@1, which may not be used by score@1" in reasons_at_b(world, job)
    world["b"].store.tables["breast/train"] = TABLE
    assert world.wait_closed(world.submit(later_job(earlier, **made))).state == "succeeded"


def test_a_party_that_may_not_see_a_table_is_not_told_that_something_was_made_of_it(world: World, earlier: str) -> None:
    world["b"].store.tables["breast/train"] = replace(
        TABLE, use=UsePolicy(components=("train@1",), peers=("c",), expires=datetime(2026, 1, 1, tzinfo=UTC))
    )
    job = world.submit(later_job(earlier, model="train.model", data="train.scores"))
    view = world.wait(job, "refused")
    [said] = [p.reasons for p in view.parties if p.party == "b"]
    assert said == (
        f"tasks.score.inputs.model: b holds no part of job:{earlier}/train.model.",
        f"tasks.score.inputs.data: b has no table job:{earlier}/train.scores for this job.",
    )


def test_the_rules_of_a_table_go_through_tasks_and_jobs_of_any_number(world: World, earlier: str) -> None:
    """A table of the first job is trained on in a second, whose table is scored in a third."""
    again = train_job()
    again["tasks"] = {"train": train_job()["tasks"]["train"]}
    again["tasks"]["train"]["inputs"]["train"] = f"job:{earlier}/train.scores"
    second = world.submit(again)
    world.wait_closed(second)
    world["b"].store.tables["breast/train"] = ONLY_TRAIN
    job = world.submit(later_job(second, model="train.model", data="train.scores"))
    assert "was made of breast/train@1" in reasons_at_b(world, job)


def test_a_policy_set_on_what_was_made_on_the_way_follows_too(world: World, earlier: str) -> None:
    again = train_job()
    again["tasks"] = {"train": train_job()["tasks"]["train"]}
    again["tasks"]["train"]["inputs"] = {"train": f"job:{earlier}/train.scores", "model": f"job:{earlier}/train.model"}
    again["tasks"]["train"]["parameters"]["secure"] = "paillier"
    second = world.submit(again)
    world.wait_closed(second)
    model = f"{earlier}/train.model"
    world["b"].store.models[model] = ModelFacts(model, use=UsePolicy(peers=(), components=("train",)))
    job = world.submit(later_job(second, model="train.model", data="train.scores"))
    assert f"was made of {model}, which may not be used by score@1" in reasons_at_b(world, job)


def test_deleting_a_table_frees_nothing_that_was_made_of_it(world: World, earlier: str) -> None:
    world["b"].store.tables.clear()
    world["b"].store.deleted["breast/train"] = ONLY_TRAIN
    job = world.submit(later_job(earlier, model="train.model", data="train.scores"))
    assert "was made of breast/train@1" in reasons_at_b(world, job)


def test_what_nobody_knows_the_making_of_is_not_used(world: World, earlier: str) -> None:
    database = world["b"].flow._database  # type: ignore[union-attr]
    with database.write() as writer:
        writer.run(delete(part).where(part.c.job == earlier))
    job = world.submit(later_job(earlier, model="train.model", data="train.scores"))
    assert "is not known here any more" in reasons_at_b(world, job)


def test_a_table_with_fewer_rows_than_the_policy_behind_it_asks_for_is_not_used(world: World) -> None:
    """A task before it has left 3 of 100 rows; within the job that shows only when the next task starts."""
    world["b"].store.tables["breast/train"] = replace(TABLE, use=UsePolicy(min_rows=50))
    world["b"].store.made_rows = 3
    view = world.wait(world.submit(scoring_job()), "failed")
    assert view.error.code == "flow.policy_forbids"
    assert "tasks.score.inputs.data: table train.scores of b has fewer rows" in view.error.message
    later = world.submit(later_job(view.id, model="train.model", data="train.scores"))
    world["b"].store.models[f"{view.id}/train.model"] = ModelFacts(f"{view.id}/train.model")
    assert "has fewer rows" in world.wait(later, "refused").error.message


def test_a_policy_that_is_tightened_holds_for_the_next_task_of_a_job_that_runs(world: World) -> None:
    world["a"].cluster.largest = world["b"].cluster.largest = 128
    world["b"].cluster.cores = 0
    job = world.submit(scoring_job())
    world.until(lambda view: any(waiting.what == "room" for waiting in view.waiting_for), job)
    world["b"].store.tables["breast/train"] = ONLY_TRAIN
    world["b"].cluster.cores = 4
    view = world.wait(job, "failed")
    assert (view.error.code, "train.scores of b may not be used" in view.error.message) == ("flow.policy_forbids", True)


def test_a_job_that_goes_on_from_checkpoints_is_held_to_the_rules_of_what_they_were_made_of(world: World) -> None:
    world["a"].cluster.script = fails()
    first = world.submit(train_job(retries=0))
    world.wait_closed(first)
    again = train_job(resume=first)
    again["tasks"]["train"]["inputs"]["train"] = {"guest": "breast/train", "host": "other/table"}
    world["b"].store.tables = {
        "breast/train": replace(TABLE, use=UsePolicy(expires=datetime(2026, 1, 1, tzinfo=UTC))),
        "other/table": TableFacts("other/table@1", 100),
    }
    job = world.submit(again)
    assert "was made of breast/train@1, and the permission to use that ended on 2026-01-01" in reasons_at_b(world, job)


# -- whose -------------------------------------------------------------------------------------------------------------
def test_what_another_partys_job_made_of_a_users_table_is_that_users(world: World) -> None:
    world["a"].store.tables["breast/train"] = replace(TABLE, owner="ann")
    foreign = {**train_job(), "initiator": "b"}
    job = world["b"].flow.submit(json.dumps(foreign).encode(), user=SCIENTIST)  # type: ignore[union-attr]
    world.wait_closed(job, party="b")
    world["a"].store.models[f"{job}/train.model"] = ModelFacts(f"{job}/train.model")
    mine = later_job(job, model="train.model")
    mine["roles"] = {"guest": ["a"]}
    with pytest.raises(DataNotYours, match=rf"{job}/train.model was made of .*: table breast/train@1 belongs to ann"):
        world.submit(mine, make_user("eve", ["scientist"]))
    assert world.wait_closed(world.submit(mine, SCIENTIST)).state == "succeeded"
    assert [party.flow.owner_of_outputs(job) for party in world.parties.values() if party.flow] == ["ann", "ann", ""]
    world["a"].store.tables["breast/train"] = replace(TABLE, owner="eve")
    assert world.a.owner_of_outputs(job) == "eve"
    world["a"].store.tables.clear()
    assert world.a.owner_of_outputs(job) == world.a.owner_of_outputs("01M84NKVCS9025W7T6P1XBY3P8") == NO_USER


def test_checkpoints_of_another_partys_job_on_a_users_table_are_that_users(world: World) -> None:
    world["a"].store.tables["breast/train"] = replace(TABLE, owner="ann")
    world["b"].cluster.script = fails()
    foreign = {**train_job(retries=0), "initiator": "b"}
    job = world["b"].flow.submit(json.dumps(foreign).encode(), user=SCIENTIST)  # type: ignore[union-attr]
    world.wait_closed(job, party="b")
    world.until(lambda view: view.state == "failed", job)
    with pytest.raises(DataNotYours, match="belongs to ann"):
        world.submit({**train_job(resume=job)}, make_user("eve", ["scientist"]))


def test_nothing_about_sources_is_asked_of_a_job_that_reads_nothing(world: World) -> None:
    world["b"].policy = world["b"].policy.model_copy(update={"accept": Decision.AGREE})
    assert world.wait_closed(world.submit(nothing_job())).state == "succeeded"
