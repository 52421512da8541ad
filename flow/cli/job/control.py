"""`flow job …`: hold a job, let it go on, submit it once more, note something on it."""

from __future__ import annotations

from typing import Annotated

import typer

from flow.cli.job.commands import JobArgument, SetOption, WatchOption, submitted
from flow.cli.options import CommandContext, asks_a_party, parameter_changes

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


@app.command("rerun")
@asks_a_party
def rerun(
    context: CommandContext,
    job: JobArgument,
    first: Annotated[str, typer.Option("--from", metavar="TASK", help="The first task to do again.")],
    changes: SetOption = None,
    watch: WatchOption = False,
) -> None:
    """Do a job again from a task on, as a new job that takes what was finished before that as it is."""
    parameters = parameter_changes(changes or [])
    with context.client() as flow:
        found = flow.clone(job, parameters, first=first)
        if found.reused:
            context.screen.note(f"Taken from job {job}: {', '.join(found.reused)}.")
        submitted(context, flow, found.id, watch=watch)


@app.command("clone")
@asks_a_party
def clone(
    context: CommandContext,
    job: JobArgument,
    changes: SetOption = None,
    only_print: Annotated[bool, typer.Option("--print", help="Print the job.json and submit nothing.")] = False,
    watch: WatchOption = False,
) -> None:
    """Submit a job once more, from its beginning, as a new job. Its id is printed at once."""
    from flow.job.rerunning import cloned

    parameters = parameter_changes(changes or [])
    with context.client() as flow:
        if only_print:
            context.screen.document(cloned(flow.job(job).spec, parameters))
        else:
            submitted(context, flow, flow.clone(job, parameters).id, watch=watch)


@app.command("note")
@asks_a_party
def note(
    context: CommandContext,
    job: JobArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to note.", show_default=False)],
) -> None:
    """Note something on a job: `flow job show` and the board show it to people of this party, to nobody else."""
    with context.client() as flow:
        view = flow.note(job, text)
    context.screen.result(view.model_dump(mode="json"), f"Noted on {view.id}.")
