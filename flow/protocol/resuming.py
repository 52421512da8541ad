"""Going on from an earlier job: its document changed, what a party offers of it, where a task goes on. Pure.

Every party signs which checkpoints it still holds for its own addresses. The manifest carries all answers, so each
party finds the same point by itself, and opens no checkpoint that it did not offer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flow.errors import CheckpointPastEnd
from flow.job.binding import BoundTask
from flow.job.overrides import Changes, with_parameters
from flow.protocol.exposure import weakest
from flow.protocol.messages import Manifest
from node_manager.client import ResumePoint


def resumed(spec: Mapping[str, Any], job: str, changes: Changes) -> dict[str, Any]:
    """The job.json that goes on from a job: its own, with other parameters. Raises JobInvalid."""
    return {**with_parameters(spec, changes), "settings": {**spec.get("settings", {}), "resume": job}}


def goes_on(task: BoundTask, earlier: BoundTask) -> bool:
    """Whether a task may go on from checkpoints of a task of the same name in an earlier job.

    Not with weaker protection: what was hidden from somebody then would be shown now.
    """
    if task.component.reference != earlier.component.reference or task.addresses != earlier.addresses:
        return False
    now, before = weakest(task), weakest(earlier)
    return now is None or (before is not None and now.strength >= before.strength)


def require_in_reach(manifest: Manifest, tasks: Mapping[str, BoundTask]) -> None:
    """Raises CheckpointPastEnd if a task would go on after its own last step: nothing would be left of it to do."""
    for task in tasks.values():
        point, last_step = resume_point(manifest, task), task.component.last_step
        last = min((last_step(own.parameters) for own in task.terms), default=0) if last_step else None
        if point is not None and last is not None and point.step > last:
            raise CheckpointPastEnd(
                f"tasks.{task.name} goes on after step {point.step} of job {point.job}; "
                f"by its parameters its last step is {last}.",
                hint="Resume it with parameters that reach further, or submit it without `settings.resume`.",
            )


def resume_point(manifest: Manifest, task: BoundTask) -> ResumePoint | None:
    """Where every address of a task goes on from: the furthest step they share of the newest job with one.

    A later attempt of a job may have started afresh and got less far than an earlier one. None if they share no step:
    the task starts afresh.
    """
    held: dict[tuple[str, int], dict[str, set[int]]] = {}
    for signed in manifest.answers:
        own = {str(address) for address in task.addresses if address.party == signed.answer.party}
        for kept in signed.answer.checkpoints:
            if kept.task == task.name and kept.address in own:
                held.setdefault((kept.job, kept.attempt), {})[kept.address] = set(kept.steps)
    shared = {
        (job, step, attempt)
        for (job, attempt), sides in held.items()
        for step in set.intersection(*(sides.get(str(address), set()) for address in task.addresses))
    }
    if not shared:
        return None
    job, step, attempt = max(shared)  # ids sort by time
    return ResumePoint(job=job, attempt=attempt, step=step)
