from __future__ import annotations

import json
from typing import Any

import pytest

from flow.job.binding import bind
from flow.job.references import BadReference, OutputInput, TableInput, needs_of, parse_reference
from flow.job.spec import parse_job
from party.ids import Address, PartyId, Role
from tests.fakes.flow_world import component, nothing_job, train_job

GUEST = Address(PartyId("a"), Role.GUEST)
HOST = Address(PartyId("b"), Role.HOST)
ARBITER = Address(PartyId("c"), Role.ARBITER)
JOB = "01M84NKVCS9025W7T6P1XBY3P8"


def bound(document: dict[str, Any]) -> dict[str, Any]:
    tasks, problems = bind(parse_job(json.dumps(document).encode()), component)
    assert problems == []
    return tasks


def problems(document: dict[str, Any]) -> dict[str, str]:
    _, found = bind(parse_job(json.dumps(document).encode()), component)
    told: dict[str, str] = {}
    for p in found:
        told[p.path] = f"{told.get(p.path, '')} {p.message} {p.hint}".strip()
    return told


def with_train(**changes: Any) -> dict[str, Any]:
    document = train_job()
    document["tasks"]["train"].update(changes)
    return document


def test_each_address_gets_its_own_inputs_outputs_and_needs() -> None:
    tasks = bound(train_job())
    train = tasks["train"]
    assert train.addresses == (GUEST, HOST, ARBITER)
    assert train.sides[HOST].inputs == {"train": TableInput("breast/train")}
    assert train.sides[ARBITER].inputs == {}
    assert train.sides[ARBITER].outputs == ()
    assert train.sides[GUEST].outputs == ("model", "scores")
    assert tasks["score"].needs == {"train"}
    assert tasks["score"].addresses == (GUEST,)


def test_values_are_resolved_common_then_role_then_party() -> None:
    document = with_train(
        parameters={"rounds": 5, "guest": {"rounds": 6}, "b": {"rounds": 7}},
        resources={"cores": 1, "memory": "2GiB", "arbiter": {"cores": 2}, "c": {"gpus": 1}},
        inputs={"train": {"common": "breast/train", "host": "x/host", "b": "x/b@3"}},
    )
    sides = bound(document)["train"].sides
    assert [sides[a].parameters["rounds"] for a in (GUEST, HOST, ARBITER)] == [6, 7, 5]
    assert sides[ARBITER].resources.model_dump() == {"cores": 2, "memory": "2GiB", "gpus": 1}
    assert sides[GUEST].resources.memory_bytes == 2 << 30
    assert sides[GUEST].inputs["train"] == TableInput("breast/train")
    assert sides[HOST].inputs["train"] == TableInput("x/b@3")


def test_defaults_of_parameters_are_written_out() -> None:
    assert bound(with_train(parameters={}))["train"].sides[GUEST].parameters == {"rounds": 3, "secure": "plain"}


@pytest.mark.parametrize(
    ("changes", "path", "says"),
    [
        ({"component": "trian@1"}, "tasks.train.component", "Did you mean 'train@1'?"),
        ({"parameters": {"rounds": "many"}}, "tasks.train.parameters.rounds", "whole number (it is 'many')"),
        ({"parameters": {"round": 1}}, "tasks.train.parameters.round", "Did you mean 'rounds'?"),
        ({"resources": {"cores": 0}}, "tasks.train.resources.cores", "must be 1 or more"),
        ({"resources": {"memory": "lots"}}, "tasks.train.resources.memory", "is not a size"),
        ({"resources": {"core": 1}}, "tasks.train.resources.core", "Did you mean 'cores'?"),
        ({"inputs": {"trian": "a/b"}}, "tasks.train.inputs.trian", "Did you mean 'train'?"),
        ({"inputs": {}}, "tasks.train.inputs.train", "'guest:a' has no value"),
        ({"inputs": {"train": {"guest": "a/b"}}}, "tasks.train.inputs.train", "'host:b' has no value"),
        ({"inputs": {"train": {"gest": "a/b"}}}, "tasks.train.inputs.train.gest", "Did you mean 'guest'?"),
        ({"inputs": {"train": "no table"}}, "tasks.train.inputs.train", "neither a table nor an output"),
        ({"inputs": {"train": "score.roc"}}, "tasks.train.inputs.train", "takes a table, 'score.roc' is a report"),
        ({"inputs": {"train": "scor.roc"}}, "tasks.train.inputs.train", "Did you mean 'score'?"),
        ({"inputs": {"train": "score.rok"}}, "tasks.train.inputs.train", "Did you mean 'roc'?"),
        ({"roles": ["host", "arbiter"]}, "tasks.train", "needs at least 1 guest, the task has 0"),
        ({"roles": []}, "tasks.train.roles", "nobody takes part"),
    ],
)
def test_a_job_that_does_not_fit_its_components_says_where(changes: dict[str, Any], path: str, says: str) -> None:
    found = problems(with_train(**changes))
    assert path in found, found
    assert says in found[path]


def test_a_model_input_takes_no_table_and_only_holders_of_a_part() -> None:
    document = train_job()
    document["tasks"]["score"]["inputs"] = {"model": "breast/train"}
    assert "takes a model, 'breast/train' is a table" in problems(document)["tasks.score.inputs.model"]
    document["tasks"]["score"] = {"component": "nothing@1", "roles": ["boss"][:0] or ["guest"]}
    assert problems(document) == {}


def test_a_role_that_the_component_or_the_job_lacks_is_named() -> None:
    document = train_job()
    document["tasks"]["score"]["roles"] = ["arbiter"]
    assert "has no role 'arbiter'" in problems(document)["tasks.score.roles"]
    document = nothing_job()
    document["roles"] = {"guest": ["a"]}
    document["tasks"]["idle"]["roles"] = ["host"]
    assert "no party of this job is 'host'" in problems(document)["tasks.idle.roles"]


def test_tasks_that_need_each_other_are_shown_as_a_circle() -> None:
    document = train_job()
    document["tasks"]["train"]["inputs"]["model"] = "again.model"
    document["tasks"]["again"] = {
        "component": "train@1", "inputs": {"train": "breast/train", "model": "train.model"}, "parameters": {},
    }  # fmt: skip
    found = problems(document)
    assert any("in a circle" in text and "train" in text and "again" in text for text in found.values()), found


def test_a_paillier_arbiter_may_not_train() -> None:
    document = with_train(parameters={"secure": "paillier"})
    assert problems(document) == {}
    document["roles"] = {"guest": ["a"], "host": ["b"], "arbiter": ["a"]}
    assert problems(document)["tasks.train"] == "a is arbiter and trainer. Choose another arbiter."


def test_a_rule_of_the_whole_job_is_not_passed_by_with_parameters_for_each_role() -> None:
    paillier = {"secure": "paillier"}
    document = with_train(parameters={"guest": paillier, "host": paillier, "arbiter": paillier})
    document["roles"] = {"guest": ["a"], "host": ["b"], "arbiter": ["a"]}
    assert problems(document) == {"tasks.train": "a is arbiter and trainer. Choose another arbiter."}


def test_what_a_task_must_have_alike_differs_for_nobody() -> None:
    assert problems(with_train(parameters={"guest": {"rounds": 9}, "b": {"secure": "plain"}})) == {}
    told = problems(with_train(parameters={"secure": "paillier", "b": {"secure": "plain"}}))
    assert list(told) == ["tasks.train.parameters.secure"]
    assert '"paillier" for guest:a, "plain" for host:b' in told["tasks.train.parameters.secure"]


def test_references_are_tables_outputs_or_outputs_of_earlier_jobs() -> None:
    assert parse_reference("ns/name@3") == TableInput("ns/name@3")
    assert parse_reference("train.model") == OutputInput("train", "model")
    earlier = parse_reference(f"job:{JOB}/train.model")
    assert earlier == OutputInput("train", "model", JOB)
    assert isinstance(earlier, OutputInput)
    assert earlier.model("X") == f"{JOB}/train.model"
    assert earlier.table("X") == f"job-{JOB.lower()}/train-model@1"
    assert str(earlier) == f"job:{JOB}/train.model"
    for text in ("", "train", "a/b@0", "job:1/train.model", "A/b", "a/b/c"):
        with pytest.raises(BadReference):
            parse_reference(text)
    assert needs_of({"x": "train.model", "y": {"guest": "a/b", "b": "prep.table"}, "z": "??"}) == {"train", "prep"}


def test_an_output_is_read_only_where_its_task_runs() -> None:
    document = with_train(roles=["host", "arbiter"])
    assert problems(document)["tasks.score.inputs.model"] == (
        "'guest:a' holds no part of 'train.model': that task makes it as host, which a is not. "
        "Add the role to tasks.train.roles, or leave it out of this task."
    )
    document["roles"]["host"] = ["b", "a"]  # the party's other role makes it
    assert "tasks.score.inputs.model" not in problems(document)
