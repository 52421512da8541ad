from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from flow.agreement import Knowledge, Policy, TableFacts, check_proposal, decide, wanted
from flow.bindings import bind
from flow.errors import BadMessage, NotInitiator
from flow.job_spec import JobSpec, parse_job
from flow.messages import Answer, Decision, Proposal
from party.errors import NotFound
from tests.fakes.flow_world import COMPONENTS, component, nothing_job, train_job

NOW = datetime(2026, 5, 1, tzinfo=UTC)
TABLE = TableFacts("breast/train@4", rows=100)
OPEN: dict[str, Any] = {"accept": Decision.AGREE, "min_protection": "plain"}
JOB = "01M84NKVCS9025W7T6P1XBY3P8"


def proposal(document: dict[str, Any], **changes: Any) -> tuple[Proposal, JobSpec]:
    spec = parse_job(json.dumps(document).encode())
    made = Proposal(
        job=JOB, initiator=spec.initiator, user="ann", spec=spec.document(), spec_digest=spec.digest(), seed="0" * 64,
        code={c.reference: c.code_digest for c in COMPONENTS.values()}, submitted_ms=1,
    )  # fmt: skip
    return made.model_copy(update=changes), spec


def answer(document: dict[str, Any], table: object = TABLE, *, changes: Any = None, **policy: Any) -> Answer:
    made, spec = proposal(document, **(changes or {}))
    know = Knowledge("b", Policy(**(OPEN | policy)), NOW, component, {"breast/train": table}, {})  # type: ignore[dict-item]
    return decide(made, spec, know)


def test_a_job_that_fits_is_agreed_to_with_exact_table_versions() -> None:
    said = answer(train_job())
    assert said.decision is Decision.AGREE
    assert said.reasons == ()
    assert said.tables == {"train": {"host:b": {"train": "breast/train@4"}}}
    assert said.share == ("metrics",)


def test_a_task_that_the_hosts_of_a_party_can_never_bear_is_refused() -> None:
    made, spec = proposal(train_job())
    room = {"train": "64 cores wanted, the largest host has 2"}
    know = Knowledge("b", Policy(**OPEN), NOW, component, {"breast/train": TABLE}, {}, room=room)
    said = decide(made, spec, know)
    assert said.decision is Decision.REFUSE
    assert said.reasons == ("tasks.train.resources: 64 cores wanted, the largest host has 2 at b. Ask for less.",)


def test_below_three_trainers_agreement_warns() -> None:
    [warning] = answer(train_job()).warnings
    assert "with 2 trainers a sum reveals the other's update" in warning
    three = train_job()
    three["roles"]["host"] = ["b", "d"]
    assert answer(three).warnings == ()


def test_a_party_that_trains_in_two_roles_counts_once() -> None:
    document = train_job()
    document["roles"]["host"] = ["a", "b"]
    [warning] = answer(document).warnings
    assert "with 2 trainers" in warning
    assert "the job has 2" in answer(document, min_trainers=3).reasons[0]


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ({"accept": Decision.REFUSE}, "The policy of b refuses every job."),
        ({"peers": ("a",)}, "does not allow jobs with c"),
        ({"components": ("homo_*",)}, "does not allow the component train@1"),
        ({"min_rows": 101}, "has 100 rows, the policy of b asks for 101"),
        ({"min_trainers": 3}, "asks for 3 trainers, the job has 2"),
    ],
)
def test_policy_refuses_with_a_reason(policy: dict[str, Any], says: str) -> None:
    said = answer(train_job(), **policy)
    assert said.decision is Decision.REFUSE
    assert any(says in reason for reason in said.reasons), said.reasons


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (
            NotFound("There is no table.", hint="Did you mean 'breast/test'?"),
            "Did you mean 'breast/test'",
        ),
        (replace(TABLE, components=("score",)), "may not be used by train@1"),
        (replace(TABLE, peers=("c",)), "may not be used with a"),
        (replace(TABLE, min_rows=1000), "asks for 1000"),
        (replace(TABLE, expires=datetime(2026, 4, 1, tzinfo=UTC)), "ended on 2026-04-01"),
    ],
)
def test_a_table_that_may_not_be_used_refuses_with_its_path(table: object, says: str) -> None:
    said = answer(train_job(), table)
    assert said.decision is Decision.REFUSE
    [reason] = said.reasons
    assert reason.startswith("tasks.train.inputs.train: ")
    assert says in reason


def test_a_party_that_wants_to_be_asked_says_so() -> None:
    assert answer(train_job(), accept=Decision.ASK).decision is Decision.ASK


def test_by_default_a_person_is_asked() -> None:
    assert Policy().accept is Decision.ASK


def test_by_default_a_plain_sum_and_a_lone_trainer_are_refused() -> None:
    plain = answer(train_job(), min_protection=Policy().min_protection)
    assert plain.decision is Decision.REFUSE
    assert "asks for 'masked' protection or better of what train@1 sends, the job has 'plain'" in plain.reasons[0]
    encrypted = train_job()
    encrypted["tasks"]["train"]["parameters"] = {"secure": "paillier"}
    assert answer(encrypted, min_protection=Policy().min_protection).decision is Decision.AGREE
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
    said = answer(nothing_job(), changes={"code": {"nothing@1": "0" * 64}})
    assert said.decision is Decision.REFUSE
    assert "nothing@1 has other code here" in said.reasons[0]


def test_a_component_that_is_not_installed_is_a_reason() -> None:
    document = nothing_job()
    document["tasks"]["idle"]["component"] = "gone@1"
    said = answer(document)
    assert said.decision is Decision.REFUSE
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
    gone = {f"{JOB}/train.model": NotFound("There is no such model.")}
    know = Knowledge("b", Policy(**OPEN), NOW, component, {table: TableFacts(table, 9)}, gone)
    said = decide(made, spec, know)
    assert said.reasons == ("tasks.train.inputs.model: There is no such model.",)
    said = decide(made, spec, replace(know, models={f"{JOB}/train.model": None}))
    assert said.decision is Decision.AGREE
