"""Routes about what this party agrees to: a proposal as its people should see it, and the policies that decide."""

from __future__ import annotations

from fastapi import APIRouter

from flow.rest.who import ReadJob
from flow.views import ProposalView

router = APIRouter(tags=["policy"])


@router.get("/jobs/{job}/proposal", summary="What a person decides about")
def proposal(known: ReadJob, job: str) -> ProposalView:
    """Own tables and models, parameters that differ from defaults, every line that would be said, who learns what."""
    return known.backends.service.proposal(job)
