"""Jobs that go on from the checkpoints of an earlier job, over three Flows in one process."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flow.errors import JobInvalid, UnknownJob
from flow.job.spec import parse_job
from flow.job.states import JobState
from flow.participant.checkpoint_retention import Sweep
from flow.protocol.manifest import OUR_API
from flow.protocol.messages import Answer, Decision, Proposal, SignedAnswer, decode, encode
from flow.rooms.clock_evidence import LOOK_AGAIN_S
from gateway.client import PeerUnreachable
from node_manager.client import ResumePoint
from party.ids import new_job_id
from party.users import _ANY, User, Verb, make_user
from runtime.clock import HybridTime
from runtime.errors import Denied
from tests.fakes.clock import FakeClock
from tests.fakes.flow_world import COMPONENTS, SCIENTIST, TRAIN, World, fails, hangs, nothing_job, succeeds, train_job
from tests.fakes.nodes import eventually

SIDES = {"a": "guest:a", "b": "host:b", "c": "arbiter:c"}
NOBODYS = "01M84NKVCS9025W7T6P1XBY3P8"


def failed(world: World, spec: dict[str, Any], **steps: list[int]) -> str:
    """A job that failed in its first task; `steps` are those that each party then has checkpoints of."""
    world["b"].cluster.script = fails()
    for party in "ac":
        world[party].cluster.script = hangs
    job = world.submit(spec)
    world.wait_closed(job)
    task = next(iter(spec["tasks"]))
    for party, found in steps.items():
        world[party].store.checkpoints[job, task, SIDES[party]] = {1: found}
    for name in "abc":
        world[name].cluster.script = succeeds
    return job


def resume(world: World, job: str, **parameters: object) -> str:
    return world.a.resume(job, {"train": parameters} if parameters else {}, user=SCIENTIST)


def points(world: World, job: str, task: str) -> set[ResumePoint | None]:
    """Where the executors of a task were told to go on."""
    orders = [order for name in "abc" for order in world[name].cluster.orders]
    return {order.resume for order in orders if (order.job, order.task) == (job, task)}


def asked(world: World, spec: dict[str, Any]) -> Answer:
    """What `b` answers to a job, whatever its initiator's own Flow would say of it."""
    made = parse_job(json.dumps(spec).encode())
    proposal = Proposal(
        job=new_job_id(), initiator=made.initiator, user="eve", spec=made.document(), spec_digest=made.digest(),
        seed="0" * 64, code={c.reference: c.code_digest for c in COMPONENTS.values()}, api=OUR_API, submitted_ms=1,
    )  # fmt: skip
    reply = world.hub.call(made.initiator, "b", "propose", encode(proposal, HybridTime(1, 1)))
    return decode(SignedAnswer, reply)[0].answer


def test_every_party_goes_on_from_the_last_common_step_and_success_leaves_nothing(world: World) -> None:
    first = failed(world, train_job(), a=[4, 5], b=[5, 6], c=[4, 5])
    second = resume(world, first, rounds=9)
    view = world.wait_closed(second)
    assert view.state is JobState.SUCCEEDED
    assert points(world, second, "train") == {ResumePoint(job=first, attempt=1, step=5)}
    assert points(world, second, "score") == {None}
    assert {order.parameters["rounds"] for order in world["b"].cluster.orders if order.job == second} == {9}
    [told] = [event for event in world.a.events(second) if event.kind == "task.resumes" and event.task == "train"]
    assert told.body == {"job": first, "attempt": 1, "step": 5}
    for party in world.parties.values():
        assert party.store.kept == [first]
        assert set(party.store.forgotten) == {first, second}


@pytest.mark.parametrize(("rounds", "state"), [(4, "refused"), (5, "succeeded"), (6, "succeeded")])
def test_a_job_that_would_go_on_past_its_own_last_round_is_refused_before_it_begins(
    world: World, monkeypatch: pytest.MonkeyPatch, rounds: int, state: str
) -> None:
    monkeypatch.setitem(COMPONENTS, "train", replace(TRAIN, last_step=lambda own: own.rounds))
    first = failed(world, train_job(), a=[4, 5], b=[5, 6], c=[4, 5])
    second = resume(world, first, rounds=rounds)
    view = world.wait_closed(second)
    assert view.state == state
    if state == "refused":
        assert view.error.code == "flow.checkpoint_past_end"
        assert f"goes on after step 5 of job {first}; by its parameters its last step is 4." in view.error.message
        assert points(world, second, "train") == set()
        assert world["b"].store.checkpoints[first, "train", "host:b"] == {1: [5, 6]}, "another job may go on from it"


def test_without_a_common_step_a_task_starts_afresh_and_says_so(world: World) -> None:
    first = failed(world, train_job(), a=[4, 5], b=[6, 7], c=[5])
    second = resume(world, first)
    world.wait_closed(second)
    assert points(world, second, "train") == {None}
    assert [e.body for e in world.a.events(second) if (e.kind, e.task) == ("task.resumes", "train")] == [{}]


def test_a_job_that_failed_before_its_first_checkpoint_leads_to_the_one_before_it(world: World) -> None:
    first = failed(world, train_job(), a=[5], b=[5], c=[5])
    second = failed(world, train_job(resume=first))
    third = resume(world, second)
    assert world.wait_closed(third).state is JobState.SUCCEEDED
    assert points(world, third, "train") == {ResumePoint(job=first, attempt=1, step=5)}
    assert set(world["c"].store.forgotten) == {first, second, third}


def test_what_another_job_may_still_use_outlives_a_job_that_went_on_from_it(world: World) -> None:
    first = failed(world, nothing_job(), a=[5], b=[5], c=[5])
    for party in world.parties.values():
        party.cluster.script = hangs
    slow = resume(world, first)
    world.until(lambda v: v.tasks[0].state == "running" and world["c"].cluster.running() == 1, slow)
    for party in world.parties.values():
        party.cluster.script = succeeds
    world.wait_closed(resume(world, first))
    assert first not in world["b"].store.forgotten
    world.a.stop(slow, SCIENTIST)
    world.wait_closed(slow)
    assert world["b"].store.checkpoints[first, "idle", "host:b"] == {1: [5]}


def test_a_job_that_another_party_leads_deletes_no_checkpoint_of_the_one_it_went_on_from(world: World) -> None:
    first = failed(world, nothing_job(), a=[5], b=[5], c=[5])
    other = world["c"].flow.submit(json.dumps({**nothing_job(resume=first), "initiator": "c"}).encode(), user=SCIENTIST)
    assert world.until(lambda v: v.closed, other, party="c").state is JobState.SUCCEEDED
    for name in "ab":
        world.until(lambda v: v.closed, other, party=name)
        assert first not in world[name].store.forgotten


def test_a_task_that_became_another_starts_afresh(world: World) -> None:
    first = failed(world, nothing_job(), a=[5], b=[5], c=[5])
    other = nothing_job(resume=first)
    other["tasks"]["idle"]["roles"] = ["guest", "host"]
    second = world.submit(other)
    world.wait_closed(second)
    assert points(world, second, "idle") == {None}


@pytest.mark.parametrize(("initiator", "offered"), [("b", 1), ("a", 0)])
def test_a_party_offers_nothing_to_an_initiator_that_was_not_there(world: World, initiator: str, offered: int) -> None:
    first = {**nothing_job(), "roles": {"host": ["b"]}, "initiator": "b"}
    world["b"].cluster.script = fails()
    job = world["b"].flow.submit(json.dumps(first).encode(), user=SCIENTIST)  # type: ignore[union-attr]
    world.wait_closed(job, party="b")
    world["b"].store.checkpoints[job, "idle", "host:b"] = {1: [5]}
    second = {**nothing_job(resume=job), "initiator": initiator}
    second["tasks"]["idle"]["roles"] = ["host"]
    assert len(asked(world, second).checkpoints) == offered


@pytest.mark.parametrize("script", [hangs, succeeds], ids=["running", "succeeded"])
def test_only_a_job_that_failed_or_was_stopped_is_gone_on_from(world: World, script: Any) -> None:
    for party in world.parties.values():
        party.cluster.script = script
    job = world.submit(nothing_job())
    view = world.wait(job, "running" if script is hangs else "succeeded")
    [problem] = world.a.validate(json.dumps(nothing_job(resume=job)).encode(), user=SCIENTIST).problems
    assert problem.path == "settings.resume"
    assert str(view.state) in problem.message
    with pytest.raises(JobInvalid, match=r"settings\.resume"):
        resume(world, job)
    assert len(world.a.jobs()) == 1


def test_a_job_that_is_not_known_is_refused_by_path(world: World) -> None:
    with pytest.raises(JobInvalid, match=r"settings\.resume: there is no job"):
        world.submit(nothing_job(resume=NOBODYS))
    with pytest.raises(JobInvalid, match=r"settings\.resume: a job id is written like"):
        world.submit(nothing_job(resume="first"))
    with pytest.raises(UnknownJob):
        world.a.resume(NOBODYS, {}, user=SCIENTIST)
    assert world.a.jobs() == []


def test_wrong_changes_are_refused_by_path_as_in_a_submit(world: World) -> None:
    first = failed(world, train_job())
    with pytest.raises(JobInvalid, match=r"tasks\.train\.parameters\.ronuds: this key is not known"):
        resume(world, first, ronuds=3)
    with pytest.raises(JobInvalid, match=r"tasks\.trian: there is no task"):
        world.a.resume(first, {"trian": {"rounds": 3}}, user=SCIENTIST)
    assert len(world.a.jobs()) == 1


def test_going_on_takes_the_right_to_submit_and_to_see_the_earlier_job(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = failed(world, nothing_job())

    def denied(user: User) -> None:
        with pytest.raises(Denied):
            world.a.resume(first, {}, user=user)
        with pytest.raises(Denied):
            world.submit(nothing_job(resume=first), user=user)

    denied(make_user("eve", ["auditor"]))
    monkeypatch.setitem(_ANY, "scientist", {Verb.SUBMIT: frozenset({"job"})})
    world.submit(nothing_job(), user=make_user("mallory", ["scientist"]))
    denied(make_user("mallory", ["scientist"]))
    assert len(world.a.jobs()) == 2


def test_a_party_that_has_not_heard_of_the_end_is_waited_for(world: World) -> None:
    for party in world.parties.values():
        party.cluster.script = hangs
    first = world.submit(nothing_job())
    world.until(lambda v: v.tasks[0].state == "running" and world["b"].cluster.running() == 1, first)
    deaf = {"b"}

    def before(frm: str, to: str, method: str) -> None:
        if method == "end" and to in deaf:
            raise PeerUnreachable("The gateway of b does not answer.")

    world.hub.before = before
    world.a.stop(first, SCIENTIST)
    world.wait(first, "cancelled")
    for party in world.parties.values():
        party.store.checkpoints[first, "idle", SIDES[party.name]] = {1: [5]}
        party.cluster.script = succeeds
    second = resume(world, first)
    view = world.until(lambda v: any(w.who == "b" for w in v.waiting_for), second)
    assert f"Job {first} has not ended at b yet" in next(w.text for w in view.waiting_for if w.who == "b")
    deaf.clear()
    assert world.wait_closed(second).state is JobState.SUCCEEDED
    assert points(world, second, "idle") == {ResumePoint(job=first, attempt=1, step=5)}


def test_a_person_who_agrees_later_agrees_to_what_is_held_then(world: World) -> None:
    first = failed(world, nothing_job(), a=[5], b=[5], c=[5])
    world["b"].down()
    world["b"].policy = world["b"].policy.model_copy(update={"accept": Decision.ASK})
    flow = world["b"].up()
    second = resume(world, first)
    world.until(lambda v: v.waiting_for, second)
    world["b"].store.checkpoints[first, "idle", "host:b"] = {}
    flow.approve(second, SCIENTIST, flow.proposal(second).digest)
    world.wait_closed(second)
    assert points(world, second, "idle") == {None}


# -- how long they are kept ------------------------------------------------------------------------------------------
def test_checkpoints_are_deleted_when_their_time_is_over(world: World) -> None:
    first = failed(world, nothing_job(), a=[5], b=[5], c=[5])
    assert world["b"].store.forgotten == []
    world["b"].down()
    world["b"].keep_checkpoints_s = 0
    world["b"].up()
    eventually(lambda: first in world["b"].store.forgotten)
    assert first not in world["c"].store.forgotten


def test_one_start_with_a_clock_far_ahead_deletes_no_checkpoint(world: World) -> None:
    first, b = failed(world, nothing_job(), a=[5], b=[5], c=[5]), world["b"]
    b.down()
    b.clock = FakeClock(datetime.now(UTC) + timedelta(days=1_100))
    b.gateway.problem = "The card of b has expired."
    flow = b.up()
    assert flow._leaving._retention.sweep(Sweep()) == LOOK_AGAIN_S
    assert b.store.forgotten == []
    b.gateway.problem = ""
    flow._leaving._retention.sweep(Sweep())
    assert first in b.store.forgotten


def test_nothing_is_kept_where_the_settings_say_so(world: World) -> None:
    world["b"].down()
    world["b"].keep_checkpoints_s = 0
    world["b"].up()
    first = failed(world, nothing_job())
    assert (world["b"].store.kept, world["b"].store.forgotten) == ([], [first])
    assert (world["c"].store.kept, world["c"].store.forgotten) == ([first], [])


def test_what_a_waiting_job_may_go_on_from_outlives_its_time(world: World) -> None:
    first = failed(world, nothing_job(), a=[5], b=[5], c=[5])
    world["c"].down()
    world["c"].policy = world["c"].policy.model_copy(update={"accept": Decision.ASK})
    world["c"].up()
    second = resume(world, first)
    world.until(lambda v: [w.who for w in v.waiting_for] == ["c"], second)
    world["b"].down()
    world["b"].keep_checkpoints_s = 0
    world["b"].up()
    eventually(lambda: world["b"].store.looked)
    flow = world["c"].flow
    flow.approve(second, SCIENTIST, flow.proposal(second).digest)
    assert world.wait_closed(second).state is JobState.SUCCEEDED
    assert points(world, second, "idle") == {ResumePoint(job=first, attempt=1, step=5)}
