"""What the pages and their live updates show, fetched from Flow."""

from __future__ import annotations

from typing import Any

from flow.client import ENDED_JOB, EventRow, FlowClient, JobState, LogRow, MetricRow
from runtime.errors import Denied

SHOWN_JOBS = 100
SHOWN_EVENTS = 200
SHOWN_LINES = 200
_NOISE = "recorded"


def jobs_values(flow: FlowClient, state: JobState | None) -> dict[str, Any]:
    """The list of jobs."""
    return {"jobs": flow.jobs(SHOWN_JOBS, state), "states": list(JobState), "chosen": state}


def job_values(flow: FlowClient, job: str, party: str) -> dict[str, Any]:
    """One job with its results and history, and what a person of `party` is asked to decide about.

    What the user may not read is left out.
    """
    try:
        metrics = flow.metrics(job)
    except Denied:
        metrics = []
    events = _events(flow, job)
    view = flow.job(job)
    asked = any(waiting.what == "person" and waiting.who == party for waiting in view.waiting_for)
    return {
        "job": view,
        "proposal": flow.proposal(job) if asked and view.state not in ENDED_JOB else None,
        "metrics": metrics,
        "results": results(metrics),
        "outputs": flow.outputs(job),
        "events": [event for event in reversed(events) if not event.kind.endswith(_NOISE)][:SHOWN_EVENTS],
        "logs": _newest_lines(flow, job),
        "last_event": events[-1].id if events else 0,
    }


def results(metrics: list[MetricRow]) -> list[dict[str, Any]]:
    """By task: the last value of each metric, and each party's own where they differ."""
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


def _newest_lines(flow: FlowClient, job: str) -> list[LogRow]:
    """What the executors logged last, newest first."""
    try:
        return flow.newest_logs(job, SHOWN_LINES)[::-1]
    except Denied:
        return []


def _events(flow: FlowClient, job: str) -> list[EventRow]:
    try:
        return flow.timeline(job)
    except Denied:
        return []
