"""A dry run: every party says what it would answer, and nothing is left of it anywhere."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flow.errors import AskedTooOften, NotInitiator, TooManyJobs, UnknownMethod
from flow.job.spec import parse_job
from flow.protocol.manifest import OUR_API
from flow.protocol.messages import Considered, Decision, Method, Proposal, SignedAnswer, decode, encode
from flow.store.tables import metadata
from flow.views.dry_run import DryRunView
from party.ids import new_job_id
from runtime.clock import HybridTime
from tests.fakes.flow_world import SCIENTIST, World, component, nothing_job, train_job


def dry_run(world: World, spec: dict[str, Any] | None = None) -> DryRunView:
    return world.a.dry_run(json.dumps(spec or train_job()).encode(), user=SCIENTIST)


def rows(world: World) -> dict[str, int]:
    """How many rows each party's database holds."""
    found = {}
    for name, party in world.parties.items():
        assert party.flow is not None
        with party.flow._database.read() as connection:
            found[name] = sum(len(connection.execute(table.select()).all()) for table in metadata.tables.values())
    return found


def said(world: World, method: Method, frm: str = "a", job: str = "", **changes: Any) -> Any:
    """What `b` says to a proposal of `a`."""
    spec = parse_job(json.dumps(train_job() | changes).encode())
    made = Proposal(
        job=job or new_job_id(), initiator="a", user="ann", spec=spec.document(), spec_digest=spec.digest(),
        seed="0" * 64, code={"train@1": component("train@1").code_digest}, api=OUR_API, submitted_ms=1,
    )  # fmt: skip
    kind = Considered if method is Method.CONSIDER else SignedAnswer
    reply = decode(kind, world.hub.call(frm, "b", method, encode(made, HybridTime(1, 1))))[0]
    return reply.answer.model_copy(update={"job": "", "proposal_digest": ""})


def test_every_party_says_what_it_would_answer_and_nothing_of_it_is_kept(world: World) -> None:
    world["c"].policy = world["c"].policy.model_copy(update={"accept": Decision.ASK})
    del world["b"].store.tables["breast/train"]
    before = rows(world)
    view = dry_run(world)
    assert {party.party: party.decision for party in view.parties} == {"a": "agree", "b": "refuse", "c": "ask"}
    assert view.refused
    (reason,) = view.parties[1].reasons
    assert "breast/train" in reason
    assert {run.address: run.fits for run in view.runs if run.task == "train"} == {
        "guest:a": True, "host:b": None, "arbiter:c": None,
    }  # fmt: skip
    assert {line.tag for line in view.conversation} == {"update"}
    assert rows(world) == before
    assert not any(party.flow and party.flow.jobs() for party in world.parties.values())


def test_a_party_that_would_agree_says_whether_it_has_room_now(world: World) -> None:
    world["b"].cluster.cores = 0
    view = dry_run(world)
    assert not view.refused
    assert {run.fits for run in view.runs if run.address == "host:b"} == {False}


def test_what_an_older_or_absent_party_would_answer_is_not_known(world: World) -> None:
    def old(_frm: str, to: str, method: str) -> None:
        if (to, method) == ("b", Method.CONSIDER):
            raise UnknownMethod(f"Flow answers no method '{method}'.")

    world.hub.before = old
    world["c"].down()
    view = dry_run(world)
    assert [party.decision for party in view.parties] == ["agree", "unknown", "unknown"]
    assert view.parties[1].reasons == ("Its release does not answer this.",)
    assert "Nobody answers at c" in view.parties[2].reasons[0]
    assert not view.refused


def test_a_job_that_its_own_party_would_not_take_is_shown_to_nobody(world: World) -> None:
    view = dry_run(world, train_job() | {"initiator": "b"})
    assert [problem["path"] for problem in view.problems] == ["initiator"]
    assert not world.hub.calls


@pytest.mark.parametrize("accept", list(Decision))
def test_a_question_is_told_exactly_what_a_proposal_is(world: World, accept: Decision) -> None:
    world["b"].policy = world["b"].policy.model_copy(update={"accept": accept})
    assert said(world, Method.CONSIDER) == said(world, Method.PROPOSE)
    del world["b"].store.tables["breast/train"]
    assert said(world, Method.CONSIDER) == said(world, Method.PROPOSE)


def test_only_the_initiator_of_a_job_asks_about_it(world: World) -> None:
    with pytest.raises(NotInitiator):
        said(world, Method.CONSIDER, frm="c")


def test_a_question_under_the_id_of_a_job_changes_nothing_of_that(world: World) -> None:
    world["b"].policy = world["b"].policy.model_copy(update={"accept": Decision.ASK})
    job = world.submit(train_job())
    world.until(lambda view: any(waiting.who == "b" for waiting in view.waiting_for), job)
    flow = world["b"].flow
    assert flow is not None
    before = flow.proposal(job)
    said(world, Method.CONSIDER, job=job, name="other")
    assert flow.proposal(job) == before


def test_a_party_asks_as_often_a_minute_as_it_may(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    flow = world["b"].flow
    assert flow is not None
    monkeypatch.setattr(flow._servicer._methods[Method.CONSIDER].handler.__self__._asked, "_most", 2)  # type: ignore[attr-defined]
    for _ in range(2):
        said(world, Method.CONSIDER)
    with pytest.raises(AskedTooOften):
        said(world, Method.CONSIDER)


def test_a_party_with_as_many_jobs_as_may_wait_here_is_told_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flow.store.proposal_limits.MOST_JOBS", 0)
    with pytest.raises(TooManyJobs):
        said(world, Method.CONSIDER)


def test_how_long_it_takes_is_as_long_as_the_same_took_before(world: World) -> None:
    world.wait_closed(world.submit(nothing_job()))
    found = {one.party: one for one in dry_run(world, nothing_job()).estimates}
    assert {one.measured for one in found.values()} == {1}
    assert all(one.seconds is not None and one.most_bytes == 0 for one in found.values())
    assert [one.seconds for one in dry_run(world).estimates if one.task == "train"] == [None] * 3
