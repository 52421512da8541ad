"""A job once more: the whole of it, or from a task on, with what was finished before that taken as it is. Pure.

What is reused is named by reference, `job:ID/task.output`: each party looks it up in its own store when it is asked
whether it agrees, and is held to the rules of all that it was made of.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from flow.errors import JobInvalid, Problem
from flow.job.overrides import Changes, with_parameters
from flow.job.references import BadReference, OutputInput, needs_of, parse_reference
from runtime.suggestions import did_you_mean

Spec = Mapping[str, Any]


def cloned(spec: Spec, changes: Changes) -> dict[str, Any]:
    """The same job from its beginning, with other parameters. Raises JobInvalid as `with_parameters` does."""
    settings = {name: value for name, value in spec.get("settings", {}).items() if name != "resume"}
    return {**with_parameters(spec, changes), "settings": settings}


def rerun(
    spec: Spec, job: str, first: str, finished: Collection[str], changes: Changes
) -> tuple[dict[str, Any], list[str]]:
    """The job from a task on, and the tasks that it takes as they are.

    Done again are `first`, the tasks that have other parameters, those that have not finished, and all that needs one
    of these.

    Args:
        spec: The earlier job's document.
        job: Its id.
        first: The task from which on all is done again.
        finished: Those of its tasks whose outputs are there and would be made of the same inputs now.
        changes: New values of parameters, by task.

    Raises:
        JobInvalid: There is no such task.
    """
    tasks = spec["tasks"]
    if first not in tasks:
        raise JobInvalid(
            [Problem(path="from", message=f"there is no task '{first}' in this job.", hint=did_you_mean(first, tasks))]
        )
    again = {first, *changes, *(name for name in tasks if name not in finished)}
    while more := {name for name in tasks if name not in again and needs_of(tasks[name].get("inputs", {})) & again}:
        again |= more
    reused = [name for name in tasks if name not in again]
    document = cloned(spec, changes)
    kept = {name: task for name, task in document["tasks"].items() if name in again}
    for name, task in kept.items():
        inputs = {key: _pointed(value, job, reused) for key, value in task.get("inputs", {}).items()}
        kept[name] = {**task, "inputs": inputs}
    return {**document, "tasks": kept}, reused


def _pointed(value: str | Mapping[str, str], job: str, reused: Collection[str]) -> str | dict[str, str]:
    """An input, with outputs of reused tasks named as those of the earlier job."""
    if not isinstance(value, str):
        return {place: _text(text, job, reused) for place, text in value.items()}
    return _text(value, job, reused)


def _text(text: str, job: str, reused: Collection[str]) -> str:
    try:
        reference = parse_reference(text)
    except BadReference:
        return text
    ours = isinstance(reference, OutputInput) and reference.job is None and reference.task in reused
    return f"job:{job}/{text}" if ours else text
