"""Event streams (Server-Sent Events): what happened since a given event, then what happens, as it happens.

The id of each event is the row's id, so a client that reconnects with Last-Event-ID misses nothing. The stream of one
job carries the numbers that its events tell of, for a user who may read them, and ends after the job's end; the stream
of all jobs ends when Flow stops. Each asks again every few seconds whether its user may still read, and ends with the
event `closed`, which says why, when not.
"""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from flow.job.states import ENDED_JOB
from flow.rest.access import READ_EVENTS, READ_METRICS, Caller, ReadEvent
from flow.rest.errors import BadRequest, body_of
from flow.views.jobs import EventRow
from runtime.errors import PlatformError

router = APIRouter(tags=["events"])

PAGE = 100
ENDS = frozenset(f"job.{state}" for state in ENDED_JOB)

MAX_ID_DIGITS = 18  # of an event's id, which a database counts in 63 bits


def _start(
    since: Annotated[int, Query(ge=0, lt=1 << 63, description="Only events with a greater id.")] = 0,
    last_event_id: Annotated[
        str | None, Header(description="Sent by browsers that reconnect; wins over since.")
    ] = None,
) -> int:
    if last_event_id is None or last_event_id == "":
        return since
    if not last_event_id.isascii() or not last_event_id.isdigit() or len(last_event_id) > MAX_ID_DIGITS:
        raise BadRequest("Last-Event-ID is not the id of an event.", field="last-event-id")
    return int(last_event_id)


Start = Annotated[int, Depends(_start)]


def _known_job(caller: ReadEvent, job: str) -> Caller:
    caller.backends.service.job(job)  # an unknown job is answered before the stream begins
    return caller


@router.get("/jobs/{job}/events", response_class=EventSourceResponse, summary="A job's events, live")
async def job_events(
    caller: Annotated[Caller, Depends(_known_job)], job: str, start: Start
) -> AsyncIterable[ServerSentEvent]:
    """The job's events after `since`; the stream ends when the job has."""
    async for event in _events(caller, job, start):
        yield event


@router.get("/events", response_class=EventSourceResponse, summary="All events, live")
async def all_events(caller: ReadEvent, start: Start) -> AsyncIterable[ServerSentEvent]:
    """The events of every job of this party after `since`."""
    async for event in _events(caller, None, start):
        yield event


async def _events(caller: Caller, job: str | None, since: int) -> AsyncIterable[ServerSentEvent]:
    yield ServerSentEvent(comment="open")  # the far side knows at once that it was let in
    pulse, service = caller.backends.pulse, caller.backends.service
    ended = job is not None and (await to_thread.run_sync(service.job, job)).state in ENDED_JOB
    more, newest, rows = True, 0, list[EventRow]()
    while not pulse.over:
        if refusal := await to_thread.run_sync(_refusal, caller):
            yield ServerSentEvent(event="closed", raw_data=refusal)
            return
        if more:
            newest = pulse.newest  # read before the rows: what comes in between rings the bell again
            rows = await to_thread.run_sync(_events_after, caller, job, since)
        for row in rows:
            since = row.id
            ended = ended or (job is not None and row.kind in ENDS)
            yield ServerSentEvent(id=str(row.id), raw_data=row.model_dump_json())
        if ended and len(rows) < PAGE:
            yield ServerSentEvent(event="end", raw_data="{}")
            return
        more = len(rows) == PAGE or await pulse.wait(max(since, newest), caller.backends.ask_again_s)
        rows = []


def _events_after(caller: Caller, job: str | None, since: int) -> list[EventRow]:
    with_metrics = job is not None and not _refused(caller, READ_METRICS)
    return caller.backends.service.events(job, since, PAGE, with_metrics=with_metrics)


def _refusal(caller: Caller) -> str:
    """Why the user may read events no longer, as JSON; empty if they may."""
    error = _refused(caller, READ_EVENTS)
    return body_of(error).model_dump_json() if error else ""


def _refused(caller: Caller, what: tuple[str, str]) -> PlatformError | None:
    """Why the user may do something no longer; None if they may."""
    try:
        caller.again().may(*what)
    except PlatformError as error:
        return error
    return None
