"""Routes about jobs: each checks who asks, asks Flow, and shows what Flow says."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header, Query, Request
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from flow.job.states import JobState
from flow.protocol.messages import Decision
from flow.rest.access import Anybody, ApproveJob, ReadEvent, ReadJob, ReadLog, ReadMetric, StopSomeJob, SubmitJob
from flow.rest.errors import BadRequest
from flow.rest.vital_checks import DISKS
from flow.views.dry_run import DryRunView
from flow.views.history import HistoryView
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
    RefusedByPolicy,
)
from flow.views.party import Submitted, Validation
from party.users import Thing

router = APIRouter(tags=["jobs"])

MAX_JOBS = 1000
MAX_JOB_CHARS = 26
MAX_NOTE_CHARS = 1000
MAX_KEY_CHARS = 120
TAKE_A_JOB = frozenset({("POST", "/v1/jobs"), ("POST", "/v1/jobs/validate"), ("POST", "/v1/jobs/dry-run")})

Since = Annotated[int, Query(ge=0, lt=1 << 63, description="Only rows with a greater id.")]
OneTask = Annotated[str | None, Query(description="Only rows of this task.")]


Note = Annotated[str, Field(max_length=MAX_NOTE_CHARS, description="For people of this party only.")]


class Reason(BaseModel):
    """Why a job is refused."""

    model_config = ConfigDict(extra="forbid")
    reason: str = Field(default="", max_length=1000)
    note: Note = ""


class Approval(BaseModel):
    """What a person has seen of the job."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"required": ["digest"]})
    digest: str = Field(default="", max_length=64, description="`digest` of the proposal that was shown.")
    note: Note = ""


class Resumption(BaseModel):
    """What is other in the job that goes on."""

    model_config = ConfigDict(extra="forbid")
    parameters: dict[str, dict[str, JsonValue]] = Field(default={}, description="New values, by task and parameter.")


async def _raw(request: Request) -> bytes:
    return await request.body()


Spec = Annotated[bytes, Depends(_raw)]
_SPEC: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": "/v1/schema/job"}}}}
}


@router.get("/schema/job", summary="The JSON Schema of job.json")
def schema(_known: Anybody) -> dict[str, Any]:
    """The published JSON Schema of job.json."""
    from algorithms.registry import components
    from flow.job.schema import job_schema

    return job_schema(components())


@router.post("/jobs", status_code=201, summary="Submit a job", openapi_extra=_SPEC)
def submit(
    known: SubmitJob,
    spec: Spec,
    submit_token: Annotated[str | None, Header(max_length=200, description="Makes a repeated submit safe.")] = None,
) -> Submitted:
    """Store the job and answer with its id at once. The same file with the same token gives the same id."""
    return Submitted(id=known.backends.service.submit(spec, user=known.user, submit_token=submit_token))


@router.post("/jobs/{job}/resume", status_code=201, summary="Go on from a job that failed or was stopped")
def resume(
    known: SubmitJob,
    job: str,
    body: Annotated[Resumption | None, Body()] = None,
    submit_token: Annotated[str | None, Header(max_length=200, description="Makes a repeated submit safe.")] = None,
) -> Submitted:
    """Submit the same job with other parameters; its tasks go on from the earlier job's checkpoints."""
    changes = body.parameters if body else {}
    service = known.backends.service
    return Submitted(id=service.resume(job, changes, user=known.user, submit_token=submit_token))


@router.post("/jobs/validate", summary="Check a job without submitting it", openapi_extra=_SPEC)
def validate(known: SubmitJob, spec: Spec) -> Validation:
    """What this party would answer to the job now, and why; the others decide once it is submitted."""
    found = known.backends.service.validate(spec, user=known.user)
    return Validation(
        valid=found.decision is not Decision.REFUSE,
        decision=found.decision,
        problems=tuple({"path": p.path, "message": p.message, "hint": p.hint} for p in found.problems),
        others=found.others,
    )


@router.post("/jobs/dry-run", summary="Ask every party about a job without submitting it", openapi_extra=_SPEC)
def dry_run(known: SubmitJob, spec: Spec) -> DryRunView:
    """What each party would answer now, what would run where, what would leave, about how long it would take."""
    return known.backends.service.dry_run(spec, user=known.user)


@router.get("/jobs", summary="The newest jobs")
def jobs(
    known: ReadJob,
    limit: Annotated[int, Query(ge=1, le=MAX_JOBS)] = 50,
    state: JobState | None = None,
    before: Annotated[str, Query(max_length=MAX_JOB_CHARS, description="Only jobs older than this one.")] = "",
    every: Annotated[bool, Query(description="Also proposals that the policy of this party refused.")] = True,
) -> list[JobSummary]:
    """The newest jobs first, of one state if asked."""
    return known.backends.service.jobs(limit, state, before, every)


@router.get("/jobs/refused-by-policy", summary="What `GET /jobs` leaves out with `every=false`")
def refused_by_policy(known: ReadJob) -> RefusedByPolicy:
    """How many proposals of other parties the policy of this one refused, of those that are still kept."""
    return RefusedByPolicy(count=known.backends.service.refused_by_policy())


@router.get("/jobs/{job}", summary="One job")
def show(known: ReadJob, job: str) -> JobView:
    """Its state, parties, tasks and attempts."""
    return known.backends.service.job(job)


@router.get("/jobs/{job}/why", summary="What a job waits for")
def why(known: ReadJob, job: str) -> list[str]:
    """Sentences; none if it waits for nothing. What is wrong with a disk of this party is among them."""
    service = known.backends.service
    if service.job(job).ended_ms is not None:
        return service.why(job)
    down = [vital for vital in known.backends.vitals.now() if not vital.ok]
    gateway = next((vital.text for vital in down if vital.room == "gateway"), "")
    return [*service.why(job, gateway), *(vital.text for vital in down if vital.room in DISKS)]


@router.post("/jobs/{job}/stop", status_code=202, summary="Cancel a job everywhere")
def stop(known: StopSomeJob, job: str) -> JobView:
    """Its owner or an operator may; a job that has ended stays as it is."""
    service = known.backends.service
    service.job(job)
    known.may("stop", Thing("job", job, known.backends.owner_of(job)))
    service.stop(job, known.user)
    return service.job(job)


@router.post(
    "/jobs/{job}/approve",
    status_code=202,
    summary="Agree to a job that waits for a person here",
    openapi_extra={"requestBody": {"required": True}},
)
def approve(known: ApproveJob, job: str, body: Annotated[Approval | None, Body()] = None) -> JobView:
    """The party agrees to what was shown; where something else would be shown now: `409 flow.proposal_changed`."""
    if body is None or not body.digest:
        raise BadRequest(
            "An approval names what was seen: 'digest' is missing.",
            hint=f"Send the 'digest' of /v1/jobs/{job}/proposal.",
            field="digest",
        )
    known.backends.service.approve(job, known.user, body.digest, body.note)
    return known.backends.service.job(job)


@router.post("/jobs/{job}/refuse", status_code=202, summary="Refuse a job that waits for a person here")
def refuse(known: ApproveJob, job: str, body: Annotated[Reason | None, Body()] = None) -> JobView:
    """The party refuses, which ends the job."""
    said = body or Reason()
    known.backends.service.refuse(job, known.user, said.reason, said.note)
    return known.backends.service.job(job)


@router.get("/jobs/{job}/metrics", summary="Metrics of each round")
def metrics(known: ReadMetric, job: str, task: OneTask = None, since: Since = 0) -> list[MetricRow]:
    """Oldest first."""
    return known.backends.service.metrics(job, task, since)


@router.get("/jobs/{job}/metrics/latest", summary="The newest value of each metric")
def latest_metrics(known: ReadMetric, job: str) -> list[MetricRow]:
    """Of each metric of each address in each task the number that came last."""
    return known.backends.service.latest_metrics(job)


@router.get("/jobs/{job}/logs", summary="Log lines of the executors")
def logs(
    known: ReadLog,
    job: str,
    task: OneTask = None,
    since: Since = 0,
    newest: Annotated[int | None, Query(ge=1, le=MOST_ROWS, description="Only so many, the newest.")] = None,
) -> list[LogRow]:
    """Oldest first."""
    return known.backends.service.logs(job, task, since, newest)


@router.get("/jobs/{job}/outputs", summary="Published outputs")
def outputs(known: ReadJob, job: str) -> list[OutputRow]:
    """Tables, models, metrics and reports that became visible."""
    return known.backends.service.outputs(job)


@router.get("/jobs/{job}/progress", summary="How far each running side is")
def progress(known: ReadJob, job: str) -> list[ProgressRow]:
    """One row a side."""
    return known.backends.service.progress(job)


@router.get("/jobs/{job}/timeline", summary="What happened, as a list")
def timeline(
    known: ReadEvent, job: str, since: Since = 0, limit: Annotated[int, Query(ge=1, le=MOST_EVENTS)] = 1000
) -> list[EventRow]:
    """The same events that the stream carries, without numbers."""
    known.backends.service.job(job)
    return known.backends.service.events(job, since, limit)


@router.get("/jobs/{job}/history", summary="What happened at every party, in one order")
def history(
    known: ReadEvent,
    job: str,
    party: Annotated[str, Query(max_length=63, description="Only what it tells, or what is about it.")] = "",
    after: Annotated[str, Query(max_length=MAX_KEY_CHARS, description="Only what comes after the line `key`.")] = "",
    limit: Annotated[int, Query(ge=1, le=MOST_EVENTS)] = 1000,
) -> HistoryView:
    """Oldest first, without rows that were recorded. Of a job that this party leads the others are asked for theirs."""
    return known.backends.service.history(job, party, after, limit)


@router.get("/jobs/{job}/moves", summary="What happened last, as a list")
def moves(
    known: ReadEvent, job: str, newest: Annotated[int, Query(ge=1, le=MOST_EVENTS, description="How many.")] = 200
) -> list[EventRow]:
    """Oldest first, without those events that tell only of numbers, lines or progress that were recorded."""
    return known.backends.service.moves(job, newest)
