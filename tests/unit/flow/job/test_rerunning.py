from __future__ import annotations

from typing import Any

import pytest

from flow.errors import JobInvalid
from flow.job.rerunning import cloned, rerun
from flow.job.spec import JobSpec

JOB = "01M84NKVCS9025W7T6P1XBY3P8"
SPEC: dict[str, Any] = {
    "schema": 1,
    "name": "chain",
    "initiator": "a",
    "roles": {"guest": ["a"], "host": ["b"]},
    "settings": {"priority": 7, "resume": "01M84NKVCS9025W7T6P1XBY3P7"},
    "tasks": {
        "scale": {"component": "scale@1", "inputs": {"data": "own/rows"}},
        "split": {"component": "split@1", "inputs": {"data": {"common": "scale.table", "b": "own/other"}}},
        "train": {"component": "train@1", "inputs": {"train": "split.train"}, "parameters": {"rounds": 3, "l2": 0.1}},
        "test": {"component": "score@1", "inputs": {"model": "train.model", "data": "split.test"}},
        "count": {"component": "count@1", "inputs": {"data": "own/rows"}},
    },
}
ALL = set(SPEC["tasks"])


@pytest.mark.parametrize(
    ("first", "finished", "changed", "reused"),
    [
        pytest.param("train", ALL, {}, ["scale", "split", "count"], id="from the middle"),
        pytest.param("scale", ALL, {}, ["count"], id="from the beginning"),
        pytest.param("test", ALL, {}, ["scale", "split", "train", "count"], id="only the last"),
        pytest.param("test", {"scale", "split", "count"}, {}, ["scale", "split", "count"], id="what failed as well"),
        pytest.param("test", {"count"}, {}, ["count"], id="what was not reached as well"),
        pytest.param("test", ALL - {"scale"}, {}, ["count"], id="what read another version of a table as well"),
        pytest.param("test", ALL, {"train": {"rounds": 5}}, ["scale", "split", "count"], id="with other parameters"),
    ],
)
def test_done_again_is_what_differs_and_all_that_needs_it(
    first: str, finished: set[str], changed: dict[str, Any], reused: list[str]
) -> None:
    document, found = rerun(SPEC, JOB, first, finished, changed)
    assert found == reused
    assert set(document["tasks"]) == ALL - set(reused)
    JobSpec.model_validate(document)


def test_what_is_reused_is_named_as_an_output_of_the_earlier_job() -> None:
    document, _ = rerun(SPEC, JOB, "train", ALL, {"train": {"rounds": 5}})
    assert document["tasks"]["train"] == {
        "component": "train@1",
        "inputs": {"train": f"job:{JOB}/split.train"},
        "parameters": {"rounds": 5, "l2": 0.1},
    }
    assert document["tasks"]["test"]["inputs"] == {"model": "train.model", "data": f"job:{JOB}/split.test"}
    again, _ = rerun(SPEC, JOB, "split", ALL, {})
    assert again["tasks"]["split"]["inputs"] == {"data": {"common": f"job:{JOB}/scale.table", "b": "own/other"}}


def test_a_clone_is_the_same_job_from_its_beginning() -> None:
    document = cloned(SPEC, {})
    assert document == {**SPEC, "settings": {"priority": 7}}
    assert cloned(SPEC, {"train": {"l2": 0}})["tasks"]["train"]["parameters"] == {"rounds": 3, "l2": 0}


@pytest.mark.parametrize("changed", [{}, {"trian": {"rounds": 5}}])
def test_a_task_that_is_not_there_is_named(changed: dict[str, Any]) -> None:
    with pytest.raises(JobInvalid, match="there is no task 'trian'") as refused:
        rerun(SPEC, JOB, "train" if changed else "trian", ALL, changed)
    assert "train" in refused.value.hint
