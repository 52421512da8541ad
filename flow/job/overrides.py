"""Values of a job, and what is said more closely of some of them: by role, by party, or later. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flow.errors import JobInvalid, Problem
from runtime.suggestions import did_you_mean

Changes = Mapping[str, Mapping[str, Any]]
"""New common values of parameters, by task."""


def merged(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Common values and the own ones over them; of groups of values key by key, however deep."""
    both = {key: merged(common[key], value) for key, value in own.items() if _are_groups(common.get(key), value)}
    return {**common, **own, **both}


def with_parameters(spec: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
    """A job.json with other parameters. Overrides by role or party stay.

    Raises:
        JobInvalid: A change names a task that the job does not have.
    """
    tasks = dict(spec["tasks"])
    unknown = [name for name in changes if name not in tasks]
    if unknown:
        raise JobInvalid(
            [
                Problem(path=f"tasks.{n}", message=f"there is no task '{n}' in this job.", hint=did_you_mean(n, tasks))
                for n in unknown
            ]
        )
    for name, values in changes.items():
        tasks[name] = {**tasks[name], "parameters": merged(tasks[name].get("parameters", {}), values)}
    return {**spec, "tasks": tasks}


def _are_groups(*values: object) -> bool:
    return all(isinstance(value, Mapping) for value in values)
