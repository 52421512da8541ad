"""What the pages and their live updates show, fetched from Flow."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

from fastapi import Query

from flow.client import ENDED_JOB, EventRow, FlowClient, JobState, LogRow, MetricRow
from runtime.errors import Denied

ChosenState = Annotated[JobState | None, Query()]
Before = Annotated[str, Query(max_length=26)]  # the id of a job

SHOWN_JOBS = 100
SHOWN_EVENTS = 200
SHOWN_LINES = 200
R = TypeVar("R", EventRow, LogRow, MetricRow)


def jobs_values(flow: FlowClient, state: JobState | None, before: str) -> dict[str, Any]:
    """The newest jobs, of those older than the job `before` if one is named; the addresses of older and newest ones."""
    every = state is not None
    found = flow.jobs(SHOWN_JOBS + 1, state, before, every=every)
    jobs = found[:SHOWN_JOBS]
    return {
        "jobs": jobs,
        "states": list(JobState),
        "chosen": state,
        "left_out": 0 if every else flow.refused_by_policy(),
        "here": _query(state, before),
        "older": _query(state, jobs[-1].id) if len(found) > len(jobs) else "",
        "newest": f"/?{_query(state)}" if before else "",
    }


def _query(state: JobState | None, before: str = "") -> str:
    return urlencode({name: value for name, value in (("state", state), ("before", before)) if value})


def job_values(flow: FlowClient, job: str, party: str) -> dict[str, Any]:
    """One job with its results and history, and what a person of `party` is asked to decide about.

    What the user may not read is left out.
    """
    events = _readable(lambda: flow.moves(job, SHOWN_EVENTS))
    view = flow.job(job)
    asked = any(waiting.what == "person" and waiting.who == party for waiting in view.waiting_for)
    return {
        "job": view,
        "proposal": flow.proposal(job) if asked and view.state not in ENDED_JOB else None,
        "results": results(_readable(lambda: flow.latest_metrics(job))),
        "outputs": flow.outputs(job),
        "events": events[::-1],
        "logs": _readable(lambda: flow.newest_logs(job, SHOWN_LINES))[::-1],
    }


def new_metrics(flow: FlowClient, job: str, since: int) -> list[dict[str, Any]]:
    """The numbers with an id above `since` that a chart can show; none if the user may not read them."""
    rows = _readable(lambda: flow.metrics(job, since=since))
    return [row.model_dump() for row in rows if math.isfinite(row.value)]  # JSON has no other numbers


def results(metrics: list[MetricRow]) -> list[dict[str, Any]]:
    """By task: the value of each metric, and each party's own where they differ."""
    last: dict[str, dict[str, dict[str, MetricRow]]] = {}
    for row in metrics:
        last.setdefault(row.task, {}).setdefault(row.name, {})[f"{row.role}:{row.party}"] = row
    return [
        {"task": task, "values": [_result(name, rows) for name, rows in names.items()]} for task, names in last.items()
    ]


def _result(name: str, rows: dict[str, MetricRow]) -> dict[str, Any]:
    values = {row.value for row in rows.values()}
    newest = max(rows.values(), key=lambda row: row.step)
    parties = [] if len(values) == 1 else [(address, row.value) for address, row in sorted(rows.items())]
    return {"name": name, "value": newest.value, "step": newest.step, "parties": parties}


def _readable(ask: Callable[[], list[R]]) -> list[R]:
    """The rows, or none if the user may not read them."""
    try:
        return ask()
    except Denied:
        return []
