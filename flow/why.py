"""Why a job is where it is, in sentences: what it waits for and since when, or how it ended. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flow.job_state import JobState
from flow.views import JobView
from party.clock import moment


def clock_text(at_ms: int | None) -> str:
    """Local wall time, to the second; `?` for one that no calendar has."""
    if not at_ms:
        return "-"
    found = moment(at_ms)
    try:
        return found.astimezone().strftime("%Y-%m-%d %H:%M:%S") if found else "?"
    except (OverflowError, ValueError):  # the last day of the calendar, in a zone where it is over
        return "?"


def why(view: JobView, part_state: str, clocks: Mapping[str, float]) -> list[str]:
    """The sentences; none for a job that goes on and waits for nothing.

    Args:
        view: The job as this party knows it.
        part_state: The state of this party's own part.
        clocks: By how many seconds clocks of other parties are ahead of ours, where that is too much.
    """
    if view.ended_ms is not None:
        return list(_ended(view))
    return [*_waits(view, part_state), *_clocks(view, clocks)]


def _ended(view: JobView) -> Iterator[str]:
    yield f"It has ended: {view.state} at {clock_text(view.ended_ms)}."
    if view.left:
        yield f"This party left it: {view.left}"
    told = [error for error in (view.own_error, view.error) if error is not None]
    yield from (error.text for error in told)
    yield from (unconfirmed_text(p.party, p.unconfirmed) for p in view.parties if p.unconfirmed)
    yield from (f"{p.party}: {reason}" for p in view.parties for reason in p.reasons if reason not in str(told))


def _waits(view: JobView, part_state: str) -> Iterator[str]:
    for waiting in view.waiting_for:
        do = f": {waiting.do}" if waiting.do else ""
        yield f"It waits for {waiting.text.rstrip('.')} (since {clock_text(waiting.since_ms)}){do}."
    asked = part_state == "asked" and not any(w.what == "person" for w in view.waiting_for)
    if asked:
        yield f"It waits for a person of this party: {decide_text(view.id)}."
    if view.state is JobState.WAITING and not asked and not view.waiting_for:
        silent = [p.party for p in view.parties if not p.decision]
        yield f"It waits for the answer of {', '.join(silent)}." if silent else "It waits for its manifest."
    for task in view.tasks:
        unmet = [need for need in task.needs if not any(t.name == need and t.published for t in view.tasks)]
        if task.state == "waiting" and unmet and view.state is not JobState.WAITING:
            yield f"Task {task.name} waits for {', '.join(unmet)}."


def _clocks(view: JobView, clocks: Mapping[str, float]) -> Iterator[str]:
    for party in view.parties:
        if party.party in clocks:
            yield f"{apart_text(party.party, clocks[party.party])} The times that it tells are shifted by as much."


def decide_text(job: str) -> str:
    """What a person types who is asked about a job."""
    return f"'flow job proposal {job}' shows what is asked and how to approve or refuse it"


def unconfirmed_text(party: str, why_not: str) -> str:
    """What to say of a party that has not confirmed the end of a job."""
    return f"{party} has not confirmed the end: {why_not}"


def apart_text(party: str, ahead_s: float) -> str:
    """What to say of a clock that is so far ahead of ours."""
    way = "ahead of" if ahead_s > 0 else "behind"
    return f"The clock of {party} is {abs(ahead_s):.0f} s {way} ours."
