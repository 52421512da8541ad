"""The route of the queue: what has room at this party, what waits for it, and behind what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby

from fastapi import APIRouter

from cluster_manager.client import Place
from flow.errors import UnknownJob
from flow.rest.access import ReadJob
from flow.rest.backends import Backends
from flow.views.jobs import JobView
from flow.views.queue import QueuedExecutor, QueueEntry

router = APIRouter(tags=["party"])

_STATES = {"started": "running", "held": "held", "waits": "waiting"}
_ORDER = tuple(_STATES)


@router.get("/queue", summary="What has room at this party and what waits for it, in order")
def queue(known: ReadJob) -> list[QueueEntry]:
    """First what runs, then what has room and is not started yet, then what waits, as it gets room."""
    places = known.backends.cluster.queue()
    return entries(places, _jobs(known.backends, {place.job for place in places}))


def entries(places: Iterable[Place], jobs: Mapping[str, JobView]) -> list[QueueEntry]:
    """Places of one attempt as one entry; a job that this party does not know any more has no name."""
    found = []
    holding = sorted((p for p in places if p.state != "waits"), key=lambda p: (_ORDER.index(p.state), _attempt(p)))
    waiting = [place for place in places if place.state == "waits"]
    for _, group in groupby([*holding, *waiting], key=lambda p: (p.state, _attempt(p))):
        found.append(_entry(list(group), jobs))
    return found


def _attempt(place: Place) -> tuple[str, str, int]:
    return place.job, place.task, place.attempt


def _entry(places: list[Place], jobs: Mapping[str, JobView]) -> QueueEntry:
    first = places[0]
    job = jobs.get(first.job)
    named = {"name": job.name, "initiator": job.initiator, "user": job.user} if job else {}
    return QueueEntry(
        state=_STATES[first.state],
        job=first.job,
        task=first.task,
        attempt=first.attempt,
        priority=first.priority,
        since_ms=first.since_ms or (job.started_ms if job else None),
        executors=tuple(
            QueuedExecutor(address=address, node=place.nodes.get(address, ""), **size.model_dump())
            for place in places
            for address, size in sorted(place.sizes.items())
        ),
        behind=first.behind,
        why=first.why,
        do=first.help or ("A job that ends here frees room; `flow job stop JOB` ends one." if first.why else ""),
        **named,
    )


def _jobs(backends: Backends, names: Iterable[str]) -> dict[str, JobView]:
    found = {}
    for name in names:
        try:
            found[name] = backends.service.job(name)
        except UnknownJob:
            continue
    return found
