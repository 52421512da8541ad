"""`flow clean`: delete what is kept of jobs that ended long ago."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from flow.cli.options import CommandContext, asks_a_party
from runtime.errors import InvalidInput
from runtime.text import size

_SPAN = re.compile(r"([0-9]{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_COLUMNS = ("job", "name", "lines", "checkpoints", "outputs", "stays")


def seconds_of(text: str) -> int:
    """`30d`, `12h`, `90m` or `10s` in seconds. Raises InvalidInput."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise InvalidInput(f"'{text[:40]}' is not a time.", hint="Write a number and one of s, m, h, d: 30d.")
    return int(found[1]) * _SECONDS[found[2]]


@asks_a_party
def clean(
    context: CommandContext,
    older_than: Annotated[str, typer.Option("--older-than", metavar="TIME", help="Since a job ended: 30d, 12h.")],
    outputs: Annotated[
        bool, typer.Option("--outputs", help="Tables, models and reports that jobs made, too, unless in use.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
) -> None:
    """Delete log lines, progress and checkpoints of jobs that ended long ago; how they went stays known."""
    older_s = seconds_of(older_than)
    with context.client() as flow:
        jobs = list(flow.clean(older_s, outputs=outputs, dry_run=dry_run))
    if context.screen.as_json:
        context.screen.document([job.model_dump(mode="json") for job in jobs])
        return
    cells = [
        (
            job.job,
            job.name,
            str(job.log_lines),
            size(job.checkpoint_bytes) if job.checkpoint_bytes else "some" if job.checkpoints else "0",
            f"{len(job.outputs)}, {size(job.output_bytes)}" if job.output_bytes else str(len(job.outputs)),
            "; ".join(job.stays),
        )
        for job in jobs
    ]
    context.screen.table(_COLUMNS, cells, empty="Nothing is kept of jobs that ended so long ago.")
    freed = sum(job.checkpoint_bytes + job.output_bytes for job in jobs)
    said = "would be" if dry_run else "were"
    context.screen.note(f"{size(freed)} of files {said} deleted.")
