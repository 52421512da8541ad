"""The published schema of job.json: what it takes and what it refuses, parameters of installed components included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from algorithms.registry import component, components
from flow.job.binding import bind
from flow.job.schema import job_schema
from flow.job.spec import parse_job

EXAMPLES = sorted((Path(__file__).resolve().parents[4] / "examples").glob("*/job.json"))
SCHEMA = jsonschema_rs.validator_for(job_schema(components()))
JOB: dict[str, Any] = json.loads(next(path for path in EXAMPLES if path.parent.name == "homo_lr").read_text())


def with_parameters(**parameters: object) -> dict[str, Any]:
    return JOB | {"tasks": {"train": JOB["tasks"]["train"] | {"parameters": parameters}}}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_every_example_is_taken(path: Path) -> None:
    SCHEMA.validate(json.loads(path.read_text()))


def test_what_differs_at_a_role_or_a_party_is_taken() -> None:
    SCHEMA.validate(
        with_parameters(rounds=3, host={"local": {"epochs": 2}}, **{"hospital-b": {"local": {"batch_size": 8}}})
    )


@pytest.mark.parametrize(
    "job",
    [
        JOB | {"nmae": "x"},
        {key: value for key, value in JOB.items() if key != "roles"},
        with_parameters(rounds=0),
        with_parameters(round=3),
        with_parameters(local={"learning_rate": "fast"}),
        with_parameters(protection={"kind": "rot13"}),
        with_parameters(server={"rate": 1}),
    ],
)
def test_what_is_wrong_in_itself_is_refused(job: dict[str, Any]) -> None:
    assert not SCHEMA.is_valid(job)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_every_example_fits_its_components(path: Path) -> None:
    _, problems = bind(parse_job(path.read_bytes()), component)
    assert problems == []


def test_a_preset_is_written_out_and_what_contradicts_it_is_refused() -> None:
    tasks, problems = bind(parse_job(json.dumps(with_parameters(preset="fedadam")).encode()), component)
    assert problems[0].path == "tasks.train.inputs.train"  # of the task that is left out here
    assert {side.parameters["server"]["optimizer"] for side in tasks["train"].sides.values()} == {"adam"}
    wrong = with_parameters(preset="fedadam", server={"optimizer": "sgd"})
    _, problems = bind(parse_job(json.dumps(wrong).encode()), component)
    assert any("the preset fedadam says 'adam'" in problem.message for problem in problems)


@pytest.mark.parametrize(
    ("parameters", "path", "meant"),
    [
        ({"value_range": 64}, "value_range", "'encoding.value_range'?"),
        ({"protection": {"value_range": 64}}, "protection.value_range", "'encoding.value_range'?"),
        ({"learning_rate": 1}, "learning_rate", "'server.learning_rate' or 'local.learning_rate'?"),
        ({"local": {"epoch": 2}}, "local.epoch", "'epochs'?"),
    ],
)
def test_a_key_that_a_group_has_is_named_in_full(parameters: dict[str, Any], path: str, meant: str) -> None:
    _, problems = bind(parse_job(json.dumps(with_parameters(**parameters)).encode()), component)
    [hint] = [problem.hint for problem in problems if problem.path == f"tasks.train.parameters.{path}"]
    assert hint == f"Did you mean {meant}"
