"""Paths and queries of the REST interface, as its client writes them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from runtime.errors import InvalidInput


class NotATableName(InvalidInput):
    """A table was named by a text that is not namespace/name."""

    code = "flow.not_a_table_name"


class NotAnOutput(InvalidInput):
    """A model or report was named by a text that is not job/task.output."""

    code = "flow.not_an_output"


class NothingNamed(InvalidInput):
    """A job, table, model or user was named by an empty text."""

    code = "flow.nothing_named"


def part(text: str) -> str:
    """One part of a path, whatever is in the text. Raises NothingNamed for an empty one: another path."""
    if not text:
        raise NothingNamed("An empty text names nothing.", hint="A variable of your script may not be set.")
    return quote(text, safe="")


def rows_of(task: str | None, since: int) -> dict[str, Any]:
    """The query for rows after one, of a task if it is named."""
    return {"since": since} | ({"task": task} if task else {})


def table_path(table: str) -> str:
    """The path of `namespace/name`. Raises NotATableName, which quotes what was typed."""
    namespace, _, name = table.partition("/")
    if not namespace or not name:
        raise NotATableName(f"'{table[:80]}' is not the name of a table.", hint="Write NAMESPACE/NAME, as in my/table.")
    return f"/tables/{part(namespace)}/{part(name)}"


def table_at(reference: str, suffix: str = "") -> tuple[str, dict[str, Any]]:
    """The path and query of `namespace/name@version`."""
    table, _, version = reference.partition("@")
    return table_path(table) + suffix, {"version": version} if version else {}


def output_path(what: str, reference: str) -> str:
    """The path of `job/task.output` among models or reports, with or without `job:` before it. Raises NotAnOutput."""
    job, _, output = reference.removeprefix("job:").partition("/")
    if not job or not output:
        raise NotAnOutput(
            f"'{reference[:80]}' is not the name of one of the {what}.", hint="Write JOB/TASK.OUTPUT, as in lists."
        )
    return f"/{what}/{part(job)}/{part(output)}"
