"""Whatever another party's Flow sends is taken or refused by name, and nothing that was taken spoils a list."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from board.rendering import iso, when
from flow.cli.job.text import job_lines, summary_row
from flow.errors import BadMessage
from flow.protocol.messages import Published, decode
from flow.store.tables import job, job_party
from party.ids import new_job_id
from runtime.errors import PlatformError
from runtime.text import is_printable
from tests.fakes.flow_world import COMPONENTS, World, hangs, nothing_job
from tests.fakes.hostile import VALUES, changed, message, places, proposal, spoiled

HOSTILE = st.sampled_from(VALUES) | st.integers() | st.floats() | st.text(max_size=20)
MOST_BYTES = 16 << 20


def nothing_proposal(job: str) -> dict[str, Any]:
    code = {each.reference: each.code_digest for each in COMPONENTS.values()}
    return proposal(job, nothing_job() | {"initiator": "a"}, code)


def report(job: str) -> dict[str, Any]:
    where = {"task": "idle", "attempt": 1, "address": "host:b"}
    error = {"code": "x.y", "message": "m", "hint": "h", "party": "b"}
    line = {"incarnation": 1, "sequence": 1, "level": "info", "text": "t", "at_ms": 1}
    return {
        "job": job,
        "sides": [{**where, "state": "running", "retryable": True, "error": error}],
        "metrics": [{**where, "name": "loss", "step": 1, "value": 0.5, "at_ms": 1}],
        "logs": [{**where, **line}],
        "progress": [{**where, "done": 1, "total": 2, "what": "rounds", "at_ms": 1}],
    }


def answer(job: str) -> dict[str, Any]:
    said = {
        "schema": 1, "job": job, "party": "b", "proposal_digest": "0" * 64, "decision": "ask", "reasons": ["r"],
        "warnings": ["w"], "tables": {"idle": {"host:b": {"train": "x/y@1"}}}, "share": ["metrics"],
        "checkpoints": [{"job": job, "task": "idle", "attempt": 1, "address": "host:b", "steps": [1]}],
    }  # fmt: skip
    return {"answer": said, "signature": "00"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("hostile"))
    made["b"].cluster.script = hangs
    made.up()
    yield made
    made.down()


@pytest.fixture(scope="module")
def running(world: World) -> str:
    job = world.submit(nothing_job())
    world.wait(job, "running")
    return job


def call(world: World, frm: str, to: str, method: str, data: bytes) -> bool:
    """Whether it was taken; if not, the error has a name. Anything else fails the test."""
    try:
        world.hub.handlers[to](type("Call", (), {"party": frm, "method": method, "body": data})())
    except PlatformError as error:
        refusal = error
    else:
        return True
    assert refusal.code.startswith(("flow.", "party.", "runtime.", "test.")), refusal.code
    assert len(refusal.message) < 5_000
    return False


def everything_is_shown(world: World, party: str) -> None:
    flow = world[party].flow
    assert flow is not None
    listed = flow.jobs(1_000)
    for summary in listed:
        assert is_printable("".join(summary_row(summary))), summary
        assert iso(summary.submitted_ms)
        assert when(summary.submitted_ms)
    for summary in listed[:1]:
        assert list(job_lines(flow.job(summary.id)))
        for row in (*flow.events(summary.id), *flow.metrics(summary.id), *flow.logs(summary.id)):
            assert json.dumps(row.model_dump(mode="json"))
        assert flow.why(summary.id) is not None
        assert flow.progress(summary.id) is not None


FEW = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(FEW, max_examples=10_000)


def one_proposal(world: World, data: Any) -> None:
    body = nothing_proposal(str(new_job_id()))
    place = data.draw(st.sampled_from(list(places(body))))
    if call(world, "a", "b", "propose", message(spoiled(body, place, data.draw(HOSTILE)))):
        everything_is_shown(world, "b")


@FEW
@given(data=st.data())
def test_a_hostile_proposal_is_answered_or_refused_and_everything_is_still_shown(world: World, data: Any) -> None:
    one_proposal(world, data)


def one_report_or_answer(world: World, running: str, data: Any) -> None:
    method, body = data.draw(st.sampled_from([("report", report(running)), ("answer", answer(running))]))
    place = data.draw(st.sampled_from(list(places(body))))
    if call(world, "b", "a", method, message(changed(body, place, data.draw(HOSTILE)))):
        everything_is_shown(world, "a")


@FEW
@given(data=st.data())
def test_a_hostile_report_or_answer_is_taken_or_refused_and_everything_is_still_shown(
    world: World, running: str, data: Any
) -> None:
    one_report_or_answer(world, running, data)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@MANY
@given(data=st.data())
def test_ten_thousand_hostile_proposals_and_reports_harm_nothing(world: World, running: str, data: Any) -> None:
    one_proposal(world, data)
    one_report_or_answer(world, running, data)


@FEW
@given(data=st.data())
def test_a_hostile_list_of_outputs_is_refused(data: Any) -> None:
    output = {"address": "guest:a", "name": "model", "kind": "model", "reference": "j/t.o", "digest": "0" * 64}
    body = {"outputs": [output]}
    place = data.draw(st.sampled_from(list(places(body))))
    try:
        found, _ = decode(Published, message(changed(body, place, data.draw(HOSTILE))))
    except BadMessage:
        return
    assert all(is_printable(o.name + o.kind + o.reference) and len(o.reference) <= 300 for o in found.outputs)


@pytest.mark.parametrize("value", [10**17, -1, "1", True, 1.5, None])
def test_a_time_of_submission_that_no_calendar_has_is_refused_with_its_path(world: World, value: object) -> None:
    body = message({**nothing_proposal(str(new_job_id())), "submitted_ms": value})
    with pytest.raises(BadMessage, match="submitted_ms"):
        world.hub.call("a", "b", "propose", body)


@pytest.mark.parametrize("hlc", ["9" * 4_000 + ".1", "-1.0", "0.99999999999", "x", "", None, 5])
def test_a_clock_that_no_event_could_carry_is_refused(world: World, hlc: object) -> None:
    with pytest.raises(BadMessage):
        world.hub.call("a", "b", "propose", message(nothing_proposal(str(new_job_id())), hlc))


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"schema":1,"hlc":"","body":' + b'{"a":' * 5_000, b"\xff", b"{}"])
def test_what_is_nested_without_end_is_refused(world: World, data: bytes) -> None:
    with pytest.raises(BadMessage):
        world.hub.call("a", "b", "propose", data)


def test_a_job_that_an_older_release_took_in_hides_no_other(world: World, running: str) -> None:
    flow = world["b"].flow
    assert flow is not None
    poisoned = str(new_job_id())
    call(world, "a", "b", "propose", message(nothing_proposal(poisoned)))
    with flow._database.write() as writer:
        writer.run(job.update().where(job.c.id == poisoned).values(submitted_ms=10**17, name="\x1b[2J"))
        writer.run(job_party.update().where(job_party.c.job == poisoned).values(answer='{"answer": 1}'))
    everything_is_shown(world, "b")
    assert {poisoned, running} <= {summary.id for summary in flow.jobs(1_000)}
    with flow._database.write() as writer:
        writer.run(job.update().where(job.c.id == poisoned).values(state="no such state"))
    assert "(this job cannot be shown)" in {summary.name for summary in flow.jobs(1_000)}
    with flow._database.write() as writer:
        writer.run(job.update().where(job.c.id == poisoned).values(state="cancelled"))
