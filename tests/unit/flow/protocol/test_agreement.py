from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from algorithms import registry
from flow.errors import BadMessage, NotInitiator
from flow.job.binding import BoundJob, bind
from flow.job.spec import JobSpec, parse_job
from flow.protocol.agreement import check_proposal, decide
from flow.protocol.knowledge import Knowledge, wanted
from flow.protocol.manifest import OUR_API
from flow.protocol.messages import Answer, ApiVersions, BroughtTable, Decision, KeptSteps, Proposal
from flow.protocol.policy import ModelFacts, TableFacts
from flow.protocol.reasons import Decided
from party.settings import PolicySettings
from runtime.errors import NotFound
from storage.client import NO_ROLES, Alignment, TableRoles, UsePolicy
from tests.fakes.flow_world import COMPONENTS, component, nothing_job, train_job

NOW = datetime(2026, 5, 1, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)
TABLE = TableFacts("breast/train@4", rows=100)
OPEN: dict[str, Any] = {"accept": Decision.AGREE, "min_protection": "plain"}
JOB = "01M84NKVCS9025W7T6P1XBY3P8"


def proposal(document: dict[str, Any], **changes: Any) -> tuple[Proposal, JobSpec]:
    spec = parse_job(json.dumps(document).encode())
    made = Proposal(
        job=JOB, initiator=spec.initiator, user="ann", spec=spec.document(), spec_digest=spec.digest(), seed="0" * 64,
        code={c.reference: c.code_digest for c in COMPONENTS.values()}, api=OUR_API, submitted_ms=1,
    )  # fmt: skip
    return made.model_copy(update=changes), spec


def bound(spec: JobSpec) -> BoundJob:
    return BoundJob(spec, *bind(spec, component))


def decided(document: dict[str, Any], table: object = TABLE, *, changes: Any = None, **policy: Any) -> Decided:
    made, spec = proposal(document, **(changes or {}))
    know = Knowledge("b", PolicySettings(**(OPEN | policy)), NOW, {"breast/train": table}, {})  # type: ignore[dict-item]
    return decide(made, bound(spec), know)


def answer(document: dict[str, Any], table: object = TABLE, *, changes: Any = None, **policy: Any) -> Answer:
    return decided(document, table, changes=changes, **policy).answer


def test_a_job_that_fits_is_agreed_to_with_exact_table_versions() -> None:
    said = answer(train_job(), share=("metrics",))
    assert said.decision is Decision.AGREE
    assert said.reasons == ()
    assert said.tables == {"train": {"host:b": {"train": BroughtTable(reference="breast/train@4", roles=NO_ROLES)}}}
    assert said.share == ("metrics",)


def test_the_others_hear_which_roles_a_table_has_and_no_name_of_a_column() -> None:
    alignment = Alignment(result=f"{JOB}/match.data", order_digest="5" * 64)
    roles = TableRoles(id="patient", label="has died", match_id="insurance no", alignment=alignment)
    said = answer(train_job(), replace(TABLE, roles=roles))
    brought = said.tables["train"]["host:b"]["train"]
    assert brought.roles == TableRoles(id="id", label="label", match_id="match_id", alignment=alignment)
    text = said.model_dump_json(by_alias=True)
    assert Answer.model_validate_json(text) == said
    assert not any(name in text for name in roles.columns.values())
    with pytest.raises(ValidationError, match="it names columns"):
        Answer.model_validate_json(text.replace('"label":"label"', '"label":"\\u001b[31m"'))
    for wrong in (
        text.replace("5" * 64, "5" * 63),
        text.replace("match.data", "../keys"),
        text.replace('"weight"', '"why"'),
    ):
        with pytest.raises(ValidationError):
            Answer.model_validate_json(wrong)


def test_a_task_that_the_hosts_of_a_party_can_never_bear_is_refused() -> None:
    made, spec = proposal(train_job())
    room = {"train": "64 cores wanted, the largest host has 2"}
    know = Knowledge("b", PolicySettings(**OPEN), NOW, {"breast/train": TABLE}, {}, room=room)
    said = decide(made, bound(spec), know).answer
    assert said.decision is Decision.REFUSE
    assert said.reasons == ("tasks.train.resources: 64 cores wanted, the largest host has 2 at b. Ask for less.",)


def test_below_three_trainers_agreement_warns() -> None:
    [warning] = answer(train_job()).warnings
    assert "with 2 trainers a sum reveals the other's update" in warning
    three = train_job()
    three["roles"]["host"] = ["b", "d"]
    assert answer(three).warnings == ()


def test_a_party_trains_in_one_role_so_that_it_counts_once() -> None:
    document = train_job()
    document["roles"]["host"] = ["a", "b"]
    [reason] = answer(document).reasons
    assert "'a' is guest and host: a party trains once." in reason


@pytest.mark.parametrize(
    ("policy", "says", "whatever_the_table"),
    [
        ({"accept": Decision.REFUSE}, "The policy of b refuses every job.", True),
        ({"peers": ("a",)}, "does not allow jobs with c", True),
        ({"components": ("homo_*",)}, "does not allow the component train@1", True),
        ({"min_rows": 101}, "table breast/train of b has fewer rows than its policy asks for", False),
        ({"min_trainers": 3}, "asks for 3 trainers, the job has 2", True),
        ({"min_protection": "encrypted"}, "asks for 'encrypted' protection or better", True),
    ],
)
def test_policy_refuses_with_a_reason(policy: dict[str, Any], says: str, whatever_the_table: bool) -> None:
    found = decided(train_job(), **policy)
    said = found.answer
    assert said.decision is Decision.REFUSE
    assert any(says in reason for reason in said.reasons), said.reasons
    assert found.by_policy is whatever_the_table


def test_what_the_people_of_a_party_could_mend_is_not_refused_by_its_policy() -> None:
    made, spec = proposal(train_job())
    know = Knowledge("b", PolicySettings(**OPEN), NOW, {"breast/train": TABLE}, {}, strangers=("c",))
    gone = {**nothing_job(), "tasks": {"idle": {"component": "gone@1"}}}
    others = [
        decide(made, bound(spec), know),
        decided(train_job(), NotFound("There is no table.")),
        decided(gone),
        decided(nothing_job(), changes={"code": {"nothing@1": "0" * 64}}),
    ]
    assert {each.answer.decision for each in others} == {Decision.REFUSE}
    assert not any(each.by_policy for each in others)


ABSENT = "b has no table breast/train for this job."


@pytest.mark.parametrize(
    ("table", "public", "own"),
    [
        (
            NotFound("There is no table.", hint="Did you mean 'clinic/hiv-positive'?"),
            ABSENT,
            "There is no table. Did you mean 'clinic/hiv-positive'?",
        ),
        (replace(TABLE, use=UsePolicy(peers=("c",))), ABSENT, "table breast/train@4 may not be used with a."),
        (
            replace(TABLE, use=UsePolicy(components=("score",))),
            "table breast/train of b may not be used by train@1.",
            "table breast/train of b may not be used by train@1.",
        ),
        (
            replace(TABLE, use=UsePolicy(min_rows=1000)),
            "table breast/train of b has fewer rows than its policy asks for.",
            "table breast/train@4 has 100 rows, the policy of b asks for 1000.",
        ),
        (
            replace(TABLE, use=UsePolicy(expires=APRIL)),
            "b no longer lets table breast/train be used.",
            "the permission to use table breast/train@4 ended on 2026-04-01.",
        ),
    ],
)
def test_why_a_table_may_not_be_used_is_told_in_full_only_to_our_own_people(
    table: object, public: str, own: str
) -> None:
    said = decided(train_job(), table)
    assert said.answer.decision is Decision.REFUSE
    assert said.answer.reasons == (f"tasks.train.inputs.train: {public}",)
    assert said.reasons == (f"tasks.train.inputs.train: {own}",)
    assert said.answer.tables == {}


def test_an_excluded_party_learns_that_and_nothing_else() -> None:
    made, spec = proposal(train_job())
    kept = (KeptSteps(job=JOB, task="train", attempt=1, address="host:b", steps=(1,)),)
    facts = replace(TABLE, rows=3, use=UsePolicy(min_rows=1000))
    policy = PolicySettings(**(OPEN | {"peers": ("c",), "components": ("score",), "min_trainers": 9}))
    know = Knowledge("b", policy, NOW, {"breast/train": facts}, {}, kept, {"train": "64 cores wanted"})
    said = decide(made.model_copy(update={"code": {}}), bound(spec), know).answer
    assert said.reasons == ("The policy of b does not allow jobs with a.",)
    assert (said.warnings, said.tables, said.checkpoints) == ((), {}, ())


def test_until_a_person_has_agreed_no_table_version_leaves() -> None:
    assert answer(train_job(), accept=Decision.ASK).tables == {}


def test_a_party_that_wants_to_be_asked_says_so() -> None:
    assert answer(train_job(), accept=Decision.ASK).decision is Decision.ASK


def test_by_default_a_person_is_asked() -> None:
    assert PolicySettings().accept == Decision.ASK


def test_by_default_a_plain_sum_and_a_lone_trainer_are_refused() -> None:
    plain = answer(train_job(), min_protection=PolicySettings().min_protection)
    assert plain.decision is Decision.REFUSE
    assert "asks for 'masked' protection or better of what train@1 sends, the job has 'plain'" in plain.reasons[0]
    encrypted = train_job()
    encrypted["tasks"]["train"]["parameters"] = {"secure": "paillier"}
    assert answer(encrypted, min_protection=PolicySettings().min_protection).decision is Decision.AGREE
    del encrypted["roles"]["guest"], encrypted["tasks"]["train"]["inputs"]
    alone = {**encrypted, "initiator": "c", "roles": {"guest": ["b"], "arbiter": ["c"]}}
    alone["tasks"]["train"]["inputs"] = {"train": "breast/train"}
    assert "asks for 2 trainers, the job has 1" in answer(alone).reasons[0]


@pytest.mark.parametrize(
    ("least", "agrees"),
    [
        ("encrypted", False),
        ({"train": "plain"}, True),
        ({"train@1": "plain", "train": "encrypted"}, True),
        ({"*": "plain"}, True),
        ({"other": "plain"}, False),
    ],
)
def test_the_least_protection_may_differ_by_component(least: Any, agrees: bool) -> None:
    assert (answer(train_job(), min_protection=least).decision is Decision.AGREE) is agrees


def test_a_task_in_which_nothing_of_the_rows_leaves_asks_for_no_protection() -> None:
    assert answer(nothing_job(), min_protection="encrypted").decision is Decision.AGREE


def test_other_code_under_the_same_name_is_refused() -> None:
    said = decided(nothing_job(), changes={"code": {"nothing@1": "0" * 64}})
    assert said.answer.decision is Decision.REFUSE
    assert said.answer.reasons[0].startswith("nothing@1 has other code here than at a.")
    assert component("nothing").code_digest[:12] in said.reasons[0]


def test_a_release_of_another_version_of_the_api_agrees_if_it_speaks_ours_too() -> None:
    newer = ApiVersions(minimum=OUR_API.version, version=OUR_API.version + 1)
    said = answer(train_job(), changes={"api": newer})
    assert said.decision is Decision.AGREE
    assert said.api == OUR_API


@pytest.mark.parametrize("document", [train_job(), {**nothing_job(), "tasks": {"idle": {"component": "gone@1"}}}])
def test_a_release_that_does_not_speak_our_version_of_the_api_is_told_both_and_nothing_else(document: Any) -> None:
    newer = ApiVersions(minimum=OUR_API.version + 1, version=OUR_API.version + 2)
    said = answer(document, changes={"api": newer})
    assert said.decision is Decision.REFUSE
    told = "The release of b is the older one and must be upgraded."
    assert said.reasons == (f"a speaks version 2 to 3 of the API of algorithms, b 1. {told}",)


def test_a_component_that_is_not_installed_is_a_reason() -> None:
    document = nothing_job()
    document["tasks"]["idle"]["component"] = "gone@1"
    said = decided(document)
    assert said.answer.decision is Decision.REFUSE
    assert said.answer.reasons == ("tasks.idle.component: There is no component 'gone@1'.",)
    assert said.reasons == ("tasks.idle.component: There is no component 'gone@1'. Did you mean 'train@1'?",)


def test_only_the_initiator_may_propose_and_only_what_it_says() -> None:
    made, spec = proposal(train_job())
    check_proposal(made, "a", spec, "b")
    with pytest.raises(NotInitiator):
        check_proposal(made, "c", spec, "b")
    with pytest.raises(BadMessage, match="digest"):
        check_proposal(made.model_copy(update={"spec_digest": "0" * 64}), "a", spec, "b")
    with pytest.raises(BadMessage, match="z holds no role"):
        check_proposal(made, "a", spec, "z")


def test_earlier_outputs_are_looked_up_where_they_are_needed() -> None:
    document = train_job()
    document["tasks"]["train"]["inputs"] = {"train": f"job:{JOB}/prep.table", "model": f"job:{JOB}/train.model"}
    made, spec = proposal(document)
    tasks, _ = bind(spec, component)
    table = f"job-{JOB.lower()}/prep-table@1"
    assert wanted(tasks, "b") == ({table}, {f"{JOB}/train.model"})
    assert wanted(tasks, "c") == (set(), set())
    gone = NotFound("There is no such model.", hint="Did you mean this one?")
    know = Knowledge("b", PolicySettings(**OPEN), NOW, {table: TableFacts(table, 9)}, {f"{JOB}/train.model": gone})
    said = decide(made, bound(spec), know)
    assert said.answer.reasons == (f"tasks.train.inputs.model: b holds no part of job:{JOB}/train.model.",)
    assert said.reasons == ("tasks.train.inputs.model: There is no such model. Did you mean this one?",)
    held = ModelFacts(f"{JOB}/train.model", holders=frozenset("abc"))
    assert decide(made, bound(spec), replace(know, models={held.reference: held})).answer.decision is Decision.AGREE


# -- models ----------------------------------------------------------------------------------------------------------
MODEL = ModelFacts(f"{JOB}/train.model", holders=frozenset({"a", "b"}))


def warm_start(
    facts: ModelFacts, *, secure: str = "paillier", roles: Any = None, initiator: str = "", **policy: Any
) -> Decided:
    """A job that goes on from b's model, as `b` decides about it; by default a and b train and c adds up."""
    document = train_job()
    document["roles"] = roles or document["roles"]
    document["initiator"] = initiator or next(iter(document["roles"].values()))[0]
    document["tasks"]["train"]["inputs"] = {"train": "breast/train", "model": {"b": f"job:{JOB}/train.model"}}
    document["tasks"]["train"]["parameters"] = {"secure": secure}
    made, spec = proposal(document)
    know = Knowledge("b", PolicySettings(**(OPEN | policy)), NOW, {"breast/train": TABLE}, {facts.reference: facts})
    return decide(made, bound(spec), know)


def test_holders_of_a_model_may_go_on_from_it_with_an_arbiter_that_sees_nothing() -> None:
    assert warm_start(MODEL).answer.decision is Decision.AGREE


@pytest.mark.parametrize(("share", "agrees"), [(("metrics",), False), (("logs",), False), ((), True)])
def test_who_leads_a_job_sees_what_is_shared_of_it_whatever_its_roles_see(share: tuple[str, ...], agrees: bool) -> None:
    said = warm_start(MODEL, initiator="c", share=share).answer
    assert (said.decision is Decision.AGREE) is agrees
    assert all("c holds no part of it" in reason for reason in said.reasons)


def test_weights_do_not_come_back_to_the_arbiter_by_a_plain_warm_start() -> None:
    """The arbiter of an encrypted job proposes a plain one with the same model and one trainer."""
    lone = {"guest": ["b"], "arbiter": ["c"]}
    said = warm_start(MODEL, secure="plain", roles=lone, min_protection=PolicySettings().min_protection)
    assert said.answer.decision is Decision.REFUSE
    assert len(said.answer.reasons) == 3
    trainers, protection, model = said.answer.reasons
    assert "asks for 2 trainers, the job has 1" in trainers
    assert "asks for 'masked' protection" in protection
    assert f"b does not let this job use job:{JOB}/train.model: c holds no part of it." in model
    open_policy = warm_start(MODEL, secure="plain", roles=lone, min_trainers=1)
    assert len(open_policy.answer.reasons) == 1, "the model's own policy holds even where the party's is open"
    assert "flow model policy" in open_policy.reasons[0]


@pytest.mark.parametrize(
    ("facts", "agrees", "says"),
    [
        (replace(MODEL, use=UsePolicy(peers=("d",))), True, ""),
        (replace(MODEL, holders=frozenset("abd")), True, ""),
        (MODEL, False, "d holds no part of it"),
        (replace(MODEL, use=UsePolicy(peers=("d",), components=("score",))), False, "may not be used by train@1"),
        (
            replace(MODEL, use=UsePolicy(peers=("d",), expires=APRIL)),
            False,
            "no longer lets",
        ),
    ],
)
def test_a_trainer_that_does_not_hold_the_model_has_to_be_granted_it(
    facts: ModelFacts, agrees: bool, says: str
) -> None:
    said = warm_start(facts, roles={"guest": ["a"], "host": ["b", "d"], "arbiter": ["c"]}).answer
    assert (said.decision is Decision.AGREE) is agrees
    assert all(says in reason for reason in said.reasons)


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        (MODEL, "c holds no part of it"),
        (replace(MODEL, use=UsePolicy(peers=("d",))), "c holds no part of it"),
        (replace(MODEL, holders=frozenset("abc")), ""),
        (replace(MODEL, use=UsePolicy(peers=("c",))), ""),
        (
            replace(MODEL, use=UsePolicy(peers=("c",), components=("homo_*", "evaluate"))),
            "may not be used by predict@1",
        ),
        (replace(MODEL, use=UsePolicy(peers=("c",), components=("predict",))), ""),
        (replace(MODEL, use=UsePolicy(peers=("c",), expires=APRIL)), "no longer lets"),
    ],
)
def test_a_job_of_prediction_alone_is_held_to_what_the_model_may_be_used_for(facts: ModelFacts, says: str) -> None:
    predict = registry.component("predict@1")
    inputs = {"model": f"job:{JOB}/train.model", "data": "breast/train"}
    document = train_job() | {"roles": {"guest": ["a"], "host": ["b", "c"]}}
    document["tasks"] = {"predict": {"component": predict.reference, "inputs": inputs}}
    made, spec = proposal(document, code={predict.reference: predict.code_digest})
    know = Knowledge("b", PolicySettings(**OPEN), NOW, {"breast/train": TABLE}, {facts.reference: facts})
    said = decide(made, BoundJob(spec, *bind(spec, registry.component)), know).answer
    assert (said.decision is Decision.AGREE) is (not says), said.reasons
    assert len(said.reasons) == (1 if says else 0)
    assert all(says in reason for reason in said.reasons)
