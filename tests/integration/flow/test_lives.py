"""Whole lives of jobs over three Flows in one process."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flow.errors import BadMessage, JobInvalid, NotAskedForApproval, TokenReused, UnknownJob, UnknownSchema
from flow.job.states import AttemptState, JobState
from flow.protocol.agreement import decide
from flow.protocol.knowledge import Knowledge
from flow.protocol.manifest import OUR_API
from flow.protocol.messages import ApiVersions, Decision, Proposal, encode
from flow.protocol.reasons import Decided
from gateway.client import PeerStatus
from node_manager.client import EventKind
from party.ids import new_job_id
from party.users import make_user
from runtime.clock import HybridTime, apart_text
from runtime.errors import Denied, Unavailable
from tests.fakes.clock import FakeClock
from tests.fakes.flow_world import SCIENTIST, World, digest_of, fails, hangs, nothing_job, succeeds, train_job
from tests.fakes.nodes import eventually


def test_a_job_that_does_nothing_succeeds_and_leaves_nothing(world: World) -> None:
    job = world.submit(nothing_job())
    view = world.wait_closed(job)
    assert view.state is JobState.SUCCEEDED
    assert view.outcome == "complete"
    assert (view.tasks_done, view.tasks_total) == (1, 1)
    assert [(p.party, p.decision) for p in view.parties] == [("a", "agree"), ("b", "agree"), ("c", "agree")]
    [task] = view.tasks
    assert task.published
    [attempt] = task.attempts
    assert [(s.address, s.state) for s in attempt.sides] == [
        ("arbiter:c", "succeeded"), ("guest:a", "succeeded"), ("host:b", "succeeded"),
    ]  # fmt: skip
    for name in "abc":
        party = world[name]
        assert party.gateway.closed == [job]
        assert party.cluster.ended == [job]
        assert party.cluster.rooms == {}
        assert party.store.forgotten == [job]
        assert party.gateway.open == {}


def test_a_job_of_parties_that_cannot_speak_to_each_other_is_refused_by_name(world: World, monkeypatch: Any) -> None:
    speaks = {"a": (1, 2), "b": (1, 1), "c": (2, 3)}

    def deciding(proposal: Proposal, job: Any, know: Knowledge) -> Decided:
        decided = decide(proposal, job, know)
        minimum, version = speaks[know.party]
        api = ApiVersions(minimum=minimum, version=version)
        return replace(decided, answer=decided.answer.model_copy(update={"api": api}))

    monkeypatch.setattr("flow.participant.weighing.decide", deciding)
    refused = world.wait_closed(world.submit(nothing_job()))
    assert refused.state is JobState.REFUSED
    assert refused.error is not None
    assert refused.error.code == "flow.api_mismatch"
    assert refused.error.message == "c speaks version 2 to 3 of the API of algorithms, b 1."
    speaks["b"] = (1, 2)
    assert world.wait_closed(world.submit(nothing_job())).state is JobState.SUCCEEDED


def test_the_other_parties_see_the_job_end_too(world: World) -> None:
    job = world.submit(nothing_job())
    world.wait_closed(job)
    view = world.wait_closed(job, party="b")
    assert (view.state, view.initiator, view.user) == (JobState.SUCCEEDED, "a", "ann")
    assert view.manifest_digest == world.a.job(job).manifest_digest
    assert view.tasks[0].attempts[0].sides[0].address == "host:b"
    kinds = [e.kind for e in world["b"].flow.events(job)]  # type: ignore[union-attr]
    assert kinds[0] == "job.waiting"
    assert {"job.agreed", "attempt.running", "executor.succeeded", "job.succeeded", "job.closed"} <= set(kinds)


@pytest.mark.parametrize(
    "changed",
    [
        {"address": "guest:a"},
        {"address": "guest:ghost"},
        {"name": "notes"},
        {"kind": "table"},
        {"reference": "private/payroll@1"},
    ],
)
def test_a_party_that_tells_of_outputs_that_it_does_not_make_ends_the_job(
    world: World, monkeypatch: pytest.MonkeyPatch, changed: dict[str, str]
) -> None:
    theirs = world["b"].store
    publish = theirs.publish
    monkeypatch.setattr(
        theirs, "publish", lambda name, declared: [o.model_copy(update=changed) for o in publish(name, declared)]
    )
    job = world.submit(train_job())
    view = world.wait_closed(job)
    assert view.error is not None
    assert (view.state, view.error.code, view.error.party) == ("failed", "flow.bad_message", "b")
    assert {o.party for o in world.a.outputs(job)} <= {"a"}


def test_a_second_task_gets_the_model_of_the_first(world: World) -> None:
    job = world.submit(train_job())
    world.wait_closed(job)
    orders = world["a"].cluster.orders
    assert [o.task for o in orders] == ["train", "score"]
    assert orders[0].inputs["train"].reference == "breast/train@1"
    assert orders[1].inputs["model"].reference == f"{job}/train.model"
    assert orders[0].token.startswith("token-")
    assert world["c"].cluster.orders[0].inputs == {}
    model = f"{job}/train.model"
    assert {(o.party, o.reference, o.digest) for o in world.a.outputs(job) if o.name == "model"} == {
        (party, model, digest_of(party, model)) for party in "ab"
    }
    assert len({o.cluster.orders[0].seed for o in world.parties.values()}) == 1


def test_events_are_in_one_causal_order_across_parties(world: World) -> None:
    job = world.submit(nothing_job())
    world.wait_closed(job)
    world.wait_closed(job, party="b")
    ours, theirs = (world[p].flow.events(job) for p in "ab")  # type: ignore[union-attr]
    for rows in (ours, theirs):
        readings = [HybridTime.parse(row.hlc) for row in rows]
        assert readings == sorted(readings)
    at = {(row.kind, side): HybridTime.parse(row.hlc) for side, rows in (("a", ours), ("b", theirs)) for row in rows}
    assert at["job.waiting", "a"] < at["party.agree", "b"] < at["job.agreed", "a"] < at["job.agreed", "b"]
    assert at["executor.succeeded", "b"] < at["job.succeeded", "a"] < at["job.succeeded", "b"]


def test_metrics_logs_and_progress_are_recorded_once_and_shared_by_policy(world: World) -> None:
    def speaks(order):  # type: ignore[no-untyped-def]
        number = [(EventKind.METRIC, {"name": "loss", "step": t, "value": 1.0 / (t + 1)}) for t in range(3)]
        nan = [(EventKind.METRIC, {"name": "auc", "step": 0, "value": float("nan")})]
        line = [(EventKind.LOG, {"level": "info", "text": f"hello from {order.address}"})]
        progress = [(EventKind.PROGRESS, {"done": 2, "total": 3, "what": "rounds"})]
        more = [(EventKind.CHECKPOINT, {"step": 1}), (EventKind.METRIC, {"name": "odd", "step": 0, "value": None})]
        start, end = succeeds(order)
        return [start, *number, *number, *nan, *line, *progress, *more, end]

    for party in world.parties.values():
        party.cluster.script = speaks
    world["c"].down()
    world["c"].policy = world["c"].policy.model_copy(update={"share": ()})
    world["c"].up()
    job = world.submit(nothing_job())
    world.wait_closed(job)
    rows = world.a.metrics(job)
    loss = sorted((r.party, r.step, r.value) for r in rows if r.name == "loss")
    assert loss == [(p, t, 1.0 / (t + 1)) for p in "ab" for t in range(3)]
    assert [str(r.value) for r in rows if r.name == "auc"] == ["nan", "nan"]
    assert world.a.metrics(job, "idle", since=rows[-1].id) == []
    assert world.a.metrics(job, "other") == []
    assert [r.text for r in world.a.logs(job)] == ["hello from guest:a"]
    assert [(r.party, r.done, r.total) for r in world.a.progress(job)] == [("a", 2, 3), ("b", 2, 3)]
    assert {r.party for r in world["c"].flow.metrics(job)} == {"c"}  # type: ignore[union-attr]
    assert world["b"].flow.logs(job, "idle")[0].party == "b"  # type: ignore[union-attr]
    assert world.a.job(job).tasks[0].attempts[0].sides[1].done == 2


def test_logs_reach_the_initiator_where_policy_shares_them(world: World) -> None:
    world["b"].down()
    world["b"].policy = world["b"].policy.model_copy(update={"share": ("logs",)})
    world["b"].up()
    world["b"].cluster.script = lambda o: [(EventKind.LOG, {"level": "warning", "text": "slow"}), *succeeds(o)]
    job = world.submit(nothing_job())
    world.wait_closed(job)
    assert [(r.party, r.level, r.text) for r in world.a.logs(job)] == [("b", "warning", "slow")]


def test_more_log_text_than_a_call_carries_arrives_in_several(world: World) -> None:
    world["b"].down()
    world["b"].policy = world["b"].policy.model_copy(update={"share": ("logs",)})
    world["b"].up()
    lines = [(EventKind.LOG, {"level": "info", "text": f"{i} " + "é" * 3_990}) for i in range(1_000)]
    world["b"].cluster.script = lambda o: [*lines, *succeeds(o)]
    job = world.submit(nothing_job())
    world.wait_closed(job)
    assert [r.text for r in world.a.logs(job)] == [body["text"] for _, body in lines]


def test_a_party_that_refuses_ends_the_job_before_anything_is_reserved(world: World) -> None:
    world["b"].down()
    world["b"].policy = world["b"].policy.model_copy(update={"peers": ("a",)})
    world["b"].up()
    job = world.submit(nothing_job())
    view = world.wait_closed(job)
    assert view.state is JobState.REFUSED
    assert view.error.code == "flow.job_refused"
    assert view.error.party == "b"
    assert "does not allow jobs with c" in view.error.message
    assert world.hub.count("reserve") == 0
    assert world["b"].flow.job(job).state is JobState.REFUSED  # type: ignore[union-attr]


def test_a_job_of_another_release_is_refused_by_path(world: World) -> None:
    document = {**nothing_job(), "settings": {"resumes": "x"}}
    proposal = Proposal(
        job=new_job_id(), initiator="a", user="ann", spec=document, spec_digest="0" * 64, seed="0" * 64, code={},
        api=OUR_API, submitted_ms=1,
    )  # fmt: skip
    with pytest.raises(BadMessage, match=r"settings\.resumes: this key is not known"):
        world.hub.call("a", "b", "propose", encode(proposal, HybridTime(1, 1)))


def test_a_person_is_asked_and_agrees(world: World) -> None:
    world["b"].down()
    world["b"].policy = world["b"].policy.model_copy(update={"accept": Decision.ASK})
    flow = world["b"].up()
    job = world.submit(nothing_job())
    view = world.until(lambda v: v.waiting_for, job)
    assert [(w.who, w.what) for w in view.waiting_for] == [("b", "person")]
    assert without_times(world.a.why(job)) == ["It waits for a person at b to approve the job (since …)."]
    told = f"a person at b to approve the job (since …): 'flow job proposal {job}' shows what is asked"
    assert told in "".join(without_times(flow.why(job)))
    digest = flow.proposal(job).digest
    with pytest.raises(Denied):
        flow.approve(job, make_user("eve", ["auditor"]), digest)
    flow.approve(job, SCIENTIST, digest)
    assert world.wait(job, "succeeded").error is None
    with pytest.raises(NotAskedForApproval):
        flow.approve(job, SCIENTIST, digest)


def test_a_person_is_asked_and_refuses(world: World) -> None:
    world["b"].down()
    world["b"].policy = world["b"].policy.model_copy(update={"accept": Decision.ASK})
    flow = world["b"].up()
    job = world.submit(nothing_job())
    world.until(lambda v: v.waiting_for, job)
    flow.refuse(job, SCIENTIST, "Not this month.")
    assert "b refuses: Not this month." in world.wait(job, "refused").error.message


def test_a_failure_brings_its_code_and_keeps_its_words_at_the_party_that_failed(world: World) -> None:
    world["a"].cluster.script = hangs
    world["c"].cluster.script = hangs
    world["b"].cluster.script = fails()
    job = world.submit(nothing_job(retries=5))
    view = world.wait_closed(job)
    assert view.state is JobState.FAILED
    assert (view.error.code, view.error.party) == ("algorithms.bad_labels", "b")
    assert "no labels" not in view.model_dump_json()
    assert world["b"].flow.job(job).error.message == "host:b: no labels"
    assert world["b"].flow.job(job).error.hint == "Upload them."
    assert [a.attempt for a in view.tasks[0].attempts] == [1]
    for party in world.parties.values():
        assert party.cluster.running() == 0
        assert party.cluster.rooms == {}
    assert world["c"].flow.job(job).error.code == "algorithms.bad_labels"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("alike", "says"),
    [
        ([["b"], ["c", "a"]], "The trainers' feature columns are not the same: a with c, unlike b."),
        ([["b"], ["a"]], "The trainers' feature columns are not the same: a, unlike b."),
        ([["b"], ["age"]], "The trainers' feature columns are not the same."),
        ([["b"], ["a", "b"]], "The trainers' feature columns are not the same."),
        ([["b"], [["a"]]], "The trainers' feature columns are not the same."),
        ("age", "The trainers' feature columns are not the same."),
    ],
)
def test_of_parties_that_differ_others_read_which_and_no_other_word(world: World, alike: Any, says: str) -> None:
    world["a"].cluster.script = world["b"].cluster.script = hangs
    failed = {"code": "algorithms.features_differ", "message": "host:b has 31", "hint": "secret", "alike": alike}
    world["c"].cluster.script = lambda _: [(EventKind.STARTED, {"pid": 1}), (EventKind.FAILED, failed)]
    view = world.wait_closed(world.submit(nothing_job()))
    assert view.error.message == says
    assert not any(word in view.model_dump_json() for word in ("has 31", "secret", '"age"'))


def test_a_stopped_job_is_cancelled_everywhere(world: World) -> None:
    for party in world.parties.values():
        party.cluster.script = hangs
    job = world.submit(nothing_job())
    world.until(lambda v: v.tasks[0].state == "running" and world["c"].cluster.running() == 1, job)
    with pytest.raises(Denied):
        world.a.stop(job, make_user("eve", ["auditor"]))
    world.a.stop(job, SCIENTIST)
    view = world.wait_closed(job)
    assert view.state is JobState.CANCELLED
    assert view.tasks[0].attempts[0].state is AttemptState.CANCELLED
    for party in world.parties.values():
        assert party.cluster.running() == 0
        assert party.cluster.rooms == {}
        assert party.gateway.closed == [job]
    world.a.stop(job, SCIENTIST)  # an ended job stays as it is
    assert world.a.job(job).state is JobState.CANCELLED


def test_a_party_may_withdraw_from_a_running_job(world: World) -> None:
    for party in world.parties.values():
        party.cluster.script = hangs
    job = world.submit(nothing_job())
    world.until(lambda v: v.tasks[0].state == "running" and world["b"].cluster.running() == 1, job)
    world["b"].flow.stop(job, SCIENTIST)  # type: ignore[union-attr]
    view = world.wait_closed(job)
    assert view.state is JobState.CANCELLED
    assert (view.error.code, view.error.party) == ("flow.withdrawn", "b")
    assert all(p.cluster.running() == 0 for p in world.parties.values())
    world["b"].flow.stop(job, SCIENTIST)  # type: ignore[union-attr]


def test_the_same_token_gives_the_same_job_and_another_job_is_refused(world: World) -> None:
    job = world.submit(nothing_job(), token="mine")
    assert world.submit(nothing_job(), token="mine") == job
    with pytest.raises(TokenReused, match=job):
        world.submit(nothing_job(retries=0), token="mine")
    with pytest.raises(JobInvalid):
        world.submit(nothing_job(), token="")
    assert world.submit(nothing_job()) != job
    assert len(world.a.jobs()) == 2


def test_a_submit_token_is_its_users_alone_and_tells_nobody_elses_job(world: World) -> None:
    job = world.submit(nothing_job(), token="mine")
    for spec in (nothing_job(), nothing_job(retries=0)):
        with pytest.raises(TokenReused, match="The submit token 'mine' is another user's") as caught:
            world.submit(spec, user=make_user("bob", ["scientist"]), token="mine")
        assert job not in str(caught.value)
    assert [known.id for known in world.a.jobs()] == [job]


def test_a_wrong_job_changes_nothing(world: World) -> None:
    wrong = train_job()
    wrong["roles"]["host"] = ["bb"]
    wrong["tasks"]["train"]["inputs"]["train"] = "breast/tarin"
    found = {p.path: p for p in world.a.validate(json.dumps(wrong).encode(), user=SCIENTIST).problems}
    assert "Did you mean 'b'?" in found["roles.host"].hint
    assert "There is no table 'breast/tarin'" in found["tasks.train.inputs.train"].message
    with pytest.raises(JobInvalid):
        world.submit(wrong)
    other = {**nothing_job(), "initiator": "b"}
    assert (
        "submitted at its initiator" in world.a.validate(json.dumps(other).encode(), user=SCIENTIST).problems[0].message
    )
    assert (
        world.a.validate(json.dumps({**nothing_job(), "schema": 9}).encode(), user=SCIENTIST).problems[0].path
        == "schema"
    )
    with pytest.raises(UnknownSchema):
        world.submit({**nothing_job(), "schema": 9})
    with pytest.raises(Denied):
        world.submit(nothing_job(), user=make_user("eve", ["auditor"]))
    earlier = train_job()
    earlier["tasks"]["score"]["inputs"]["model"] = "job:01M84NKVCS9025W7T6P1XBY3P8/train.model"
    assert "There is no model" in world.a.validate(json.dumps(earlier).encode(), user=SCIENTIST).problems[0].message
    assert world.a.validate(json.dumps(train_job()).encode(), user=SCIENTIST).problems == ()
    assert world.a.jobs() == []
    assert world.hub.calls == []


def test_a_job_that_runs_too_long_fails_and_is_stopped(world: World) -> None:
    for party in world.parties.values():
        party.cluster.script = hangs
    view = world.wait_closed(world.submit(nothing_job(timeout_s=0.4)))
    assert view.state is JobState.FAILED
    assert view.error.code == "flow.timed_out"
    assert "timeout_s" in view.error.message
    assert all(p.cluster.running() == 0 for p in world.parties.values())


def without_times(texts: list[str]) -> list[str]:
    return [re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "…", text) for text in texts]


def test_a_job_that_waits_too_long_fails_and_tells_what_it_waited_for(world: World) -> None:
    world["b"].cluster.cores = 0
    view = world.wait_closed(world.submit(nothing_job(wait_s=1.0)))
    assert view.error.code == "flow.timed_out"
    assert view.error.message.startswith("The job waited for 1 s, which is its wait_s")
    for party in ("a", "b", "c"):
        ended, why = without_times(world[party].flow.why(view.id))  # type: ignore[union-attr]
        assert ended == "It has ended: failed at …."
        assert why == view.error.text


def test_a_reason_to_wait_is_the_one_of_now(world: World) -> None:
    world["b"].cluster.cores = 0
    job = world.submit(nothing_job())
    world.until(lambda v: [w.what for w in v.waiting_for] == ["room"], job)
    world.hub.down.add("b")
    view = world.until(lambda v: [w.what for w in v.waiting_for] == ["party"], job)
    assert "does not answer" in view.waiting_for[0].text
    world.hub.down.discard("b")
    world.until(lambda v: [w.what for w in v.waiting_for] == ["room"], job)
    world.a.stop(job, SCIENTIST)


def test_a_clock_that_is_far_from_ours_is_named_where_people_look_and_shifts_no_time(world: World) -> None:
    b = world["b"]
    b.down()
    b.clock = FakeClock(datetime.now(UTC) + timedelta(hours=1))
    b.up()
    b.cluster.script = hangs
    differs = (apart_text("b", 3_600_000), "gateway.clocks_differ", "Set the clock that is wrong (by NTP).")
    world["a"].gateway.links["b"] = PeerStatus("b", (), "up", 1.0, 0, *differs)
    job = world.submit(nothing_job())
    world.wait(job, "running")
    now_ms = datetime.now(UTC).timestamp() * 1000
    assert all(HybridTime.parse(row.hlc).wall_ms < now_ms + 60_000 for row in world.a.events(job))
    shifted = "The times that it tells are shifted by as much."
    assert f"The clock of b is 1 h ahead of ours. {shifted}" in world.a.why(job)
    del world["a"].gateway.links["b"]
    assert not any("clock" in text for text in world.a.why(job)), "the gateway's word on a party that is up is newer"
    world.hub.down |= {"a", "b"}
    told = " ".join(world.a.why(job))
    assert re.search(r"The clock of b was .* ahead of ours when last heard of, at \d{4}-.* UTC\.", told)
    assert re.search(r"The clock of a was .* behind ours when last heard of, at", " ".join(b.flow.why(job)))  # type: ignore[union-attr]
    world.hub.down.clear()
    world.a.stop(job, SCIENTIST)


def test_a_job_that_does_not_fit_waits_and_blocks_nobody(world: World) -> None:
    big = nothing_job()
    big["tasks"]["idle"]["resources"] = {"host": {"cores": 99}}
    waits = world.submit(big)
    view = world.until(lambda v: v.waiting_for, waits)
    assert (view.waiting_for[0].who, view.waiting_for[0].what) == ("b", "room")
    said = "It waits for room for task idle at b: needs 99 cores, 4 are free (since …)."
    assert without_times(world.a.why(waits)) == [said]
    eventually(lambda: world["a"].cluster.rooms == {})
    assert world.wait(world.submit(nothing_job()), "succeeded").state == "succeeded"
    world["b"].cluster.cores = 99
    assert world.wait(waits, "succeeded").waiting_for == ()


def test_what_a_party_can_never_bear_is_refused_before_anything_waits(world: World) -> None:
    big = nothing_job()
    big["tasks"]["idle"]["resources"] = {"host": {"cores": 999}}
    view = world.wait(world.submit(big), "refused")
    said = "b refuses: tasks.idle.resources: 999 cores wanted, the largest host has 128 at b. Ask for less."
    assert view.error.message == said
    assert world.hub.count("reserve") == 0


def test_what_ones_own_party_can_never_bear_is_said_before_a_job_is_submitted(world: World) -> None:
    big = nothing_job()
    big["tasks"]["idle"]["resources"] = {"cores": 999}
    [problem] = world.a.validate(json.dumps(big).encode(), user=SCIENTIST).problems
    assert (problem.path, problem.message) == (
        "tasks.idle.resources",
        "999 cores wanted, the largest host has 128 at a.",
    )
    with pytest.raises(JobInvalid, match="999 cores wanted"):
        world.submit(big)


def test_jobs_are_listed_newest_first_and_by_state(world: World) -> None:
    first = world.submit(nothing_job())
    world.wait(first, "succeeded")
    world["b"].cluster.script = fails()
    second = world.submit(nothing_job())
    world.wait(second, "failed")
    assert [j.id for j in world.a.jobs()] == [second, first]
    assert [j.id for j in world.a.jobs(state="succeeded")] == [first]
    assert [j.id for j in world.a.jobs(limit=1)] == [second]
    assert [j.id for j in world.a.jobs(before=second)] == [first]
    assert world.a.jobs(before=first) == world.a.jobs(state="failed", before=second) == []
    assert world.a.jobs()[1].tasks_done == 1
    for ask in (world.a.job, world.a.why, world.a.metrics, world.a.logs, world.a.outputs, world.a.progress):
        with pytest.raises(UnknownJob):
            ask("01M84NKVCS9025W7T6P1XBY3P8")
    with pytest.raises(UnknownJob):
        world.a.stop("01M84NKVCS9025W7T6P1XBY3P8", SCIENTIST)


def test_many_jobs_at_once_all_succeed(world: World) -> None:
    for party in world.parties.values():
        party.cluster.cores = 2
    jobs = [world.submit(nothing_job(priority=i)) for i in range(6)]
    for job in jobs:
        assert world.wait(job, "succeeded", "failed", timeout_s=40).state == "succeeded"


def test_a_path_of_one_party_does_not_reach_another_in_a_reason(world: World) -> None:
    def full(_text: str) -> None:
        raise StoreFull("/srv/secret/store has no room.")

    world["b"].store.table = full  # type: ignore[method-assign,assignment]
    job = world.submit(train_job())
    view = world.until(lambda v: any(w.who == "b" for w in v.waiting_for) or v.error, job)
    assert "secret" not in str(view)
    world.a.stop(job, SCIENTIST)


class StoreFull(Unavailable):
    """A store has no room."""

    code = "test.store_full"
