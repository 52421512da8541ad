"""`flow job history`: what happened to a job, at every party, in one order."""

from __future__ import annotations

from typing import Annotated

import typer

from flow.cli.options import CommandContext, asks_a_party


@asks_a_party
def history(
    context: CommandContext,
    job: Annotated[str, typer.Argument(metavar="JOB", help="The job's id.", show_default=False)],
    party: Annotated[
        str, typer.Option("--party", metavar="PARTY", help="Only what it tells, or what is about it.")
    ] = "",
) -> None:
    """What happened to a job, in one order: here, and for a job of one's own at every party that tells it."""
    from flow.views.history import line_text

    with context.client() as flow:
        found = flow.whole_history(job, party)
    if context.screen.as_json:
        context.screen.document(found.model_dump(mode="json"))
        return
    for line in found.lines:
        context.screen.line(line_text(line))
    if not found.lines:
        context.screen.line("Nothing is known to have happened.")
    for why in found.untold:
        context.screen.note(why)
