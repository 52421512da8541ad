"""What keeps an open page fresh: Flow's event stream passed on, and the parts of the page that changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from board.context import LoggedIn, Looking
from board.job_view import Before, ChosenState, job_values, jobs_values, new_metrics
from flow.client import ENDED_JOB
from runtime.errors import Unavailable

router = APIRouter()

LastEvent = Annotated[str, Header(alias="last-event-id", max_length=20)]
Since = Annotated[int, Query(ge=0)]


@router.get("/live")
def jobs(looking: LoggedIn, state: ChosenState = None, before: Before = "") -> dict[str, Any]:
    """The list, as it is now."""
    return {"parts": {"jobs": looking.part("_jobs.html", **jobs_values(looking.flow, state, before))}}


@router.get("/jobs/{job}/live")
def job(looking: LoggedIn, job: str, metrics_since: Since = 0) -> dict[str, Any]:
    """The parts of the job's page, and the metrics that its charts lack."""
    values = job_values(looking.flow, job, looking.context.renderer.party)
    return {
        "state": values["job"].state,
        "ended": values["job"].state in ENDED_JOB,
        "parts": {
            "summary": looking.part("_summary.html", **values),
            "proposal": looking.part("_proposal.html", **values),
            "results": looking.part("_results.html", **values),
            "outputs": looking.part("_outputs.html", **values),
            "tasks": looking.part("_tasks.html", **values),
            "parties": looking.part("_parties.html", **values),
            "events": looking.part("_events.html", **values),
            "logs": looking.part("_logs.html", **values),
        },
        "metrics": new_metrics(looking.flow, job, metrics_since),
    }


@router.get("/stream")
async def all_stream(looking: LoggedIn, last_event_id: LastEvent = "", since: Since = 0) -> StreamingResponse:
    """Flow's events of all jobs."""
    return await _stream(looking, None, last_event_id or str(since))


@router.get("/jobs/{job}/stream")
async def job_stream(looking: LoggedIn, job: str, last_event_id: LastEvent = "", since: Since = 0) -> StreamingResponse:
    """Flow's events of one job."""
    return await _stream(looking, job, last_event_id or str(since))


async def _stream(looking: Looking, job: str | None, last_event_id: str) -> StreamingResponse:
    chunks = looking.flow.relay(job, last_event_id)
    first = await anext(chunks)  # a refusal is answered as one, before the stream begins
    looking.recognised()

    async def passed_on() -> AsyncIterator[bytes]:
        yield first
        try:
            async for chunk in chunks:
                yield chunk
        except Unavailable:
            return  # the browser connects again by itself

    return StreamingResponse(passed_on(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
