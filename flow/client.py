"""The door of Flow: everything that the command line, the board and programs may ask of a party.

`FlowClient` speaks to the party's REST interface and hands back the same records that Flow shows. An error of the
far side is raised again as an error of the same root with the same code, message and hint.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter

from flow.job_state import ENDED_JOB, AttemptState, JobState
from flow.remote_errors import FlowUnreachable, raise_refusal, wrapped
from flow.rest.views import (
    ColumnView,
    HeadView,
    Health,
    NodeView,
    PartyStatus,
    PeerView,
    RoomView,
    Session,
    Submitted,
    TableView,
    Ticket,
    Validation,
)
from flow.routes import part, rows_of, table_at, table_path
from flow.views import (
    MOST_EVENTS,
    MOST_ROWS,
    AttemptView,
    ErrorView,
    EventRow,
    JobSummary,
    JobView,
    LogRow,
    MetricRow,
    OutputRow,
    PartyView,
    Problem,
    ProgressRow,
    SideView,
    TaskView,
    Waiting,
)
from party.addresses import WILDCARDS, HostPort, parse_listen

if TYPE_CHECKING:
    from party.home import PartyHome
    from party.service import Service

__all__ = [
    "ENDED_JOB",
    "AttemptState",
    "AttemptView",
    "ColumnView",
    "ErrorView",
    "EventRow",
    "FlowClient",
    "FlowUnreachable",
    "HeadView",
    "Health",
    "JobState",
    "JobSummary",
    "JobView",
    "LogRow",
    "MetricRow",
    "NodeView",
    "OutputRow",
    "PartyStatus",
    "PartyView",
    "PeerView",
    "Problem",
    "ProgressRow",
    "RoomView",
    "Session",
    "SideView",
    "TableView",
    "TaskView",
    "Ticket",
    "Validation",
    "Waiting",
    "serve",
    "url_of",
]

CONNECT_S = 5.0
ANSWER_S = 60.0
UPLOAD_S = 24 * 3600.0  # the answer comes when the whole file is stored
SILENCE_S = 40.0  # streams carry a comment every 15 s
PATIENCE_S = 30.0  # how long a broken event stream is tried again
CHUNK_BYTES = 1 << 20

T = TypeVar("T")
R = TypeVar("R", MetricRow, LogRow, EventRow)
Sent = Callable[[int, int], None]


def url_of(home: PartyHome) -> str:
    """Where the party's REST interface is reached from its own host."""
    listen = parse_listen(home.settings.flow.listen)
    near = HostPort("127.0.0.1", listen.port) if listen.host in WILDCARDS else listen
    return f"http://{near}"


class FlowClient:
    """One user's view of one party. Thread-safe; close it when done, or use it in a `with` block."""

    def __init__(self, url: str, token: str = "", *, transport: httpx.Client | None = None) -> None:
        """Make a client; nothing is asked yet.

        Args:
            url: The party's REST interface, `http://host:port`.
            token: The user's token or session token.
            transport: Connections to share with other clients of the same party.
        """
        self.url = url.rstrip("/")
        self._token = token
        self._owned = transport is None
        self._http = transport or httpx.Client(timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S), trust_env=False)

    @classmethod
    def of_home(cls, home: PartyHome, token: str | None = None) -> FlowClient:
        """A client for a party on this machine, by default as its first user."""
        return cls(url_of(home), home.token() if token is None else token)

    def as_user(self, token: str) -> FlowClient:
        """The same party for another user, over the same connections."""
        return FlowClient(self.url, token, transport=self._http)

    def close(self) -> None:
        """Close the connections that this client opened."""
        if self._owned:
            self._http.close()

    def __enter__(self) -> FlowClient:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    # -- jobs --------------------------------------------------------------------------------------------------------
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

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of job.json."""
        return self._ask(dict[str, Any], "GET", "/schema/job")

    def jobs(self, limit: int = 50, state: str | None = None) -> list[JobSummary]:
        """The newest jobs first."""
        params = {"limit": limit} | ({"state": state} if state else {})
        return self._ask(list[JobSummary], "GET", "/jobs", params=params)

    def job(self, job: str) -> JobView:
        """One job."""
        return self._ask(JobView, "GET", f"/jobs/{part(job)}")

    def why(self, job: str) -> list[str]:
        """What a job waits for, in sentences."""
        return self._ask(list[str], "GET", f"/jobs/{part(job)}/why")

    def stop(self, job: str) -> JobView:
        """Cancel a job everywhere."""
        return self._ask(JobView, "POST", f"/jobs/{part(job)}/stop")

    def approve(self, job: str) -> JobView:
        """Agree to a job that waits for a person here."""
        return self._ask(JobView, "POST", f"/jobs/{part(job)}/approve")

    def refuse(self, job: str, reason: str = "") -> JobView:
        """Refuse a job that waits for a person here."""
        return self._ask(JobView, "POST", f"/jobs/{part(job)}/refuse", json={"reason": reason})

    def metrics(self, job: str, task: str | None = None, since: int = 0) -> list[MetricRow]:
        """All metrics with an id above `since`."""
        return self._all_rows(list[MetricRow], f"/jobs/{part(job)}/metrics", MOST_ROWS, rows_of(task, since))

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

    # -- streams -----------------------------------------------------------------------------------------------------
    def events(self, job: str | None = None, since: int = 0) -> Iterator[EventRow]:
        """Events after `since`, as they happen; one job's stream ends when the job has.

        A broken stream is taken up again where it stopped. Raises FlowUnreachable when that fails for long.
        """
        broken_at: float | None = None
        while True:
            try:
                for row in self._stream(job, since):
                    if row is None:
                        return
                    since, broken_at = row.id, None
                    yield row
            except FlowUnreachable:
                broken_at = broken_at or time.monotonic()
                if time.monotonic() - broken_at > PATIENCE_S:
                    raise
            time.sleep(0.3)  # the server closed the stream: it restarts, or is gone

    def watch(self, job: str) -> Iterator[JobView | EventRow | list[MetricRow]]:
        """A job, its events and new metrics as they come, and at the end the job again."""
        yield self.job(job)
        seen = 0
        for event in self.events(job):
            yield event
            if event.kind == "metrics.recorded" and (rows := self.metrics(job, since=seen)):
                seen = rows[-1].id
                yield rows
        if rows := self.metrics(job, since=seen):
            yield rows
        yield self.job(job)

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

    # -- tables ------------------------------------------------------------------------------------------------------
    def upload(
        self,
        file: Path,
        table: str,
        *,
        id_column: str | None = None,
        label_column: str | None = None,
        sent: Sent | None = None,
    ) -> TableView:
        """Store a CSV, Parquet or Arrow file as the next version of a table; `sent(done, total)` is told on the way."""
        params = {k: v for k, v in (("id", id_column), ("label", label_column)) if v is not None}
        headers = {"File-Name": quote(file.name), "Content-Type": "application/octet-stream"}
        return self._ask(
            TableView,
            "PUT",
            table_path(table),
            content=_chunks(file, sent),
            params=params,
            headers=headers,
            timeout=httpx.Timeout(UPLOAD_S, connect=CONNECT_S),
        )

    def tables(self) -> list[TableView]:
        """The tables of this party."""
        return self._ask(list[TableView], "GET", "/tables")

    def table(self, reference: str) -> TableView:
        """One table."""
        return self._ask(TableView, "GET", *table_at(reference))

    def head(self, reference: str, rows: int = 10) -> HeadView:
        """The first rows of a table."""
        path, params = table_at(reference, "/head")
        return self._ask(HeadView, "GET", path, params | {"rows": rows})

    def delete(self, reference: str) -> None:
        """Delete a table, or one version of it."""
        path, params = table_at(reference)
        self._call("DELETE", path, params=params)

    # -- the party ---------------------------------------------------------------------------------------------------
    def health(self) -> Health:
        """Whether the REST interface answers; needs no token."""
        return self._ask(Health, "GET", "/health")

    def status(self) -> PartyStatus:
        """The party's services, peers and hosts."""
        return self._ask(PartyStatus, "GET", "/party")

    def ticket(self, valid_s: int = 120) -> Ticket:
        """A single-use login ticket for this user."""
        return self._ask(Ticket, "POST", "/tickets", params={"valid_s": valid_s})

    def open_session(self) -> Session:
        """A session of this user."""
        return self._ask(Session, "POST", "/sessions")

    def redeem(self, ticket: str) -> Session:
        """The session that a login ticket opens, once."""
        return self._ask(Session, "POST", "/sessions/ticket", json={"ticket": ticket})

    def end_session(self) -> None:
        """End the session that this client's token stands for."""
        self._call("DELETE", "/sessions")

    def reload(self) -> None:
        """Let the party's gateway read again whom it trusts."""
        self._call("POST", "/party/reload")

    # -- how it asks -------------------------------------------------------------------------------------------------
    def _ask(self, kind: type[T], method: str, path: str, params: dict[str, Any] | None = None, **how: Any) -> T:
        return TypeAdapter(kind).validate_json(self._call(method, path, params=params, **how))

    def _call(self, method: str, path: str, **how: Any) -> bytes:
        how["headers"] = self._headers() | how.get("headers", {})
        with wrapped(self.url):
            try:
                response = self._http.request(method, f"{self.url}/v1{path}", **how)
            except (httpx.RemoteProtocolError, httpx.ReadError):
                if method != "GET":
                    raise
                # A kept connection was closed by a server that restarted meanwhile; asking again does no harm.
                response = self._http.request(method, f"{self.url}/v1{path}", **how)
        if response.is_error:
            raise_refusal(response.status_code, response.content)
        return response.content

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def _events_url(self, job: str | None) -> str:
        return f"{self.url}/v1/events" if job is None else f"{self.url}/v1/jobs/{part(job)}/events"

    def _all_rows(self, kind: type[list[R]], path: str, most: int, asked: dict[str, Any]) -> list[R]:
        """What is there, however many answers of at most so many rows it takes."""
        rows = self._ask(kind, "GET", path, params=asked)
        if len(rows) < most:
            return rows
        return rows + self._all_rows(kind, path, most, {**asked, "since": rows[-1].id})

    def _stream(self, job: str | None, since: int) -> Iterator[EventRow | None]:
        """Rows of one connection; None once the job's stream has come to its proper end."""
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
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "data" and name == "end":
                    yield None
                elif field == "data":
                    yield EventRow.model_validate_json(value)


def serve(home: PartyHome) -> Service:
    """Flow of the party at `home`, not yet started."""
    from flow.server import serve as make

    return make(home)


def _chunks(file: Path, sent: Sent | None) -> Iterator[bytes]:
    total = file.stat().st_size
    done = 0
    with file.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            yield chunk
            done += len(chunk)
            if sent is not None:
                sent(done, total)
