"""Jobs as text for people."""

from __future__ import annotations

from collections.abc import Iterator

from flow.client import ELSEWHERE, ENDED_JOB, NOT_RUN, SAID, AttemptView, JobSummary, JobView, PartyView, Validation
from flow.views.times import clock_text
from flow.views.why import unconfirmed_text
from runtime.clock import span

_TASK = {ELSEWHERE: "run by other parties only", NOT_RUN: "never begun"}
SUMMARY_COLUMNS = ("job", "name", "state", "tasks", "initiator", "submitted", "took")


def took_text(job: JobSummary) -> str:
    """How long an ended job took."""
    return span(job.ended_ms - job.submitted_ms) if job.ended_ms else ""


def left_out_text(count: int) -> str:
    """How many refused proposals a list leaves out, and what shows them."""
    proposals, are = ("1 proposal", "is") if count == 1 else (f"{count} proposals", "are")
    return f"{proposals} that the policy of this party refused {are} not shown; `flow job list --all` shows all."


def summary_row(job: JobSummary) -> tuple[str, ...]:
    """One line of the list."""
    tasks = f"{job.tasks_done}/{job.tasks_total}"
    return (job.id, job.name, job.state, tasks, job.initiator, clock_text(job.submitted_ms), took_text(job))


def verdict_text(found: Validation) -> str:
    """What this party would answer to a job that it does not refuse, and who else decides."""
    would = "ask a person of its own about" if found.decision == "ask" else "accept"
    others = f" Each of the others decides once it is submitted: {', '.join(found.others)}." if found.others else ""
    return f"this party would {would} the job.{others}"


def decided_text(by: str, note: str) -> str:
    """Who of this party's people decided, and what they noted."""
    return f"decided by {by}: {note}" if note else f"decided by {by}"


def job_lines(job: JobView) -> Iterator[str]:
    """Everything about a job."""
    yield f"{job.id}  {job.name}"
    took = f" after {took_text(job)}" if job.ended_ms else ""
    yield f"state      {job.state}{took}" + (f" ({job.outcome})" if job.outcome else "")
    if job.resumed:
        yield f"goes on    from job {job.resumed}"
    yield f"submitted  {clock_text(job.submitted_ms)} by {job.user} of {job.initiator}"
    if job.left:
        yield f"left       {job.left}"
    yield from (f"error      {error.text}" for error in (job.own_error, job.error) if error)
    yield from (f"note       {note.text} ({note.user}, {clock_text(note.at_ms)})" for note in job.notes)
    for waiting in job.waiting_for if job.state not in ENDED_JOB else ():
        do = f": {waiting.do}" if waiting.do else ""
        yield f"waits      {waiting.text} (since {clock_text(waiting.since_ms)}){do}"
    for party in job.parties:
        yield f"party      {party.party} ({', '.join(party.roles)}): {SAID.get(party.decision, party.decision)}"
        yield from (f"             {remark}" for remark in _remarks(party))
    for text, parties in job.warned().items():
        yield f"warning    {text} (said by {', '.join(parties)})"
    for task in job.tasks:
        yield f"task       {task.name} ({task.component}): {_TASK.get(task.state, task.state)}"
        for attempt in task.attempts:
            yield from _attempt_lines(attempt)


def _remarks(party: PartyView) -> Iterator[str]:
    if party.by:
        yield decided_text(party.by, party.note)
    yield from party.reasons
    if party.unconfirmed:
        yield unconfirmed_text(party.party, party.unconfirmed)


def _attempt_lines(attempt: AttemptView) -> Iterator[str]:
    begins = f", from step {attempt.from_step} of attempt {attempt.from_attempt}" if attempt.from_attempt else ""
    yield f"             attempt {attempt.attempt}: {attempt.state}{begins}"
    for side in attempt.sides:
        progress = f" {side.done}/{side.total}" if side.total else ""
        failed = f": {side.error.text}" if side.error else ""
        yield f"               {side.address}: {side.state}{progress}{failed}"
