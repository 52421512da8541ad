"""What a person sees at a party that takes part in a job which another one leads."""

from __future__ import annotations

from threading import Event
from typing import Any

from flow.cli.job.text import job_lines
from flow.errors import StoreUnavailable
from flow.job.states import JobState
from flow.protocol.messages import Method
from flow.service import FlowService
from flow.views.jobs import JobView
from flow.views.times import clock_text
from gateway.client import FlowSilent, GatewayDown
from node_manager.client import EventKind
from tests.fakes.flow_world import HEARD_S, SCIENTIST, FakeParty, World, fails, hangs, nothing_job, train_job

HEARD = f"Last heard of: {clock_text(round(HEARD_S * 1000))}."


def pipeline(world: World) -> dict[str, Any]:
    """`prepare` at a alone, `train` of all, `score` at a and b, which needs both."""
    for party in world.parties.values():
        party.policy = party.policy.model_copy(update={"min_trainers": 1})
    job = train_job()
    score = {"component": "score@1", "roles": ["guest", "host"]}
    job["tasks"] = {
        "prepare": {"component": "train@1", "roles": ["guest"], "inputs": {"train": "breast/train"}},
        "train": {**job["tasks"]["train"], "inputs": {"train": "breast/train"}},
        "score": {**score, "inputs": {"model": "train.model", "data": {"guest": "prepare.scores"}}},
    }
    return job


def flow_of(party: FakeParty) -> FlowService:
    assert party.flow is not None
    return party.flow


def starts_at_b(world: World, job: str) -> JobView:
    world.wait(job, "running")
    view: JobView = world.until(lambda v: "running" in [task.state for task in v.tasks], job, party="b")
    return view


def test_tasks_without_a_side_here_are_told_as_such_and_are_not_waited_for(world: World) -> None:
    for party in world.parties.values():
        party.cluster.script = hangs
    spec = pipeline(world)
    del spec["tasks"]["prepare"]
    spec["tasks"]["prepare"] = {"component": "score@1", "roles": ["guest"], "inputs": {"model": "train.model"}}
    spec["tasks"]["score"]["inputs"] = {"model": "train.model", "data": {"guest": "breast/train"}}
    job = world.submit(spec)
    b = flow_of(world["b"])
    view = starts_at_b(world, job)
    assert {task.name: task.state for task in view.tasks} == {
        "train": "running", "prepare": "elsewhere", "score": "waiting",
    }  # fmt: skip
    assert b.why(job) == ["Task score waits for train."]
    assert "task       prepare (score@1): run by other parties only" in list(job_lines(view))
    assert {task.name: task.state for task in world.a.job(job).tasks}["prepare"] == "waiting"
    world.a.stop(job, SCIENTIST)
    states = {task.name: task.state for task in world.until(lambda v: v.closed, job, party="b").tasks}
    assert states == {"train": "cancelled", "prepare": "elsewhere", "score": "not-run"}
    assert "task       score (score@1): never begun" in list(job_lines(b.job(job)))


def test_tasks_that_were_never_begun_since_one_failed_are_told_as_such(world: World) -> None:
    world["b"].cluster.script = fails()
    spec = train_job(retries=0)
    spec["tasks"]["score"]["roles"] = ["guest", "host"]
    job = world.submit(spec)
    for name in "ab":
        view = world.until(lambda v: v.closed, job, party=name)
        assert view.state is JobState.FAILED
        assert {task.name: task.state for task in view.tasks} == {"train": "failed", "score": "not-run"}
        assert "task       score (score@1): never begun" in list(job_lines(view))


def test_a_need_that_is_elsewhere_is_not_named_as_what_a_task_of_ours_waits_for(world: World) -> None:
    world["c"].cluster.script = hangs
    job = world.submit(pipeline(world))
    world.wait(job, "running")
    world.until(lambda v: [t.state for t in v.tasks] == ["elsewhere", "running", "waiting"], job, party="b")
    assert flow_of(world["b"]).why(job) == ["Task score waits for train."]
    world.a.stop(job, SCIENTIST)


def test_the_tasks_that_are_counted_are_those_with_a_side_here(world: World) -> None:
    job = world.submit(pipeline(world))
    world.wait_closed(job)
    counts = {}
    for name in "abc":
        view = world.until(lambda v: v.closed and v.state is JobState.SUCCEEDED, job, party=name)
        [line] = flow_of(world[name]).jobs()
        assert (line.tasks_done, line.tasks_total) == (view.tasks_done, view.tasks_total)
        counts[name] = (view.tasks_done, view.tasks_total)
    assert counts == {"a": (3, 3), "b": (2, 2), "c": (1, 1)}


def test_every_line_of_the_job_that_does_not_work_is_named_at_a_participant_with_since_when(world: World) -> None:
    for party in world.parties.values():
        party.cluster.script = hangs
    job, b = world.submit(nothing_job()), world["b"]
    starts_at_b(world, job)
    assert flow_of(b).why(job) == []
    world.hub.down.add("c")
    down = f"The link to c is down: Nobody listens at 127.0.0.1:9 of c. {HEARD} It is tried again."
    assert flow_of(b).why(job) == [down]
    b.gateway.distrusted.add("a")
    assert flow_of(b).why(job) == ["a is not trusted here: get its newest card and run 'flow party trust CARD'.", down]
    world.hub.down.clear()
    b.gateway.distrusted.clear()
    world.a.stop(job, SCIENTIST)


def test_a_party_that_the_job_is_known_to_wait_for_is_named_once(world: World) -> None:
    world.hub.down.add("c")
    job = world.submit(nothing_job())
    world.until(lambda v: v.waiting_for, job)
    said = world.a.why(job)
    assert sum(text.startswith("It waits for c, which is absent") for text in said) == 1
    assert not any(text.startswith("The link to c") for text in said)
    world.hub.down.clear()
    world.wait(job, "succeeded")


def test_a_flow_that_is_silent_is_named_and_not_its_gateway(world: World) -> None:
    def silent(_frm: str, to: str, method: str) -> None:
        if (to, method) == ("c", Method.PROBE):
            raise FlowSilent("The Flow of that party did not answer 'probe' within 4.0 s.")

    for party in world.parties.values():
        party.cluster.script = hangs
    world.hub.before = silent
    job = world.submit(nothing_job())
    [waiting] = world.until(lambda v: v.waiting_for, job).waiting_for
    assert (waiting.who, waiting.text) == ("c", "the Flow of c, which does not answer; its gateway does")
    world.hub.before = lambda *_: None
    world.a.stop(job, SCIENTIST)


def test_why_is_told_while_our_own_gateway_is_down(world: World) -> None:
    world["b"].cluster.script = hangs
    job, b = world.submit(nothing_job()), world["b"]
    starts_at_b(world, job)

    def gone() -> list[Any]:
        raise GatewayDown("The gateway of this party does not answer.")

    b.gateway.peers = gone  # type: ignore[method-assign]
    assert flow_of(b).why(job) == ["Our own gateway does not answer: The gateway of this party does not answer."]
    world.a.stop(job, SCIENTIST)


def test_before_the_manifest_the_answers_of_others_are_not_known_here(world: World) -> None:
    hold, held = Event(), Event()

    def before(_frm: str, to: str, method: str) -> None:
        if (to, method) == ("c", "propose"):
            held.set()
            hold.wait(30)

    world.hub.before = before
    job = world.submit(nothing_job())
    assert held.wait(30)
    world.until(lambda v: {p.party: p.decision for p in v.parties}["b"] == "agree", job)
    view = flow_of(world["b"]).job(job)
    assert {p.party: p.decision for p in view.parties} == {"a": "unknown", "b": "agree", "c": "unknown"}
    said = "It waits for word of a, which asks the parties; their answers come with it."
    assert flow_of(world["b"]).why(job) == [said]
    assert world.a.why(job) == ["It waits for the answer of c."]
    hold.set()
    world.wait(job, "succeeded")


def test_where_nothing_of_a_job_runs_the_party_that_knows_more_is_named(world: World) -> None:
    world["b"].cluster.cores = 0
    job = world.submit(nothing_job())
    world.until(lambda v: [w.what for w in v.waiting_for] == ["room"], job)
    assert flow_of(world["b"]).why(job) == ["Nothing of it runs here now: a leads it and knows what is next."]
    world.a.stop(job, SCIENTIST)


def test_a_participant_says_that_the_initiator_takes_no_report(world: World) -> None:
    for party in world.parties.values():
        party.cluster.script = hangs
    job, b = world.submit(nothing_job()), world["b"]
    starts_at_b(world, job)

    def stalled(frm: str, _to: str, method: str) -> None:
        if (frm, method) == ("b", "report"):
            raise StoreUnavailable("Flow's database does not answer as it should.")

    world.hub.before = stalled
    b.cluster.tell(b.cluster.orders[-1], EventKind.PROGRESS, done=1, total=2, what="rounds")
    world.until(lambda _: len(flow_of(b).why(job)) == 2, job, party="b")
    runs, said = flow_of(b).why(job)
    assert "has done 1 of 2" in runs
    assert said.startswith("a, which leads it, takes no report (since ")
    assert said.endswith("Flow's database does not answer as it should.")
    world.hub.before = lambda _frm, _to, _method: None
    world.until(lambda _: flow_of(b).why(job) == [runs], job, party="b")
    world.a.stop(job, SCIENTIST)
