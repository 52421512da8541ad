"""Whose tables and models a user's job may read: what REST would give the user, and no more."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from flow.errors import DataNotYours, JobInvalid
from flow.protocol.messages import Decision
from flow.protocol.policy import ModelFacts, TableFacts
from party.users import User, make_user
from storage.client import UsePolicy
from tests.fakes.flow_world import SCIENTIST, World, fails, nothing_job, train_job

EVE = make_user("eve", ["scientist"])


def refusal(world: World, job: dict[str, Any], user: User) -> DataNotYours:
    with pytest.raises(DataNotYours) as caught:
        world.submit(job, user)
    return caught.value


def test_a_job_does_not_read_a_table_of_another_user(world: World) -> None:
    world["a"].store.tables["breast/train"] = TableFacts("breast/train@1", 100, owner="ann")
    error = refusal(world, train_job(), EVE)
    assert error.code == "flow.data_not_yours"
    assert error.message == "tasks.train.inputs.train: table breast/train@1 belongs to ann."
    assert error.hint == "Ask ann to submit the job, or to let you: 'flow data policy breast/train --users NAME'."
    [problem] = world.a.validate(json.dumps(train_job()).encode(), user=EVE).problems
    assert (problem.path, problem.message) == ("tasks.train.inputs.train", "table breast/train@1 belongs to ann.")
    assert world.a.jobs() == []
    assert world.wait_closed(world.submit(train_job(), SCIENTIST)).state == "succeeded", "its owner's job reads it"


def test_a_job_reads_a_table_whose_owner_lets_it_and_what_was_made_of_it_no_longer_than_that(world: World) -> None:
    shared = TableFacts("breast/train@1", 100, owner="ann", use=UsePolicy(users=("eve",)))
    world["a"].store.tables["breast/train"] = shared
    job = world.submit(train_job(), EVE)
    assert world.wait_closed(job).state == "succeeded"
    made = train_job()
    made["tasks"]["train"]["inputs"]["train"] = {"guest": f"job:{job}/train.scores", "host": "breast/train"}
    assert world.wait_closed(world.submit(made, EVE)).state == "succeeded"
    world["a"].store.tables["breast/train"] = replace(shared, use=UsePolicy(users=()))
    error = refusal(world, made, EVE)
    assert "was made of data that is not yours: table breast/train@1 belongs to ann." in error.message
    assert "'flow data policy breast/train --users NAME'" in error.hint


def test_a_task_does_not_start_on_a_table_whose_owner_no_longer_lets_it(world: World) -> None:
    shared = TableFacts("breast/train@1", 100, owner="ann", use=UsePolicy(users=("eve",)))
    world["a"].store.tables["breast/train"] = shared
    world["c"].cluster.cores = 0
    job = world.submit(train_job(), EVE)
    world.until(lambda view: any(waiting.what == "room" for waiting in view.waiting_for), job)
    world["a"].store.tables["breast/train"] = replace(shared, use=UsePolicy(users=()))
    world["c"].cluster.cores = 4
    assert world.wait(job, "failed").error.code == "flow.policy_forbids"
    assert not world["a"].cluster.orders


def test_a_job_reads_a_table_that_belongs_to_nobody(world: World) -> None:
    assert world.wait_closed(world.submit(train_job(), EVE)).state == "succeeded"


def test_whose_a_table_of_another_party_is_does_not_matter_here(world: World) -> None:
    world["b"].store.tables["breast/train"] = TableFacts("breast/train@1", 100, owner="eve")
    assert world.wait_closed(world.submit(train_job(), SCIENTIST)).state == "succeeded"


def test_what_a_job_of_another_user_made_is_not_read_by_any_name(world: World) -> None:
    earlier = world.submit(train_job(), SCIENTIST)
    world.wait_closed(earlier)
    table, model = f"job-{earlier.lower()}/train-scores", f"{earlier}/train.model"
    world["a"].store.tables[table] = TableFacts(f"{table}@1", 100)
    world["a"].store.models[model] = ModelFacts(model)
    world["b"].store.models[model] = ModelFacts(model)
    warm, made, by_name = train_job(), train_job(), train_job()
    warm["tasks"]["train"]["inputs"]["model"] = f"job:{model}"
    warm["tasks"]["train"]["parameters"]["secure"] = "paillier"  # so that c, which holds no part, sees nothing of it
    made["tasks"]["train"]["inputs"]["train"] = {"guest": f"job:{earlier}/train.scores", "host": "breast/train"}
    by_name["tasks"]["train"]["inputs"]["train"] = {"guest": f"{table}@1", "host": "breast/train"}
    for job, says in ((warm, f"model {model}"), (made, f"table {table}@1"), (by_name, f"table {table}@1")):
        assert f"{says} belongs to ann." in refusal(world, job, EVE).message
    assert world.wait_closed(world.submit(warm, SCIENTIST)).state == "succeeded"


def test_nobody_reads_what_a_job_made_that_is_not_known_here(world: World) -> None:
    table = "job-01m84nkvcs9025w7t6p1xby3p8/split-test"
    world["a"].store.tables[table] = TableFacts(f"{table}@1", 100)
    job = train_job()
    job["tasks"]["train"]["inputs"]["train"] = {"guest": table, "host": "breast/train"}
    with pytest.raises(JobInvalid, match=r"tasks.train.inputs.train: What .* was made of is not known here any more"):
        world.submit(job)


def test_a_job_does_not_go_on_from_checkpoints_of_another_user(world: World) -> None:
    world["a"].cluster.script = fails()
    first = world.submit(nothing_job(retries=0), SCIENTIST)
    world.wait_closed(first)
    error = refusal(world, nothing_job(resume=first), EVE)
    assert error.message == f"settings.resume: job {first} belongs to ann."
    with pytest.raises(DataNotYours):
        world.a.resume(first, {}, user=EVE)
    assert world.a.resume(first, {}, user=SCIENTIST)


def test_a_version_that_became_another_users_while_a_person_was_asked_is_not_read(world: World) -> None:
    """A table of nobody takes a version of anybody: the newest when a person agrees is not the one that was checked."""
    world["a"].policy = world["a"].policy.model_copy(update={"accept": Decision.ASK})
    job = world.submit(train_job(), EVE)
    world.until(lambda view: any(waiting.who == "a" for waiting in view.waiting_for), job)
    world["a"].store.tables["breast/train"] = TableFacts("breast/train@2", 100, owner="ann")
    assert "breast/train@2 belongs to ann" in "".join(world.a.proposal(job).reasons)
    world.a.approve(job, SCIENTIST, world.a.proposal(job).digest)
    view = world.wait(job, "refused")
    assert "breast/train@2 belongs to ann" in view.model_dump_json()
    assert not world["a"].cluster.orders
