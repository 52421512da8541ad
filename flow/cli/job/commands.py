"""`flow job …`: submit jobs, watch them, decide about them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flow.cli.exit_codes import Exit, exit_for_end
from flow.cli.job.dry_run import dry_run
from flow.cli.job.export import export
from flow.cli.job.history import history
from flow.cli.options import (
    CommandContext,
    OverwriteOption,
    TableForm,
    asks_a_party,
    needs_no_party,
    parameter_changes,
    read_bytes,
)
from flow.cli.screen import complaint

if TYPE_CHECKING:
    from flow.client import FlowClient, JobView, ProposalView

app = typer.Typer(help="Submit jobs and see how they go.", no_args_is_help=True, rich_markup_mode=None)

JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.", show_default=False)]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A job.json.", show_default=False)]
TaskOption = Annotated[str | None, typer.Option("--task", metavar="TASK", help="Only this task.")]
WatchOption = Annotated[bool, typer.Option("--watch", help="Stay and show every round until the job ends.")]
NoteOption = Annotated[str, typer.Option("--note", help="Kept with the decision, for people of this party only.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="TASK.PARAMETER=VALUE", help="A new value, JSON or text. May be repeated."),
]
SinceOption = Annotated[int, typer.Option("--since", min=0, help="Only rows with a greater id.")]


@app.command("submit")
@asks_a_party
def submit(
    context: CommandContext,
    file: FileArgument,
    submit_token: Annotated[
        str | None, typer.Option("--submit-token", help="Repeat a submit safely: same token, same job, same id.")
    ] = None,
    watch: WatchOption = False,
) -> None:
    """Submit a job. Its id is printed at once."""
    spec = read_bytes(file, "job file")
    with context.client() as flow:
        context.source = str(file)
        job = flow.submit(spec, submit_token=submit_token)
        context.source = ""
        submitted(context, flow, job, watch=watch)


@app.command("run")
@needs_no_party
def run(  # noqa: PLR0913 - one parameter an option
    context: CommandContext,
    file: FileArgument,
    _local: Annotated[
        bool, typer.Option("--local", help="All sides in this process. Between parties: flow job submit FILE --watch.")
    ],
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            metavar="[PARTY:]NAMESPACE/NAME=FILE[,OPTION=VALUE …]",
            help="The file that stands for a table, of one party or of all that read it; options are those of "
            "`flow data upload` (label=y,drop=name,drop=note,encoding=gbk). May be repeated.",
        ),
    ] = None,
    id: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The id of files that say none of their own.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Their label likewise; `label=` after a file: none.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where results go. [default: the job's name and -local]")
    ] = None,
    tables: Annotated[TableForm, typer.Option("--tables", help="The form of tables in it.")] = TableForm.CSV,
    overwrite: OverwriteOption = False,
) -> None:
    """Run a job in this process, on files, without any party; every round is shown as it comes."""
    from flow.cli.job.local_run import Given, run_here

    given = Given(data or [], id, label, out, tables, overwrite)
    raise typer.Exit(exit_for_end(run_here(context, file, given)))


@app.command("resume")
@asks_a_party
def resume(
    context: CommandContext,
    job: JobArgument,
    changes: SetOption = None,
    watch: WatchOption = False,
) -> None:
    """Go on from the checkpoints of a job that failed or was stopped, as a new job. Its id is printed at once."""
    parameters = parameter_changes(changes or [])
    with context.client() as flow:
        submitted(context, flow, flow.resume(job, parameters), watch=watch)


@app.command("validate")
@asks_a_party
def validate(context: CommandContext, file: FileArgument) -> None:
    """What this party would answer to a job, without submitting it: every problem with its path."""
    from flow.cli.job.text import verdict_text

    spec = read_bytes(file, "job file")
    with context.client() as flow:
        found = flow.validate(spec)
    if context.screen.as_json:
        context.screen.document(found.model_dump(mode="json"))
    elif found.valid:
        context.screen.line(f"{file}: {verdict_text(found)}")
    for problem in found.problems:
        context.screen.note(
            complaint(problem["message"], hint=problem["hint"], field=problem["path"], source=str(file))
        )
    if not found.valid:
        raise typer.Exit(Exit.BAD_INPUT)


app.command("dry-run")(dry_run)
app.command("history")(history)
app.command("export")(export)


@app.command("schema")
@needs_no_party
def schema(context: CommandContext) -> None:
    """The JSON Schema of job.json; needs no running party."""
    from algorithms.registry import components
    from flow.job.schema import job_schema

    context.screen.document(job_schema(components()))


@app.command("example")
@needs_no_party
def example(
    context: CommandContext,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Where to; made if need be.")] = Path(),
) -> None:
    """Write a small example to try: two banks' loans as CSV files, and a job on them."""
    from flow.cli.job.example import write_example

    files = [str(file) for file in write_example(to)]
    context.screen.result(files, f"Wrote {', '.join(files)}.")


@app.command("list")
@asks_a_party
def list_(
    context: CommandContext,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many, newest first.")] = 20,
    state: Annotated[str | None, typer.Option("--state", help="Only jobs in this state.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Also proposals that the policy of this party refused.")] = False,
) -> None:
    """The newest jobs, without proposals of others that the policy of this party refused."""
    from flow.cli.job.text import SUMMARY_COLUMNS, left_out_text, summary_row

    every = every or state is not None
    with context.client() as flow:
        jobs = flow.jobs(limit, state, every=every)
        left_out = 0 if every else flow.refused_by_policy()
    if context.screen.as_json:
        context.screen.document([job.model_dump(mode="json") for job in jobs])
    else:
        context.screen.table(SUMMARY_COLUMNS, [summary_row(job) for job in jobs], empty="No jobs yet.")
    if left_out:
        context.screen.note(left_out_text(left_out))


@app.command("show")
@asks_a_party
def show(context: CommandContext, job: JobArgument) -> None:
    """One job: its parties, tasks, attempts and what it waits for; what you decide about if it waits for you."""
    with context.client() as flow:
        view = flow.job(job)
        _show(context, view)
        asked = not context.screen.as_json and any(waiting.what == "person" for waiting in view.waiting_for)
        proposal = flow.proposal(job) if asked else None
    if proposal is not None and proposal.waits:
        context.screen.line("")
        _show_proposal(context, proposal)


@app.command("proposal")
@asks_a_party
def proposal(context: CommandContext, job: JobArgument) -> None:
    """What a person decides about: own tables, parameters, every message that would leave, who learns what."""
    with context.client() as flow:
        view = flow.proposal(job)
    if context.screen.as_json:
        context.screen.document(view.model_dump(mode="json"))
    else:
        _show_proposal(context, view)


@app.command("watch")
@asks_a_party
def watch(context: CommandContext, job: JobArgument) -> None:
    """Show every round as it comes; ends with the job, with an exit code that tells how."""
    with context.client() as flow:
        flow.job(job)  # a party that is not there at all is told at once
        _watch(context, flow, job)


@app.command("why")
@asks_a_party
def why(context: CommandContext, job: JobArgument) -> None:
    """What a job waits for and since when; of a job that is over, how it ended."""
    with context.client() as flow, context.screen.waits(f"Flow at {flow.url} has not answered yet"):
        reasons = flow.why(job)
    context.screen.result(reasons, *(reasons or ["It waits for nothing."]))


@app.command("metrics")
@asks_a_party
def metrics(context: CommandContext, job: JobArgument, task: TaskOption = None, since: SinceOption = 0) -> None:
    """Every metric of every round."""
    with context.client() as flow:
        rows = flow.metrics(job, task, since)
    if context.screen.as_json:
        context.screen.document([row.model_dump(mode="json") for row in rows])
        return
    cells = [(r.task, r.attempt, f"{r.role}:{r.party}", r.step, r.name, f"{r.value:.6g}") for r in rows]
    context.screen.table(("task", "attempt", "address", "step", "metric", "value"), cells, empty="No metrics yet.")


@app.command("logs")
@asks_a_party
def logs(context: CommandContext, job: JobArgument, task: TaskOption = None, since: SinceOption = 0) -> None:
    """What the executors logged."""
    from flow.views.times import clock_text

    with context.client() as flow:
        rows = flow.logs(job, task, since)
    if context.screen.as_json:
        context.screen.document([row.model_dump(mode="json") for row in rows])
        return
    if not rows:
        context.screen.line("No lines.")
    for row in rows:
        place = f"{row.task}/{row.attempt} {row.role}:{row.party}"
        context.screen.block(f"{clock_text(row.at_ms)} {row.level.upper():7} {place}  {row.text}")


@app.command("outputs")
@asks_a_party
def outputs(
    context: CommandContext,
    job: JobArgument,
    get: Annotated[
        Path | None, typer.Option("--get", metavar="DIR", help="Write all that is at this party into a folder.")
    ] = None,
    tables: Annotated[TableForm, typer.Option("--tables", help="The form of tables in it.")] = TableForm.CSV,
    overwrite: OverwriteOption = False,
) -> None:
    """What the job has made: tables, models and reports, by party."""
    if get is not None:
        _get(context, job, get, tables, overwrite=overwrite)
        return
    with context.client() as flow:
        rows = flow.outputs(job)
    if context.screen.as_json:
        context.screen.document([row.model_dump(mode="json") for row in rows])
        return
    cells = [(r.task, f"{r.role}:{r.party}", r.name, r.kind, r.reference, r.digest[:16]) for r in rows]
    context.screen.table(("task", "address", "output", "kind", "reference", "digest"), cells, empty="No outputs yet.")


@app.command("stop")
@asks_a_party
def stop(context: CommandContext, job: JobArgument) -> None:
    """Cancel a job at every party."""
    with context.client() as flow:
        _decided(context, flow.stop(job))


@app.command("approve")
@asks_a_party
def approve(
    context: CommandContext,
    job: JobArgument,
    digest: Annotated[
        str,
        typer.Option("--digest", metavar="PREFIX", help="Of what 'flow job proposal' showed: only if it is still so."),
    ] = "",
    note: NoteOption = "",
) -> None:
    """Agree to a job that waits for a person of this party, as it is shown now; with --digest as it was seen."""
    from flow.cli.job.proposal_text import approval_lines, require_digest

    with context.client() as flow:
        view = flow.proposal(job)
        require_digest(view, digest)
        for line in approval_lines(view) if view.waits and not context.screen.as_json else ():
            context.screen.line(line)
        agreed = flow.approve(job, view.digest, note)
    others = ", ".join(sorted({waiting.who for waiting in agreed.waiting_for if waiting.who != view.party}))
    text = f"{agreed.id}: {view.party} agrees." + (f" The job waits for {others}." if others else "")
    context.screen.result(agreed.model_dump(mode="json"), text)


@app.command("refuse")
@asks_a_party
def refuse(
    context: CommandContext,
    job: JobArgument,
    reason: Annotated[str, typer.Option("--reason", help="Told to the others.")] = "",
    note: NoteOption = "",
) -> None:
    """Refuse a job that waits for a person of this party."""
    with context.client() as flow:
        view = flow.refuse(job, reason, note)
    context.screen.result(view.model_dump(mode="json"), f"{view.id}: refused. The initiator ends the job.")


def _get(context: CommandContext, job: str, folder: Path, tables: TableForm, *, overwrite: bool) -> None:
    from flow.cli.data.export import take_job
    from flow.job.states import JobState

    taken = []
    with context.client() as flow:
        state = flow.job(job).state
        for each in take_job(flow, job, folder, tables, overwrite=overwrite):
            taken.append({"file": each.file, "what": each.what})
            context.screen.note(f"{each.file}: {each.what}")
    if state is not JobState.SUCCEEDED:
        context.screen.note(
            f"The job is {state}: these are not all results that it was to have. See: flow job why {job}"
        )
    context.screen.result(taken, f"Wrote {len(taken)} files to {folder}.")


def submitted(context: CommandContext, flow: FlowClient, job: str, *, watch: bool) -> None:
    """Print the id of a job that was submitted; stay with it if asked."""
    if not watch:
        context.screen.result({"job": job}, job)
        return
    if context.screen.as_json:
        context.screen.record({"job": job})
    _watch(context, flow, job)


def _show(context: CommandContext, view: JobView) -> None:
    from flow.cli.job.text import job_lines

    if context.screen.as_json:
        context.screen.document(view.model_dump(mode="json"))
    for line in [] if context.screen.as_json else job_lines(view):
        context.screen.line(line)


def _show_proposal(context: CommandContext, view: ProposalView) -> None:
    from flow.cli.job.proposal_text import proposal_lines

    for line in proposal_lines(view, context.asked):
        context.screen.line(line)


def _decided(context: CommandContext, view: JobView) -> None:
    context.screen.result(view.model_dump(mode="json"), f"{view.id} is {view.state}.")


def _watch(context: CommandContext, flow: FlowClient, job: str) -> None:
    from flow.cli.job.watching import Watcher

    watcher = Watcher(context.screen)
    for told in flow.watch(job, lambda error: context.screen.note(f"waiting for the party: {error}")):
        watcher.show(told)
    raise typer.Exit(exit_for_end(watcher.end()))
