"""Why a job is where it is, in sentences: what it waits for and since when, or how it ended. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flow.job.states import JobState
from flow.views.jobs import ELSEWHERE, UNKNOWN, EventRow, JobView
from flow.views.links import Links, Postponed
from flow.views.times import clock_text
from runtime.clock import HybridTime


def why(
    view: JobView, part_state: str, links: Links, postponed: Postponed | None = None, restarts: Sequence[EventRow] = ()
) -> list[str]:
    """The sentences; none for a job that goes on and waits for nothing, unless it says how far it is.

    Args:
        view: The job as this party knows it.
        part_state: The state of this party's own part.
        links: Our lines to the other parties.
        postponed: What its initiator did not take of us.
        restarts: The executors of ours that started again, oldest first.
    """
    if view.ended_ms is not None:
        return list(_ended(view))
    found = [*_waits(view, part_state), *_away(view, links)]
    if postponed and not found:
        since = clock_text(postponed.since_ms)
        found.append(f"{view.initiator}, which leads it, takes no report (since {since}): {postponed.why}")
    going = [*_runs(view), *_restarted(view, restarts)]
    waits = found or list(_idle(view, links.party))
    first = [*waits, *going] if view.state is JobState.PAUSED else [*going, *waits]
    return [*first, *_clocks(view, links)]


def _ended(view: JobView) -> Iterator[str]:
    yield f"It has ended: {view.state} at {clock_text(view.ended_ms)}."
    if view.left:
        yield f"This party left it: {view.left}"
    told = [error for error in (view.own_error, view.error) if error is not None]
    yield from (error.text for error in told)
    yield from (unconfirmed_text(p.party, p.unconfirmed) for p in view.parties if p.unconfirmed)
    yield from (f"{p.party}: {reason}" for p in view.parties for reason in p.reasons if reason not in str(told))


def _runs(view: JobView) -> Iterator[str]:
    """How far the running tasks are, as far as their sides say so; those of a paused job stand still."""
    does = "stands still" if view.state is JobState.PAUSED else "runs"
    for task in (each for each in view.tasks if each.state == "running" and each.attempts):
        far = [f"{side.address} has done {side.done} of {side.total}" for side in task.attempts[-1].sides if side.total]
        if far:
            yield f"Task {task.name} {does}: {', '.join(far)}."


def _restarted(view: JobView, restarts: Sequence[EventRow]) -> Iterator[str]:
    """Of each executor whose task runs the last restart."""
    running = {(task.name, task.attempts[-1].attempt) for task in view.tasks if task.state == "running"}
    last = {(row.task, row.body.get("address")): row for row in restarts if (row.task, row.attempt) in running}
    for row in last.values():
        at_ms = HybridTime.parse(row.hlc).wall_ms
        yield f"{row.body.get('address')}: {row.body.get('text', 'started again')} ({clock_text(at_ms)})."


def _waits(view: JobView, part_state: str) -> Iterator[str]:
    for waiting in view.waiting_for:
        do = f": {waiting.do}" if waiting.do else ""
        yield f"It waits for {waiting.text.rstrip('.')} (since {clock_text(waiting.since_ms)}){do}."
    asked = part_state == "asked" and not any(w.what == "person" for w in view.waiting_for)
    if asked:
        yield f"It waits for a person of this party: {decide_text(view.id)}."
    if view.state is JobState.WAITING and not asked and not view.waiting_for:
        yield _answers(view)
    met = {task.name for task in view.tasks if task.published or task.state == ELSEWHERE}
    for task in view.tasks:
        unmet = [need for need in task.needs if need not in met]
        if task.state == "waiting" and unmet and view.state is not JobState.WAITING:
            yield f"Task {task.name} waits for {', '.join(unmet)}."


def _answers(view: JobView) -> str:
    """What a job waits for that no person of ours is asked about, before it is agreed on."""
    if any(party.decision == UNKNOWN for party in view.parties):
        return f"It waits for word of {view.initiator}, which asks the parties; their answers come with it."
    silent = [party.party for party in view.parties if not party.decision]
    return f"It waits for the answer of {', '.join(silent)}." if silent else "It waits for its manifest."


def _away(view: JobView, links: Links) -> Iterator[str]:
    """The lines to the job's parties that do not work, but those that the job is known to wait for."""
    if not any(waiting.what == "gateway" for waiting in view.waiting_for):
        yield from links.gateway()
    named = {waiting.who for waiting in view.waiting_for if waiting.what == "party"}
    for party in view.parties:
        said = links.away(party.party)
        if said and party.party not in named:
            yield said


def _idle(view: JobView, party: str) -> Iterator[str]:
    """What to say where nothing of another party's job runs and nobody here knows why."""
    if view.initiator != party and view.state is not JobState.WAITING:
        ours = [task for task in view.tasks if task.state != ELSEWHERE]
        if not any(task.state == "running" for task in ours):
            yield f"Nothing of it runs here now: {view.initiator} leads it and knows what is next."


def _clocks(view: JobView, links: Links) -> Iterator[str]:
    for party in view.parties:
        said = links.clock(party.party)
        if said:
            yield f"{said} The times that it tells are shifted by as much."


def decide_text(job: str) -> str:
    """What a person types who is asked about a job."""
    return f"'flow job proposal {job}' shows what is asked and how to approve or refuse it"


def continue_text(job: str) -> str:
    """What a person types whose party has paused a job."""
    return f"'flow job continue {job}' does so"


def unconfirmed_text(party: str, why_not: str) -> str:
    """What to say of a party that has not confirmed the end of a job."""
    return f"{party} has not confirmed the end: {why_not}"
