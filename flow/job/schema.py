"""The JSON Schema of job.json, the parameters of every installed component in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from algorithms.api.component import Component
from flow.job.spec import JobSpec

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MODE: JsonSchemaMode = "validation"


def job_schema(components: Iterable[Component]) -> dict[str, Any]:
    """The schema, as `flow job schema` prints it.

    A task's parameters are those of its component; under a role or a party stands what differs there. Inputs and what
    goes together are checked when a job is submitted.
    """
    found = {component.reference: component for component in components}
    models: list[type[BaseModel]] = [JobSpec, *(component.parameters for component in found.values())]
    places, written = models_json_schema([(model, _MODE) for model in models], by_alias=True)
    definitions: dict[str, dict[str, Any]] = written["$defs"]

    def named(model: type[BaseModel]) -> str:
        return str(places[model, _MODE]["$ref"]).rpartition("/")[2]

    job = definitions.pop(named(JobSpec))
    definitions["TaskSpec"]["allOf"] = [
        {
            "if": {"properties": {"component": {"enum": [component.reference, component.name]}}},
            "then": {"properties": {"parameters": _parameters(definitions[named(component.parameters)])}},
        }
        for component in found.values()
    ]
    return {"$schema": _DIALECT, **job, "$defs": definitions}


def _parameters(model: dict[str, Any]) -> dict[str, Any]:
    """The fields of a component, all of which may be given by role or party instead."""
    overrides = {"type": "object", "description": "Of a role or a party of the job: what differs there."}
    return {"type": "object", "properties": model.get("properties", {}), "additionalProperties": overrides}
