"""Asking about jobs: submit, look, decide, and follow what happens."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, TypeVar

import httpx

from flow.rest_client.http import ANSWER_S, CONNECT_S, HttpCalls
from flow.rest_client.paths import part, rows_of
from flow.rest_client.patience import Waits
from flow.rest_client.remote_errors import raise_refusal, wrapped
from flow.views.dry_run import DryRunView
from flow.views.history import HistoryLine, HistoryView
from flow.views.jobs import (
    MOST_EVENTS,
    MOST_ROWS,
    EventRow,
    JobSummary,
    JobView,
    LogRow,
    MetricRow,
    OutputRow,
    ProgressRow,
    ProposalView,
    RefusedByPolicy,
    Waiting,
)
from flow.views.party import Submitted, Validation
from runtime.errors import Unavailable

SILENCE_S = 40.0  # streams carry a comment every 15 s
DRY_RUN_S = 60.0  # a party that does not answer is waited for 20
RESTART_S = 0.3
OPENED = ": open"  # the comment that every stream begins with

R = TypeVar("R", MetricRow, LogRow, EventRow)


def people(view: JobView) -> list[Waiting]:
    """The people for whom a job waits."""
    return [waiting for waiting in view.waiting_for if waiting.what == "person"]


class JobCalls(HttpCalls):
    """The jobs of a party."""

    def submit(self, spec_json: bytes, *, submit_token: str | None = None) -> str:
        """Submit a job; its id. The same job with the same token gives the same id."""
        headers = {"Submit-Token": submit_token} if submit_token else {}
        return self._ask(Submitted, "POST", "/jobs", content=spec_json, headers=headers).id

    def resume(
        self, job: str, parameters: Mapping[str, Mapping[str, object]], *, submit_token: str | None = None
    ) -> str:
        """Go on from a job that failed or was stopped, with new values of parameters by task; the new job's id."""
        headers = {"Submit-Token": submit_token} if submit_token else {}
        body = {"parameters": parameters}
        return self._ask(Submitted, "POST", f"/jobs/{part(job)}/resume", json=body, headers=headers).id

    def validate(self, spec_json: bytes) -> Validation:
        """What would be wrong with a job."""
        return self._ask(Validation, "POST", "/jobs/validate", content=spec_json)

    def dry_run(self, spec_json: bytes) -> DryRunView:
        """What every party would answer to a job, without making one; takes as long as the slowest answer."""
        return self._ask(DryRunView, "POST", "/jobs/dry-run", content=spec_json, timeout=DRY_RUN_S)

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of job.json."""
        return self._ask(dict[str, Any], "GET", "/schema/job")

    def jobs(self, limit: int = 50, state: str | None = None, before: str = "", every: bool = True) -> list[JobSummary]:
        """The newest jobs first, of those older than the job `before` if one is named.

        Unless `every`, without proposals that the policy of this party refused.
        """
        params = {"limit": limit, "every": every} | {k: v for k, v in (("state", state), ("before", before)) if v}
        return self._ask(list[JobSummary], "GET", "/jobs", params=params)

    def refused_by_policy(self) -> int:
        """How many proposals of other parties the policy of this one refused, of those that are kept."""
        return self._ask(RefusedByPolicy, "GET", "/jobs/refused-by-policy").count

    def job(self, job: str) -> JobView:
        """One job."""
        return self._ask(JobView, "GET", f"/jobs/{part(job)}")

    def why(self, job: str) -> list[str]:
        """What a job waits for, in sentences."""
        return self._ask(list[str], "GET", f"/jobs/{part(job)}/why")

    def stop(self, job: str) -> JobView:
        """Cancel a job everywhere."""
        return self._ask(JobView, "POST", f"/jobs/{part(job)}/stop")

    def proposal(self, job: str) -> ProposalView:
        """What a person of the party decides about: inputs, parameters, what leaves, who learns what."""
        return self._ask(ProposalView, "GET", f"/jobs/{part(job)}/proposal")

    def approve(self, job: str, digest: str, note: str = "") -> JobView:
        """Agree to a job that waits for a person here, as `proposal` showed it under this digest."""
        return self._ask(JobView, "POST", f"/jobs/{part(job)}/approve", json={"digest": digest, **_noted(note)})

    def refuse(self, job: str, reason: str = "", note: str = "") -> JobView:
        """Refuse a job that waits for a person here."""
        return self._ask(JobView, "POST", f"/jobs/{part(job)}/refuse", json={"reason": reason, **_noted(note)})

    def metrics(self, job: str, task: str | None = None, since: int = 0) -> list[MetricRow]:
        """All metrics with an id above `since`."""
        return self._all_rows(list[MetricRow], f"/jobs/{part(job)}/metrics", MOST_ROWS, rows_of(task, since))

    def latest_metrics(self, job: str) -> list[MetricRow]:
        """Of each metric of each address in each task the number that came last."""
        return self._ask(list[MetricRow], "GET", f"/jobs/{part(job)}/metrics/latest")

    def newest_logs(self, job: str, count: int) -> list[LogRow]:
        """The newest log lines, oldest first."""
        return self._ask(list[LogRow], "GET", f"/jobs/{part(job)}/logs", params={"newest": count})

    def logs(self, job: str, task: str | None = None, since: int = 0) -> list[LogRow]:
        """All log lines with an id above `since`."""
        return self._all_rows(list[LogRow], f"/jobs/{part(job)}/logs", MOST_ROWS, rows_of(task, since))

    def outputs(self, job: str) -> list[OutputRow]:
        """Published outputs."""
        return self._ask(list[OutputRow], "GET", f"/jobs/{part(job)}/outputs")

    def progress(self, job: str) -> list[ProgressRow]:
        """How far each running side is."""
        return self._ask(list[ProgressRow], "GET", f"/jobs/{part(job)}/progress")

    def timeline(self, job: str) -> list[EventRow]:
        """What happened to a job so far."""
        asked = {"limit": MOST_EVENTS}
        return self._all_rows(list[EventRow], f"/jobs/{part(job)}/timeline", MOST_EVENTS, asked)

    def history(self, job: str, party: str = "", after: str = "", limit: int = 1000) -> HistoryView:
        """What happened to a job at every party, in one order, after the line with a key."""
        asked = {"party": party, "after": after, "limit": limit}
        within_s = ANSWER_S  # other parties are asked
        return self._ask(HistoryView, "GET", f"/jobs/{part(job)}/history", params=asked, within_s=within_s)

    def whole_history(self, job: str, party: str = "") -> HistoryView:
        """All of it; `untold` is what was said at the end."""
        found, lines = self.history(job, party), list[HistoryLine]()
        while True:
            lines += found.lines
            if not (found.more and found.lines):
                return found.model_copy(update={"lines": tuple(lines)})
            found = self.history(job, party, found.lines[-1].key)

    def moves(self, job: str, newest: int) -> list[EventRow]:
        """The newest few events of a job that tell of more than recorded rows, oldest first."""
        return self._ask(list[EventRow], "GET", f"/jobs/{part(job)}/moves", params={"newest": newest})

    def events(self, job: str | None = None, since: int = 0, waits: Waits | None = None) -> Iterator[EventRow]:
        """Events after `since`, as they happen; one job's stream ends when the job has.

        A stream that breaks, or that the party cannot give now, is taken up again where it stopped; `waits` is told
        the first error of each outage. Raises Unavailable when an outage is longer than minutes.
        """
        patience = self._patience(waits)
        while True:
            try:
                for row in self._stream(job, since, patience.over):
                    if row is None:
                        return
                    since = row.id
                    yield row
            except Unavailable as error:
                patience.bear(error)
            else:
                time.sleep(RESTART_S)  # the server closed the stream: it restarts, or is gone

    def watch(
        self, job: str, waits: Waits | None = None
    ) -> Iterator[JobView | EventRow | list[Waiting] | list[MetricRow]]:
        """A job, its events and new metrics as they come, and at the end the job again; as patient as `events`.

        When a person is asked, also all the people for whom the job waits now.
        """
        patience = self._patience(waits)
        yield (view := patience.ask(lambda: self.job(job)))
        asked = people(view)
        for event in self.events(job, waits=waits):
            yield event.model_copy(update={"metrics": ()})
            if event.kind == "party.ask" and not any(waiting.who == event.party for waiting in asked):
                asked = people(patience.ask(lambda: self.job(job)))
                if asked:
                    yield asked
            if event.kind == "party.stalled":
                yield list(patience.ask(lambda: self.job(job)).waiting_for)
            if event.metrics:
                yield list(event.metrics)
        yield patience.ask(lambda: self.job(job))

    async def relay(self, job: str | None, last_event_id: str) -> AsyncIterator[bytes]:
        """The event stream's own bytes, for a web page that passes them on."""
        headers = self._headers() | ({"Last-Event-ID": last_event_id} if last_event_id else {})
        timeout = httpx.Timeout(SILENCE_S, connect=CONNECT_S)
        async with httpx.AsyncClient(timeout=timeout, trust_env=False) as http:
            with wrapped(self.url):
                async with http.stream("GET", self._events_url(job), headers=headers) as response:
                    if response.status_code != httpx.codes.OK:
                        raise_refusal(response.status_code, await response.aread())
                    async for chunk in response.aiter_raw():
                        yield chunk

    def _events_url(self, job: str | None) -> str:
        return f"{self.url}/v1/events" if job is None else f"{self.url}/v1/jobs/{part(job)}/events"

    def _all_rows(self, kind: type[list[R]], path: str, most: int, asked: dict[str, Any]) -> list[R]:
        """What is there, however many answers of at most so many rows it takes."""
        rows = self._ask(kind, "GET", path, params=asked)
        if len(rows) < most:
            return rows
        return rows + self._all_rows(kind, path, most, {**asked, "since": rows[-1].id})

    def _stream(self, job: str | None, since: int, lives: Callable[[], None]) -> Iterator[EventRow | None]:
        """Rows of one connection; None once the job's stream has come to its proper end. `lives`: it goes on."""
        timeout = httpx.Timeout(SILENCE_S, connect=CONNECT_S)
        with (
            wrapped(self.url),
            self._http.stream(
                "GET", self._events_url(job), params={"since": since}, headers=self._headers(), timeout=timeout
            ) as response,
        ):
            if response.is_error:
                raise_refusal(response.status_code, response.read())
            name = ""
            for line in response.iter_lines():
                if line and line != OPENED:
                    lives()
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "data" and name == "closed":
                    raise_refusal(httpx.codes.FORBIDDEN, value.encode())
                elif field == "data" and name == "end":
                    yield None
                elif field == "data":
                    yield EventRow.model_validate_json(value)


def _noted(note: str) -> dict[str, str]:
    return {"note": note} if note else {}  # an older release knows no notes
