"""A job as it goes: one line a round, one a move; a line per record with `--json`."""

from __future__ import annotations

from collections.abc import Iterable

from flow.cli.screen import Screen
from flow.client import ENDED_JOB, EventRow, JobView, MetricRow, Waiting
from flow.views.stalls import STALLS
from runtime.clock import span

Told = JobView | EventRow | list[Waiting] | list[MetricRow]

_PARTY_SAYS = {
    "refuse": "refuses",
    "absent": "is absent",
    "hindered": "cannot go on now",
    "back": "is back",
    "goes_on": "goes on",
    "left": "left the job",
}


class Watcher:
    """Shows what is told of one job and knows how it ended.

    Every trainer reports the federation's common metrics, so a round is shown once: as the party says that spoke
    first in its task. With `--json` every row of every party is written.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._speaker: dict[tuple[str, int], str] = {}
        self._round: tuple[str, int, int] | None = None
        self._values: list[str] = []
        self._whole: dict[tuple[str, int], int] = {}
        self._told: set[str] = set()
        self._state = ""

    def show(self, told: Told) -> None:
        """One thing that was told."""
        if self._screen.as_json:
            self._record(told)
        elif isinstance(told, list):
            self._metrics([row for row in told if isinstance(row, MetricRow)])
            self._people([one for one in told if isinstance(one, Waiting)])
        elif isinstance(told, EventRow):
            if not told.kind.endswith("recorded"):
                self._flush()
            self._event(told)
        else:
            self._flush()
            self._job(told)

    def end(self) -> str:
        """The last state that was seen."""
        return self._state

    def _record(self, told: Told) -> None:
        for item in told if isinstance(told, list) else [told]:
            kind = {JobView: "job", EventRow: "event", MetricRow: "metric", Waiting: "waiting"}[type(item)]
            self._screen.record({"kind": kind, kind: item.model_dump(mode="json")})
        if isinstance(told, JobView):
            self._state = told.state

    def _job(self, job: JobView) -> None:
        if not self._state:
            self._screen.line(f"{job.id}  {job.name}")
            self._people(job.waiting_for)
        else:
            for line in _end_lines(job):
                self._screen.line(line)
        self._state = job.state

    def _event(self, event: EventRow) -> None:
        kind, _, what = event.kind.partition(".")
        if kind == "job" and what not in (*ENDED_JOB, "closed"):
            self._screen.line(f"job {what}")
        elif kind == "attempt" and what in ("running", "failed", "lost"):
            self._once(f"{event.task}: attempt {event.attempt} {what}")
        elif event.kind == "task.resumes":
            self._once(f"{event.task}: {_resumes(event)}")
        elif event.kind == "executor.restarted":
            self._screen.line(f"{event.task}: {event.body.get('address')}: {event.body.get('text', 'starts again')}")
        elif event.kind == "gateway.down":
            self._screen.line("our own gateway does not answer")
        elif event.kind == "task.published":
            self._once(f"{event.task}: succeeded")
        elif kind == "party" and what in _PARTY_SAYS:
            self._screen.line(f"{event.party} {_PARTY_SAYS[what]}")

    def _people(self, waits: Iterable[Waiting]) -> None:
        """For whose decision or for what of whose side the job waits, and what to type if it is ours."""
        for one in waits:
            if one.what == "person" or one.what in STALLS:
                self._once(f"waits for {one.text}" + (f": {one.do}" if one.do else ""))

    def _once(self, line: str) -> None:
        """What every party tells is shown once."""
        if line not in self._told:
            self._told.add(line)
            self._screen.line(line)

    def _metrics(self, rows: list[MetricRow]) -> None:
        for row in rows:
            self._metric(row)
        if self._round is not None and len(self._values) >= self._whole.get(self._round[:2], len(self._values) + 1):
            self._flush()  # as many values as the round before: it is whole, nothing is waited for

    def _metric(self, row: MetricRow) -> None:
        speaker = self._speaker.setdefault((row.task, row.attempt), f"{row.role}:{row.party}")
        if speaker != f"{row.role}:{row.party}":
            return
        key = (row.task, row.attempt, row.step)
        if key != self._round:
            self._flush()
            self._round = key
        self._values.append(f"{row.name} {row.value:.4f}")

    def _flush(self) -> None:
        if self._round is not None and self._values:
            task, attempt, step = self._round
            self._whole[task, attempt] = len(self._values)
            place = f"{task}: round {step}" if step else f"{task}:"  # what is measured once has no round
            self._screen.line(f"{place}  {'  '.join(self._values)}")
        self._round, self._values = None, []


def _resumes(event: EventRow) -> str:
    body = event.body
    if not body:
        return "no checkpoint that all parties share, starts afresh"
    if body["job"] == event.job:
        return f"attempt {event.attempt}, from step {body['step']} of attempt {body['attempt']}"
    return f"goes on from step {body['step']} of job {body['job']}"


def _end_lines(job: JobView) -> list[str]:
    took = span((job.ended_ms or job.submitted_ms) - job.submitted_ms)
    lines = [f"job {job.state} after {took}" + (f" ({job.outcome})" if job.outcome else "")]
    lines += [error.text for error in (job.own_error, job.error) if error]
    said = "\n".join(lines)
    lines += [f"{party.party}: {reason}" for party in job.parties for reason in party.reasons if reason not in said]
    return lines
