"""What the board counts of itself, for whom Flow lets read what the party's services count."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from board.context import Anybody
from runtime.metrics import CONTENT_TYPE, metrics

router = APIRouter()


def permitted(looking: Anybody, request: Request) -> None:
    """Only who came with such a token in the header: a cookie is for pages. Raises what Flow refuses it with."""
    token = request.headers.get("authorization", "").partition(" ")[2].strip()
    looking.context.flow.as_user(token).service_metrics()


@router.get("/metrics")
def counted(_permitted: Annotated[None, Depends(permitted)]) -> Response:
    """As Prometheus reads it."""
    return Response(metrics("board").text(), media_type=CONTENT_TYPE)
