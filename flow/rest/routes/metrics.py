"""What the services of a party count of themselves, gathered here: the others have no address to be asked at."""

from __future__ import annotations

from fastapi import APIRouter, Response

from flow.rest.access import ReadService
from runtime.errors import PlatformError
from runtime.metrics import CONTENT_TYPE, metrics

router = APIRouter(tags=["party"])
_ANSWERS = metrics("flow").gauge("room_answers", "Whether a room below answered (1) or not (0).", ["room"])


@router.get(
    "/metrics",
    summary="What Flow, the gateway, the Cluster Manager and its nodes count of themselves, as Prometheus reads it",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}},
)
def gathered(known: ReadService) -> Response:
    """Those of a room that does not answer are absent, and `archipelago_flow_room_answers` says so."""
    found = []
    for room, read in {
        "gateway": known.backends.gateway.metrics,
        "cluster_manager": known.backends.cluster.metrics,
    }.items():
        try:
            found.append(read())
        except PlatformError:
            _ANSWERS.labels(room).set(0)
        else:
            _ANSWERS.labels(room).set(1)
    return Response(b"".join([metrics("flow").text(), *found]), media_type=CONTENT_TYPE)
