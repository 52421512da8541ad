"""What errors and documents call a parameter is where a job has it: `encoding.value_range`, not `value_range`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from algorithms.registry import components
from flow.job.spec import JobSpec, ResourceSpec, TaskSpec

ROOT = Path(__file__).parents[3]
ROOMS = ("algorithms", "flow")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SET = re.compile(r"--set [\w-]+\.([a-z_]+(?:\.[a-z_]+)*)=")
TICKS = re.compile(r"`([^`\n]+)`")
NAME = re.compile(r"[a-z_]+(\.[a-z_]+)*")


def paths(model: type[BaseModel]) -> Iterator[str]:
    """`rounds`, `local`, `local.epochs`, …"""
    for name, field in model.model_fields.items():
        yield name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from (f"{name}.{below}" for below in paths(field.annotation))


PARAMETERS = {path for component in components() for path in paths(component.parameters)}
OF_A_JOB = {path for model in (JobSpec, TaskSpec, ResourceSpec) for path in paths(model)}
FLAT = {path.rpartition(".")[2] for path in PARAMETERS if "." in path} - PARAMETERS - OF_A_JOB
LONG = re.compile(rf"(?<![\w.\"])({'|'.join(sorted(name for name in FLAT if '_' in name))})\b")


def said(source: str) -> set[str]:
    """The texts of everything that a module raises, and of its hints."""
    nodes = ast.walk(ast.parse(source))
    told = [
        node for node in nodes if isinstance(node, ast.Raise) or (isinstance(node, ast.keyword) and node.arg == "hint")
    ]
    parts = (part for node in told for part in ast.walk(node) if isinstance(part, ast.Constant))
    return {part.value for part in parts if isinstance(part.value, str)}


def wrong_in_errors(source: str) -> list[str]:
    """The names of parameters in what a module says that no job knows in that place."""
    texts = said(source)
    ticked = [name for text in texts for name in TICKS.findall(text) if NAME.fullmatch(name)]
    return [
        *(name for name in ticked if name not in PARAMETERS | OF_A_JOB),
        *(name for text in texts for name in LONG.findall(text)),
        *(name for text in texts for name in SET.findall(text) if name not in PARAMETERS),
    ]


def wrong_in_document(text: str) -> list[str]:
    """The same for a document's words in backticks."""
    ticked = TICKS.findall(text)
    return [
        *(name for span in ticked for name in SET.findall(span) if name not in PARAMETERS),
        *(name for span in ticked for name in LONG.findall(span)),
    ]


def test_the_search_finds_what_it_is_for() -> None:
    assert {"encoding.value_range", "protection.key_holders", "local.learning_rate", "rounds"} <= PARAMETERS
    assert wrong_in_errors('raise E("it is large", hint="Try --set TASK.value_range=64.")') == ["value_range"]
    assert wrong_in_errors('raise E(f"`key_holders` names {x}.")') == ["key_holders"] * 2
    assert wrong_in_errors('raise E("`encoding.value_range` and `rounds`", hint="--set train.rounds=3")') == []
    assert wrong_in_document("`flow job resume JOB --set train.packing=x` and `key_bits: 1`") == ["packing", "key_bits"]


@pytest.mark.parametrize("room", ROOMS)
def test_errors_name_a_parameter_by_its_path(room: str) -> None:
    wrong = {
        str(file.relative_to(ROOT)): names
        for file in sorted((ROOT / room).rglob("*.py"))
        if (names := wrong_in_errors(file.read_text(encoding="utf-8")))
    }
    assert wrong == {}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_a_parameter_by_its_path(document: Path) -> None:
    assert wrong_in_document(document.read_text(encoding="utf-8")) == []
