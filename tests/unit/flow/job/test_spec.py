from __future__ import annotations

import json
from typing import Any

import pytest

from flow.errors import JobInvalid, UnknownSchema
from flow.job.spec import JobSpec, parse_job
from party.ids import Role
from tests.fakes.flow_world import train_job


def changed(**top: Any) -> dict[str, Any]:
    return {**train_job(), **top}


def problems(document: object) -> dict[str, str]:
    with pytest.raises(JobInvalid) as caught:
        parse_job(json.dumps(document).encode() if not isinstance(document, bytes) else document)
    return {p.path: f"{p.message} {p.hint}".strip() for p in caught.value.problems}


def test_the_example_of_the_design_is_read() -> None:
    text = """{"schema": 1, "name": "breast-homo-lr", "initiator": "hospital-a",
     "roles": {"guest": ["hospital-a"], "host": ["hospital-b", "hospital-c"], "arbiter": ["coordinator"]},
     "settings": {"priority": 5, "timeout_s": 3600, "wait_s": 604800, "retries": 2},
     "tasks": {
       "train": {"component": "homo_lr@1",
         "inputs": {"train": {"guest": "breast/train", "host": "breast/train", "hospital-c": "cancer/train"}},
         "parameters": {"rounds": 20, "local": {"learning_rate": 0.15, "batch_size": 64},
                        "protection": {"kind": "paillier"}},
         "resources": {"cores": 1, "memory": "1GiB", "arbiter": {"cores": 2}}},
       "evaluate": {"component": "evaluate@1", "roles": ["guest"],
         "inputs": {"model": "train.model", "data": {"guest": "breast/test"}}}}}"""
    spec = parse_job(text.encode())
    assert spec.parties == ("coordinator", "hospital-a", "hospital-b", "hospital-c")
    assert spec.settings.retries == 2
    assert spec.tasks["evaluate"].roles == (Role.GUEST,)


def test_two_files_that_mean_the_same_have_the_same_digest() -> None:
    one = parse_job(json.dumps(train_job()).encode())
    other = parse_job(json.dumps(dict(reversed(train_job(retries=2).items())), indent=4).encode())
    assert one.digest() == other.digest()
    assert parse_job(json.dumps(train_job(retries=1)).encode()).digest() != one.digest()
    assert JobSpec.model_validate_json(json.dumps(one.document())) == one


@pytest.mark.parametrize(
    ("document", "path", "says"),
    [
        (changed(name=5), "name", "write a text"),
        (changed(naem="x"), "naem", "Did you mean 'name'?"),
        ({k: v for k, v in train_job().items() if k != "tasks"}, "tasks", "missing"),
        (changed(settings={"retry": 1}), "settings.retry", "Did you mean 'retries'?"),
        (changed(settings={"retries": -1}), "settings.retries", "must be 0 or more (it is -1)"),
        (changed(settings={"timeout_s": 0}), "settings.timeout_s", "greater than 0"),
        (changed(settings={"retries": "two"}), "settings.retries", "whole number"),
        (changed(roles={"gest": ["a"]}), "roles.gest", "guest"),
        (changed(roles={"guest": ["a"], "host": []}), "roles.host", "no party is named"),
        (changed(roles={"guest": ["a", "a"]}), "roles.guest", "named twice"),
        (changed(roles={"guest": ["Bad Name"]}), "roles.guest[0]", "not a legal name"),
        (changed(initiator="z"), "initiator", "'z' holds no role"),
        (changed(tasks={}), "tasks", "at least 1 must be given"),
        (changed(tasks={"Bad": {"component": "train@1"}}), "tasks.Bad", "not a legal name"),
        (changed(tasks={"t": {}}), "tasks.t.component", "missing"),
        (changed(tasks={"t": {"component": "Train 1"}}), "tasks.t.component", "homo_lr@1"),
        (changed(tasks={"t": {"component": "t@1", "input": {}}}), "tasks.t.input", "Did you mean 'inputs'?"),
        (changed(tasks={"t": {"component": "t@1", "roles": ["boss"]}}), "tasks.t.roles[0]", "guest"),
        ([1], "", "not a JSON object"),
        (b"{", "", "not JSON"),
        (b'{"schema": 1, "schema": 1}', "", "given twice"),
        ({"name": "x"}, "schema", 'Write "schema": 1.'),
    ],
)  # fmt: skip
def test_a_wrong_job_says_where_and_what(document: object, path: str, says: str) -> None:
    found = problems(document)
    assert path in found, found
    assert says in found[path]


WRONG = (None, True, -1, 0, 10**17, 1.5, "", "x", "x" * 5_000, "a\x1b[2Jb", "\u202eb", [], ["x"], {}, {"x": {"y": []}})
PLACES = (
    "name", "initiator", "roles", "roles.guest", "settings", "settings.priority", "settings.timeout_s",
    "settings.wait_s", "settings.retries", "settings.seed", "settings.resume", "tasks", "tasks.train",
    "tasks.train.component",
    "tasks.train.roles", "tasks.train.inputs", "tasks.train.inputs.train", "tasks.train.parameters",
    "tasks.train.resources",
)  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_whatever_is_wrong_is_said_in_our_own_words_with_its_path(place: str) -> None:
    for value in WRONG:
        document = train_job()
        document["settings"] = {}
        where = document
        *before, last = place.split(".")
        for key in before:
            where = where[key]
        where[last] = value
        try:
            parse_job(json.dumps(document).encode())
            found = ()
        except JobInvalid as error:
            found = error.problems
        for path, message in ((problem.path, problem.message) for problem in found):
            assert path.startswith(place.split(".")[0]) or path in ("initiator",), (place, value, path)
            for foreign in ("Input", "nput should", "valid dictionary", "validation", "pydantic", "_one_line", "\x1b"):
                assert foreign not in message, (place, value, message)
            assert not any(mark in path for mark in ("function-", "constrained-", "str")), path


@pytest.mark.parametrize("version", [0, 2, "1", True, None])
def test_another_version_is_refused_by_name(version: object) -> None:
    with pytest.raises(UnknownSchema, match="this release reads version 1"):
        parse_job(json.dumps(changed(schema=version)).encode())


def test_a_job_that_is_too_large_is_refused_before_it_is_read() -> None:
    assert "larger than" in problems(b" " * (1 << 20) + b"{}")[""]


def test_every_problem_is_told_at_once() -> None:
    found = problems(changed(name="", settings={"retries": -1, "x": 1}))
    assert {"name", "settings.retries", "settings.x"} <= set(found)
