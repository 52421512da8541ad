"""Routes that hold a job, let it go on, submit it once more, and note what people think of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Header
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from flow.rest.access import CleanJobs, NoteJob, StopSomeJob, SubmitJob
from flow.views.cleaning import Cleaned
from flow.views.jobs import JobView
from flow.views.party import SubmittedAgain

router = APIRouter(tags=["jobs"])

MOST_NOTE_CHARS = 1_000
MAX_SECONDS = 100 * 365 * 86_400


class Again(BaseModel):
    """What is other in the job that is submitted once more."""

    model_config = ConfigDict(extra="forbid")
    parameters: dict[str, dict[str, JsonValue]] = Field(default={}, description="New values, by task and parameter.")
    first: str = Field(default="", max_length=100, description="The task from which on all is done again; empty: all.")


class Noted(BaseModel):
    """What a person notes."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(min_length=1, max_length=MOST_NOTE_CHARS)


class Cleaning(BaseModel):
    """What is to be deleted."""

    model_config = ConfigDict(extra="forbid")
    older_s: float = Field(ge=0, le=MAX_SECONDS, description="Only of jobs that ended so many seconds ago or more.")
    outputs: bool = Field(default=False, description="Tables, models and reports that jobs made, too.")
    dry_run: bool = Field(default=False, description="Only say what would be deleted.")
    after: str = Field(default="", max_length=26, description="Go on after this job, as the last answer says.")


@router.post("/clean", summary="Delete what is kept of jobs that ended long ago")
def clean(known: CleanJobs, body: Cleaning) -> Cleaned:
    """Lines, progress and checkpoints, outputs if asked and the caller may delete those of all; some jobs at a time."""
    service = known.backends.service
    return service.clean(body.older_s, known.user, outputs=body.outputs, dry_run=body.dry_run, after=body.after)


@router.post("/jobs/{job}/pause", status_code=202, summary="Pause a job everywhere")
def pause(known: StopSomeJob, job: str) -> JobView:
    """Who may stop it may, at the party that leads it; its room is free for others. One that is paused stays so."""
    known.backends.service.pause(job, known.user)
    return known.backends.service.job(job)


@router.post("/jobs/{job}/continue", status_code=202, summary="Let a paused job go on")
def go_on(known: StopSomeJob, job: str) -> JobView:
    """From its newest checkpoints, as soon as there is room everywhere; one that runs stays so."""
    known.backends.service.go_on(job, known.user)
    return known.backends.service.job(job)


@router.post("/jobs/{job}/clone", status_code=201, summary="Submit a job once more")
def clone(
    known: SubmitJob,
    job: str,
    body: Annotated[Again | None, Body()] = None,
    submit_token: Annotated[str | None, Header(max_length=200, description="Makes a repeated submit safe.")] = None,
) -> SubmittedAgain:
    """From its beginning; or from a task on, with the outputs of what was finished before that taken as they are."""
    what = body or Again()
    service = known.backends.service
    new, reused = service.clone(job, what.parameters, user=known.user, first=what.first, submit_token=submit_token)
    return SubmittedAgain(id=new, reused=tuple(reused))


@router.post("/jobs/{job}/notes", status_code=201, summary="Note something on a job")
def note(known: NoteJob, job: str, body: Noted) -> JobView:
    """For people of this party; no other party is told."""
    known.backends.service.note(job, known.user, body.text)
    return known.backends.service.job(job)
