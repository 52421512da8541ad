"""What a party's policies keep from others, over three Flows in one process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from flow.errors import JobInvalid, NotAskedForApproval, Problem, ProposalChanged
from flow.job.binding import BoundTask, Components, bind
from flow.job.spec import JobSpec, parse_job
from flow.job.states import JobState
from flow.protocol.manifest import OUR_API
from flow.protocol.messages import Decision, Proposal, encode
from flow.protocol.policy import ModelFacts, TableFacts
from party.errors import CardExpired
from party.ids import new_job_id
from party.settings import PolicySettings
from runtime.clock import HybridTime
from storage.client import StoreUnavailable, UsePolicy
from tests.fakes.flow_world import SCIENTIST, FakeParty, World, component, nothing_job, train_job


def encrypted_job() -> dict[str, object]:
    job = train_job()
    job["tasks"]["train"]["parameters"]["secure"] = "paillier"
    return job


def test_why_a_table_is_missing_is_read_at_its_own_party_alone(world: World) -> None:
    world["b"].store.tables.clear()
    job = world.submit(train_job())
    view = world.wait(job, "refused")
    public = "tasks.train.inputs.train: b has no table breast/train for this job."
    assert public in view.error.message
    assert "Did you mean" not in view.model_dump_json()
    world.wait(job, "refused", party="b")
    own = world["b"].flow.job(job)  # type: ignore[union-attr]
    assert [p.reasons for p in own.parties if p.party == "b"] == [
        ("tasks.train.inputs.train: There is no table 'breast/train'. Did you mean 'breast/train'?",)
    ]
    assert "Did you mean" not in "".join(str(event) for event in world.a.events(job))


def test_weights_do_not_come_back_to_the_arbiter_by_a_warm_start(world: World) -> None:
    """After an encrypted job its arbiter proposes a plain one that goes on from a trainer's model, with it alone."""
    world["b"].policy = PolicySettings(accept=Decision.AGREE)
    world["c"].policy = world["c"].policy.model_copy(update={"min_trainers": 1})
    earlier = world.submit(encrypted_job())
    world.wait_closed(earlier)
    model = f"{earlier}/train.model"
    for name in "ab":
        world[name].store.models[model] = ModelFacts(model)
    attack = {
        **train_job(),
        "initiator": "c",
        "roles": {"guest": ["b"], "arbiter": ["c"]},
        "tasks": {
            "train": {
                "component": "train@1",
                "inputs": {"train": "breast/train", "model": f"job:{earlier}/train.model"},
                "parameters": {"rounds": 1, "secure": "plain"},
            }
        },
    }
    flow = world["c"].flow
    assert flow is not None
    first = flow.submit(json.dumps(attack).encode(), user=SCIENTIST)
    refused = world.wait(first, "refused", party="c")
    for says in ("asks for 2 trainers", "asks for 'masked' protection", "c holds no part of it"):
        assert says in refused.error.message
    assert not any(order.job == first for order in world["b"].cluster.orders)
    world["b"].policy = world["b"].policy.model_copy(update={"min_trainers": 1, "min_protection": "plain"})
    second = flow.submit(json.dumps(attack).encode(), user=SCIENTIST)
    assert "c holds no part of it" in world.wait(second, "refused", party="c").error.message
    world["b"].store.models[model] = ModelFacts(model, use=UsePolicy(peers=("c",)))
    third = flow.submit(json.dumps(attack).encode(), user=SCIENTIST)
    assert world.wait_closed(third, party="c").state == "succeeded", "b's people have granted c the model"


def test_those_who_trained_a_model_go_on_from_it(world: World) -> None:
    earlier = world.submit(encrypted_job())
    world.wait_closed(earlier)
    model = f"{earlier}/train.model"
    for name in "ab":
        world[name].store.models[model] = ModelFacts(model)
    again = encrypted_job()
    again["tasks"]["train"]["inputs"]["model"] = f"job:{earlier}/train.model"  # type: ignore[index]
    assert world.wait_closed(world.submit(again)).state == "succeeded"


def test_a_person_is_shown_what_there_is_to_decide_about(world: World) -> None:
    world["b"].policy = world["b"].policy.model_copy(update={"accept": Decision.ASK})
    world["b"].store.tables["breast/train"] = TableFacts("breast/train@1", 100, owner="eve")
    job = world.submit(train_job())
    world.until(lambda view: any(waiting.who == "b" for waiting in view.waiting_for), job)
    flow = world["b"].flow
    assert flow is not None
    view = flow.proposal(job)
    assert view.waits
    assert [(item.name, item.reference, item.rows, item.owner) for item in view.inputs] == [
        ("breast/train", "breast/train@1", 100, "eve")
    ]
    assert [(line.tag, line.protection, line.we) for line in view.conversation] == [("update", "plain", "send")]
    assert not world.a.proposal(job).waits
    flow.approve(job, SCIENTIST, view.digest)
    world.wait_closed(job)
    assert not flow.proposal(job).waits
    by = [event.body for event in flow.events(job) if event.kind == "party.agree" and event.party == "b"]
    assert by == [{"reasons": [], "user": SCIENTIST.name, "seen": view.digest}]


@pytest.mark.parametrize("agrees", [True, False])
def test_a_note_stays_with_the_decision_and_at_its_party(world: World, agrees: bool) -> None:
    world["b"].policy = world["b"].policy.model_copy(update={"accept": Decision.ASK})
    job = world.submit(train_job())
    world.until(lambda view: any(waiting.who == "b" for waiting in view.waiting_for), job)
    flow = world["b"].flow
    assert flow is not None
    digest, note = flow.proposal(job).digest, "Board of 3 May."
    flow.approve(job, SCIENTIST, digest, note) if agrees else flow.refuse(job, SCIENTIST, "Not now.", note)
    world.wait_closed(job)
    own = next(party for party in flow.job(job).parties if party.party == "b")
    assert (own.by, own.note) == (SCIENTIST.name, note)
    shown = flow.proposal(job)
    assert (shown.by, shown.note, shown.digest) == (SCIENTIST.name, note, digest)
    assert [e.body["note"] for e in flow.events(job) if "note" in e.body] == [note]
    others = [other.flow for other in (world["a"], world["c"]) if other.flow]
    for each in others:
        told = [each.job(job).model_dump_json(), *(event.model_dump_json() for event in each.events(job))]
        assert note not in "".join(told)


def test_an_approval_of_something_else_than_what_is_asked_now_leaves_the_job_waiting(world: World) -> None:
    world["b"].policy = world["b"].policy.model_copy(update={"accept": Decision.ASK})
    job = world.submit(train_job())
    world.until(lambda view: any(waiting.who == "b" for waiting in view.waiting_for), job)
    seen = world["b"].flow.proposal(job)  # type: ignore[union-attr]
    world["b"].down()
    flow = world["b"].up()
    assert flow.proposal(job) == seen  # a restart changes nothing of it
    world["b"].store.tables["breast/train"] = TableFacts("breast/train@2", 100)
    for digest in (seen.digest, seen.digest[:12], ""):
        with pytest.raises(ProposalChanged, match="has changed since it was shown"):
            flow.approve(job, SCIENTIST, digest)
    newer = flow.proposal(job)
    assert (newer.waits, newer.inputs[0].reference) == (True, "breast/train@2")
    flow.approve(job, SCIENTIST, newer.digest)
    world.wait_closed(job)
    with pytest.raises(NotAskedForApproval):
        flow.approve(job, SCIENTIST, newer.digest)


def test_a_job_that_a_person_refused_is_over_here_at_once(world: World) -> None:
    """Its state and reason are there before the initiator, which may be away, hears of it."""
    world["b"].policy = world["b"].policy.model_copy(update={"accept": Decision.ASK})
    job = world.submit(train_job())
    world.until(lambda view: any(waiting.who == "b" for waiting in view.waiting_for), job)
    flow = world["b"].flow
    assert flow is not None
    flow.refuse(job, SCIENTIST, "Not this month.")
    view = flow.job(job)
    assert view.state is JobState.REFUSED
    assert (view.error.code, view.error.message, view.error.party) == ("flow.job_refused", "Not this month.", "b")
    assert not flow.proposal(job).waits
    by = [event.body for event in flow.events(job) if event.kind == "party.refuse"]
    assert by == [{"reasons": ["Not this month."], "user": SCIENTIST.name}]
    assert "Not this month." in "".join(flow.why(job))
    assert "Not this month." in world.wait(job, "refused").error.message


def test_where_the_store_of_a_party_lies_is_not_told_to_another(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_text: str) -> TableFacts:
        raise StoreUnavailable("/srv/b/secret-store cannot be reached: no such device.")

    monkeypatch.setattr(world["b"].store, "table", gone)
    job = world.submit(train_job())
    view = world.until(lambda view: any(waiting.who == "b" for waiting in view.waiting_for), job)
    assert "secret-store" not in view.model_dump_json()
    assert "secret-store" not in "".join(world.a.why(job))
    monkeypatch.undo()
    world.wait_closed(job)


# -- changed after agreement -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda b: setattr(b, "policy", b.policy.model_copy(update={"peers": ("c",)})), "does not allow jobs with a"),
        (
            lambda b: setattr(b, "policy", b.policy.model_copy(update={"min_protection": "masked"})),
            "asks for 'masked' protection",
        ),
        (
            lambda b: b.store.tables.update(
                {"breast/train": TableFacts("breast/train@1", 100, use=UsePolicy(peers=("c",)))}
            ),
            "b has no table breast/train for this job",
        ),
    ],
    ids=["peers", "protection", "table"],
)
def test_what_a_policy_forbids_after_agreement_is_not_started(
    world: World, change: Callable[[FakeParty], object], says: str
) -> None:
    """The job waits for room at another party while the policy of `b` changes."""
    world["c"].cluster.cores = 0
    job = world.submit(train_job())
    world.until(lambda view: any(waiting.what == "room" for waiting in view.waiting_for), job)
    change(world["b"])
    world["c"].cluster.cores = 4
    view = world.wait(job, "failed")
    assert view.error.code == "flow.policy_forbids"
    assert says in view.error.message
    assert not any(order.job == job for order in world["b"].cluster.orders)


def test_a_policy_is_taken_up_without_a_restart(world: World) -> None:
    world.wait_closed(world.submit(train_job()))
    world["b"].policy = world["b"].policy.model_copy(update={"accept": Decision.REFUSE})
    assert "refuses every job" in world.wait(world.submit(train_job()), "refused").error.message


def test_a_proposal_is_worked_out_once_and_that_of_an_excluded_party_never(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound: list[str] = []

    def counting(spec: JobSpec, components: Components) -> tuple[dict[str, BoundTask], list[Problem]]:
        bound.append(spec.name)
        return bind(spec, components)

    monkeypatch.setattr("flow.store.catalogue.bind", counting)
    for name in ("a", "c"):
        world[name].down()
    b, flow = world["b"], world["b"].flow
    assert flow is not None
    b.policy = b.policy.model_copy(update={"accept": Decision.ASK})
    spec = parse_job(json.dumps(nothing_job()).encode())
    made = Proposal(
        job=new_job_id(), initiator="a", user="ann", spec=spec.document(), spec_digest=spec.digest(), seed="0" * 64,
        code={"nothing@1": component("nothing@1").code_digest}, api=OUR_API, submitted_ms=1,
    )  # fmt: skip
    for _ in range(3):
        world.hub.call("a", "b", "propose", encode(made, HybridTime(1, 1)))
        assert flow.proposal(made.job).waits
    assert bound == ["nothing"]
    b.policy = b.policy.model_copy(update={"peers": ("c",)})
    other = made.model_copy(update={"job": new_job_id()})
    for _ in range(3):
        world.hub.call("a", "b", "propose", encode(other, HybridTime(1, 1)))
    assert flow.job(other.job).state is JobState.REFUSED
    assert bound == ["nothing"]


CLOSED = [
    ({"min_protection": "masked"}, {}),
    ({"components": ("score",)}, {}),
    ({"peers": ("b",)}, {}),
    ({"min_trainers": 3}, {}),
    ({"min_rows": 1000}, {}),
    ({"accept": Decision.REFUSE}, {}),
    ({}, {"min_rows": 1000}),
    ({}, {"peers": ("b",)}),
    ({}, {"components": ("score",)}),
    ({}, {"expires": datetime(2020, 1, 1, tzinfo=UTC)}),
]


@pytest.mark.parametrize(("policy", "use"), CLOSED)
def test_what_validate_says_is_what_ones_own_party_answers_in_full(
    world: World, policy: dict[str, object], use: dict[str, object]
) -> None:
    a = world["a"]
    a.policy = a.policy.model_copy(update=policy)  # type: ignore[arg-type]
    a.store.tables["breast/train"] = replace(a.store.tables["breast/train"], use=UsePolicy(**use))
    verdict = world.a.validate(json.dumps(train_job()).encode(), user=SCIENTIST)
    assert verdict.decision is Decision.REFUSE
    view = world.wait(world.submit(train_job()), "refused")
    [own] = [party.reasons for party in view.parties if party.party == "a"]
    assert tuple(f"{p.path}: {p.message}" if p.path else p.message for p in verdict.problems) == own


@pytest.mark.parametrize("accept", [Decision.AGREE, Decision.ASK])
def test_validate_says_what_ones_own_party_would_answer_and_who_else_decides(world: World, accept: Decision) -> None:
    world["a"].policy = world["a"].policy.model_copy(update={"accept": accept})
    world["b"].policy = world["b"].policy.model_copy(update={"accept": Decision.REFUSE})
    verdict = world.a.validate(json.dumps(train_job()).encode(), user=SCIENTIST)
    assert (verdict.decision, verdict.problems, verdict.others) == (accept, (), ("b", "c"))
    assert (world.hub.calls, world.a.jobs()) == ([], [])


def test_a_refusal_for_weak_protection_names_the_field_and_a_value_that_is_enough(world: World) -> None:
    world["b"].policy = world["b"].policy.model_copy(update={"min_protection": "masked"})
    said = world.wait(world.submit(train_job()), "refused").error.message
    assert said.endswith("the job has 'plain'. Set tasks.train.parameters.secure to \"paillier\".")
    assert world.wait_closed(world.submit(encrypted_job())).state is JobState.SUCCEEDED


def test_a_job_with_a_party_that_is_not_trusted_here_is_refused_at_submission_by_name(world: World) -> None:
    world["a"].trusts = {"b"}
    [problem] = world.a.validate(json.dumps(nothing_job()).encode(), user=SCIENTIST).problems
    assert problem.message == "'c' is not a party that we trust."
    assert "`flow party trust CARD`" in problem.hint
    with pytest.raises(JobInvalid, match="'c' is not a party that we trust"):
        world.submit(nothing_job())


def test_a_job_with_a_party_whose_card_has_lapsed_is_refused_with_why_and_what_to_do(world: World) -> None:
    world["a"].trusts = {"b"}
    world["a"].lapsed = {"c": CardExpired("The card of c expired at 2028.", hint="Ask c for a new card.")}
    [problem] = world.a.validate(json.dumps(nothing_job()).encode(), user=SCIENTIST).problems
    assert (problem.message, problem.hint) == ("The card of c expired at 2028.", "Ask c for a new card.")


def test_a_party_refuses_a_job_with_one_that_it_does_not_trust_and_names_no_other(world: World) -> None:
    world["b"].trusts = {"a", "elsewhere"}
    job = world.submit(nothing_job())
    view = world.wait(job, "refused")
    [said] = [p for p in view.parties if p.party == "b"]
    assert said.reasons == ("b does not trust c, a party of this job.",)
    assert "elsewhere" not in view.model_dump_json()
    world.wait(job, "refused", party="b")
    own = world["b"].flow.job(job)  # type: ignore[union-attr]
    [told] = [p for p in own.parties if p.party == "b"]
    assert "`flow party trust CARD`" in told.reasons[0]
