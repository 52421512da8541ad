"""A job's history: what happened to it at each party, in one order and in words. Pure.

Each party dates what happens there by its hybrid clock, which is later than that of whatever message brought it there,
so sorted readings are a causal order. A clock that is too far from ours moved no other: what its party tells is shifted
by as much as it is apart, and nothing is later than now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from pydantic import Field

from flow.views.jobs import SAID, EventRow, View
from flow.views.times import clock_text
from runtime.clock import MOST_APART_MS, HybridTime
from runtime.text import printable

STATES = {
    "pending": "wants room",
    "reserved": "has room",
    "running": "runs",
    "waits": "waits for room",
    "restarted": "starts again",
}
_JOB = {
    "waiting": "the job was submitted",
    "agreed": "every party has agreed",
    "running": "the job runs",
    "succeeded": "the job succeeded",
    "failed": "the job failed",
    "closed": "everything of the job is cleaned up",
    "cleaned": "what was kept of it was deleted",
}
_PARTY = {
    "absent": "cannot be reached",
    "hindered": "answers that it cannot go on now",
    "back": "is back",
    "left": "left the job",
    **{str(decision): said for decision, said in SAID.items()},
}
_TASK = {"resumes": "goes on from an earlier job's checkpoint"}


class HistoryLine(View):
    """One thing that happened."""

    key: str = Field(description="Its place in the order; `after` asks for what comes after it.")
    hlc: str = Field(description="The hybrid clock of the party that tells it, as it was.")
    at_ms: int = Field(description="Wall time by that clock; shifted to ours where the two are far apart.")
    teller: str = Field(description="The party where it was written down.")
    party: str = Field(default="", description="The party that it is about, if it is about one.")
    kind: str
    task: str = ""
    attempt: int = 0
    address: str = ""
    incarnation: int = 0
    what: str = Field(description="The same in words.")
    cause: str = Field(default="", description="Why, or by whom, as far as it is known here.")
    code: str = Field(default="", description="The code of the error that is the cause.")
    note: str = Field(default="", description="What a person of this party noted with it.")


class HistoryView(View):
    """Some of a job's history, oldest first."""

    lines: tuple[HistoryLine, ...] = ()
    untold: tuple[str, ...] = Field(default=(), description="Which parties did not tell theirs now, and why.")
    more: bool = Field(default=False, description="Whether there is more after the last line.")


@dataclass(frozen=True)
class Past:
    """What a party tells, in the order in which it wrote it down; `ahead_ms` is how far its clock is ahead of ours."""

    events: tuple[EventRow, ...]
    ahead_ms: int = 0


@dataclass
class _Latest:
    """The incarnation of each executor, as far as events told of one."""

    of: dict[tuple[str, int, str], int] = field(default_factory=dict)

    def incarnation(self, event: EventRow) -> int:
        """That which an event of an executor is about; 0 of other events."""
        address = str(event.body.get("address", ""))
        if not event.kind.startswith("executor."):
            return 0
        place, said = (event.task, event.attempt, address), event.body.get("incarnation")
        if isinstance(said, int):
            self.of[place] = said
        return self.of.get(place, 1)


def history(past: Mapping[str, Past], now_ms: int, party: str = "", after: str = "", limit: int = 1000) -> HistoryView:
    """So many lines of all that parties tell, in one order, after the line with a key; of one party if it is named."""
    found = [line for teller, its in past.items() for line in _lines(teller, its, now_ms)]
    found = [line for line in found if line.key > after and party in ("", line.teller, line.party)]
    some = list(islice(sorted(found, key=lambda line: line.key), limit + 1))
    return HistoryView(lines=tuple(some[:limit]), more=len(some) > limit)


def _lines(teller: str, past: Past, now_ms: int) -> Iterator[HistoryLine]:
    """What one party tells, none of it before what it told earlier."""
    shift_ms = past.ahead_ms if abs(past.ahead_ms) > MOST_APART_MS else 0
    latest, last = _Latest(), HybridTime(0, 0)
    for event in past.events:
        read = _reading(event.hlc)
        last = max(last, HybridTime(min(max(read.wall_ms - shift_ms, 0), now_ms), read.counter))
        address = str(event.body.get("address", ""))
        incarnation = latest.incarnation(event)
        yield HistoryLine(
            key=f"{last}/{teller}/{event.id:012d}",
            hlc=event.hlc,
            at_ms=last.wall_ms,
            teller=teller,
            party=event.party,
            kind=event.kind,
            task=event.task,
            attempt=event.attempt,
            address=address,
            incarnation=incarnation,
            what=what_text(event, address, incarnation),
            cause=printable("; ".join(_causes(event.body))),
            code=printable(_code(event.body)),
            note=printable(str(event.body.get("note", ""))),
        )


def _reading(text: str) -> HybridTime:
    try:
        return HybridTime.parse(text)
    except ValueError:  # written by a release that took any clock over
        return HybridTime(0, 0)


def what_text(event: EventRow, address: str, incarnation: int) -> str:
    """What an event says, in words."""
    thing, _, what = event.kind.partition(".")
    words = STATES.get(what, what.replace("_", " "))
    if thing == "job":
        return _JOB.get(what, f"the job is {words}")
    if thing == "party":
        return f"{event.party} {_PARTY.get(what, words)}"
    if event.kind == "task.published":
        return f"{event.party} made its outputs of the task visible"
    if thing == "task":
        return _TASK.get(what, words)
    if thing == "executor":
        again = f", incarnation {incarnation}" if incarnation > 1 else ""
        return f"the executor of {address} {words}{again}"
    if thing == "side":
        return f"{address} {words}, as its party told"
    return f"the {thing} {words}"


def _causes(body: Mapping[str, object]) -> Iterator[str]:
    if user := body.get("user"):
        yield f"by {user}"
    error = body.get("error")
    if isinstance(error, dict):
        yield str(error.get("message", ""))
    yield from _texts(body.get("reasons"))
    for name in ("reason", "why", "for", "cause"):
        yield from _texts([body.get(name)])
    if "step" in body and "job" in body:
        yield f"step {body['step']} of job {body['job']}"


def _code(body: Mapping[str, object]) -> str:
    error = body.get("error")
    return str((error if isinstance(error, dict) else body).get("code", ""))


def _texts(values: object) -> Iterable[str]:
    return [str(value) for value in values if value] if isinstance(values, list) else []


def line_text(line: HistoryLine) -> str:
    """One line for people: when, who tells it, of which attempt, what happened, why."""
    place = f" {line.task}/{line.attempt}" if line.task else ""
    code, note = f"[{line.code}]" if line.code else "", f"noting: {line.note}" if line.note else ""
    causes = "; ".join(text for text in (f"{line.cause} {code}".strip(), note) if text)
    cause = f" ({causes})" if causes else ""
    return f"{clock_text(line.at_ms)}.{line.at_ms % 1000:03d}  {line.teller}{place}: {line.what}{cause}"
