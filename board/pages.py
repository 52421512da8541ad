"""The pages: all jobs, one job, and the buttons that decide about a job."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response

from board.context import Form, LoggedIn
from board.job_view import Before, ChosenState, job_values, jobs_values
from flow.client import ProposalChanged
from runtime.errors import Conflict

router = APIRouter()


@router.get("/")
def jobs(looking: LoggedIn, state: ChosenState = None, before: Before = "") -> Response:
    """The newest jobs, or some older ones, and the state of the party beside them."""
    return looking.page("jobs.html", **jobs_values(looking.flow, state, before), status=looking.flow.status())


@router.get("/jobs/{job}")
def job(looking: LoggedIn, job: str) -> Response:
    """One job, with its charts."""
    return looking.page("job.html", changed="", **job_values(looking.flow, job, looking.context.renderer.party))


@router.post("/jobs/{job}/stop")
def stop(looking: LoggedIn, fields: Form, job: str) -> Response:  # noqa: ARG001 - the form proves where it came from
    """Cancel the job everywhere."""
    return _back(looking.flow.stop(job).id)


@router.post("/jobs/{job}/approve")
def approve(looking: LoggedIn, fields: Form, job: str) -> Response:
    """Agree to a job that waits for a person here, as the page showed it; if that has changed, show it anew."""
    try:
        return _back(looking.flow.approve(job, fields.get("digest", "")).id)
    except Conflict as error:
        if error.code != ProposalChanged.code:
            raise
        values = job_values(looking.flow, job, looking.context.renderer.party)
        return looking.page("job.html", status_code=409, changed=error.message, **values)


@router.post("/jobs/{job}/refuse")
def refuse(looking: LoggedIn, fields: Form, job: str) -> Response:
    """Refuse it."""
    return _back(looking.flow.refuse(job, fields.get("reason", "")[:1000]).id)


def _back(job: str) -> Response:
    return RedirectResponse(f"/jobs/{job}", status_code=303)
