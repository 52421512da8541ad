"""`flow job …`: hold a job, and let it go on."""

from __future__ import annotations

import typer

from flow.cli.job.commands import JobArgument
from flow.cli.options import CommandContext, asks_a_party

app = typer.Typer(rich_markup_mode=None)


@app.command("pause")
@asks_a_party
def pause(context: CommandContext, job: JobArgument) -> None:
    """Hold a job that runs: it gives its room back at every party, and keeps what it has come to."""
    with context.client() as flow:
        view = flow.pause(job)
    text = f"{view.id} is {view.state}. 'flow job continue {view.id}' lets it go on."
    context.screen.result(view.model_dump(mode="json"), text)


@app.command("continue")
@asks_a_party
def continue_(context: CommandContext, job: JobArgument) -> None:
    """Let a paused job go on, from its newest checkpoints, as soon as there is room for it at every party."""
    with context.client() as flow:
        view = flow.go_on(job)
    context.screen.result(view.model_dump(mode="json"), f"{view.id} goes on.")
