"""`flow job dry-run`: asks every party about a job without submitting it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flow.cli.exit_codes import Exit
from flow.cli.options import CommandContext, asks_a_party, read_bytes
from flow.cli.screen import complaint

if TYPE_CHECKING:
    from flow.client import DryRunView, Estimate, WouldAnswer, WouldRun

_WOULD = {"agree": "would agree", "refuse": "would refuse", "unknown": "does not say"}


@asks_a_party
def dry_run(
    context: CommandContext,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A job.json.", show_default=False)],
) -> None:
    """Ask every party what it would answer to a job, without submitting it; what would run where, leave, and take."""
    spec = read_bytes(file, "job file")
    with context.client() as flow:
        view = flow.dry_run(spec)
    if context.screen.as_json:
        context.screen.document(view.model_dump(mode="json"))
    for problem in view.problems:
        context.screen.note(
            complaint(problem["message"], hint=problem["hint"], field=problem["path"], source=str(file))
        )
    if view.problems:
        raise typer.Exit(Exit.BAD_INPUT)
    for line in () if context.screen.as_json else dry_run_lines(view):
        context.screen.line(line)
    if view.refused:
        raise typer.Exit(Exit.JOB_REFUSED)


def dry_run_lines(view: DryRunView) -> Iterator[str]:
    """What a dry run of a job that this party would take has found."""
    from flow.cli.job.proposal_text import line_text, part

    yield f"{view.name}: nothing was submitted."
    yield from part("What each party would answer", (line for party in view.parties for line in _answer(party)), "")
    yield from part("What would run where", map(_run, view.runs), "nothing")
    said = map(line_text, view.conversation)
    yield from part("What would be said", said, "nothing: no message leaves any party")
    yield from part("What would leave each party, at most", map(_bytes, view.estimates), "nothing")
    yield from part("How long it would take, by earlier jobs of ours", map(_seconds, view.estimates), "no time")
    yield f"In all {_about(view.seconds)}."
    learns = (f"{item.task}: {item.role} ({', '.join(item.parties)}): {item.says}" for item in view.learns)
    yield from part("Who would learn what", learns, "nobody anything")
    if view.warnings:
        yield from part("Warnings", view.warnings, "")


def _answer(party: WouldAnswer) -> Iterator[str]:
    asks = f"would ask a person (an officer of {party.party})"
    yield f"{party.party} ({', '.join(party.roles)}): {_WOULD.get(party.decision, asks)}"
    yield from (f"  {reason}" for reason in party.reasons)


def _run(run: WouldRun) -> str:
    from runtime.text import size

    gpus = f", {run.gpus} {'GPU' if run.gpus == 1 else 'GPUs'}" if run.gpus else ""
    room = {True: "room now", False: "no room now: it would wait", None: "whether there is room now is not known"}
    what = f"{run.cores} {'core' if run.cores == 1 else 'cores'}, {size(run.memory_bytes)}{gpus}"
    return f"{run.task} ({run.component}): {run.address}: {what}; {room[run.fits]}"


def _bytes(one: Estimate) -> str:
    from runtime.text import size

    place = f"{one.task}: {one.party}"
    if one.most_bytes is not None:
        return f"{place}: {size(one.most_bytes)}"
    return f"{place}: unknown, for how often or how large is not known before: {', '.join(one.unsaid)}"


def _seconds(one: Estimate) -> str:
    from runtime.clock import span

    rounds = f"{one.steps} rounds; " if one.steps else ""
    if one.seconds is None:
        return f"{one.task}: {one.party}: unknown ({rounds}no job of ours ran it there before)"
    attempts = "1 attempt" if one.measured == 1 else f"{one.measured} attempts"
    return f"{one.task}: {one.party}: about {span(one.seconds * 1000)} ({rounds}measured in {attempts})"


def _about(seconds: float | None) -> str:
    from runtime.clock import span

    return "unknown" if seconds is None else f"about {span(seconds * 1000)}"
