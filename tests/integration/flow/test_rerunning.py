"""Jobs that are submitted once more, and notes on them, over three Flows in one process."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flow.errors import TooManyNotes, UnknownJob
from flow.job.states import JobState
from flow.protocol.policy import ModelFacts
from flow.store.notes import MOST_NOTES
from party.errors import NotAllowed
from party.users import make_user
from tests.fakes.flow_world import SCIENTIST, World, train_job


def test_a_job_is_done_again_from_a_task_on_with_the_model_that_is_there(world: World) -> None:
    job = world.submit(train_job())
    assert world.wait_closed(job).state is JobState.SUCCEEDED
    model = f"{job}/train.model"
    world["a"].store.models[model] = ModelFacts(model, kind="toy")
    new, reused = world.a.clone(job, {}, user=SCIENTIST, first="score")
    assert (reused, list(world.a.job(new).spec["tasks"])) == (["train"], ["score"])
    assert world.wait_closed(new).state is JobState.SUCCEEDED
    (order,) = [order for order in world["a"].cluster.orders if order.job == new]
    assert order.inputs["model"].reference == model
    tables = world["a"].store.tables
    tables["breast/train"] = replace(tables["breast/train"], reference="breast/train@2")
    whole, reused = world.a.clone(job, {}, user=SCIENTIST, first="score")
    assert (reused, list(world.a.job(whole).spec["tasks"])) == ([], ["train", "score"])
    assert world.wait_closed(whole).state is JobState.SUCCEEDED


def test_a_clone_runs_with_other_parameters_under_a_new_id_and_a_token_makes_it_safe_to_repeat(world: World) -> None:
    job = world.submit(train_job())
    again = [world.a.clone(job, {"train": {"rounds": 9}}, user=SCIENTIST, submit_token="t")[0] for _ in range(2)]
    assert again[0] == again[1] != job
    assert world.a.job(again[0]).spec["tasks"]["train"]["parameters"] == {"rounds": 9}
    assert world.wait_closed(again[0]).state is JobState.SUCCEEDED


def test_notes_are_shown_here_and_nowhere_else(world: World) -> None:
    job = world.submit(train_job())
    for text in ("first", "second\x1b[31m"):
        world.a.note(job, SCIENTIST, text)
    assert [(note.user, note.text) for note in world.a.job(job).notes] == [
        ("ann", "first"),
        ("ann", "second\N{REPLACEMENT CHARACTER}[31m"),
    ]
    world.wait_closed(job)
    assert world["b"].flow.job(job).notes == ()  # type: ignore[union-attr]
    with pytest.raises(NotAllowed):
        world.a.note(job, make_user("aud", ["auditor"]), "mine")
    with pytest.raises(UnknownJob):
        world.a.note("01M84NKVCS9025W7T6P1XBY3P8", SCIENTIST, "whose")
    for _ in range(MOST_NOTES - 2):
        world.a.note(job, SCIENTIST, "more")
    with pytest.raises(TooManyNotes):
        world.a.note(job, SCIENTIST, "one more")
