"""What a job has made at this party, to look at and to take away as files."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from board.context import LoggedIn
from flow.client import OutputRow
from runtime.errors import NotFound

router = APIRouter()

SUFFIX = {"model": "safetensors", "report": "json"}


class NoSuchOutput(NotFound):
    """The job has made no such output at this party."""

    code = "board.no_such_output"


@router.get("/jobs/{job}/outputs/{task}/{name}/{role}")
def output(
    looking: LoggedIn,
    job: str,
    task: str,
    name: str,
    role: str,
    form: Annotated[Literal["csv", "parquet", "arrow"], Query(alias="format")] = "csv",
) -> StreamingResponse:
    """One of them as a file; tables in one of three forms."""
    found = _output(looking.flow.outputs(job), looking.context.renderer.party, (task, name, role))
    pieces = looking.flow.relay_output(found, form)
    first = next(pieces, b"")  # a refusal is answered as one, before the file begins
    looking.recognised()
    file = f"{task}.{name}.{SUFFIX.get(found.kind, form)}"
    headers = {"Content-Disposition": f'attachment; filename="{file}"'}
    whole: Iterator[bytes] = chain([first], pieces)
    return StreamingResponse(whole, media_type="application/octet-stream", headers=headers)


def _output(rows: list[OutputRow], party: str, wanted: tuple[str, str, str]) -> OutputRow:
    for row in rows:
        if row.party == party and (row.task, row.name, row.role) == wanted:
            return row
    raise NoSuchOutput(f"This party has no output '{wanted[0]}.{wanted[1]}' as {wanted[2]} of the job.")
