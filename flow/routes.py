"""Paths and queries of the REST interface, as its client writes them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote


def part(text: str) -> str:
    """One part of a path, whatever is in the text."""
    return quote(text, safe="")


def rows_of(task: str | None, since: int) -> dict[str, Any]:
    """The query for rows after one, of a task if it is named."""
    return {"since": since} | ({"task": task} if task else {})


def table_path(table: str) -> str:
    """The path of `namespace/name`; a text of another form gets a path that leads to no table."""
    namespace, _, name = table.partition("/")
    return f"/tables/{part(namespace) or '-'}/{part(name) or '-'}"


def table_at(reference: str, suffix: str = "") -> tuple[str, dict[str, Any]]:
    """The path and query of `namespace/name@version`."""
    table, _, version = reference.partition("@")
    return table_path(table) + suffix, {"version": version} if version else {}


def output_path(what: str, reference: str) -> str:
    """The path of `job/task.output` among models or reports, with or without `job:` before it."""
    job, _, output = reference.removeprefix("job:").partition("/")
    return f"/{what}/{part(job) or '-'}/{part(output) or '-'}"
