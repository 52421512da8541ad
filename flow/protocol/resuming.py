"""Going on from an earlier job: its document changed, what a party offers of it, where a task goes on. Pure.

Every party signs which checkpoints it still holds for its own addresses. The manifest carries all answers, so each
party finds the same point by itself, and opens no checkpoint that it did not offer. A later attempt of a task goes on
likewise from what earlier ones left; there the initiator finds the point, and each party opens only what it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import Field

from flow.errors import CheckpointPastEnd
from flow.job.binding import BoundTask
from flow.job.overrides import Changes, with_parameters
from flow.protocol.exposure import weakest
from flow.protocol.messages import MAX_SIDES, AttemptOrder, KeptSteps, Manifest, Message
from node_manager.client import ResumePoint
from party.ids import Address
from runtime.bounds import Attempt, Count


class CommonStep(Message):
    """A step of an earlier attempt for which every address of the task had a checkpoint."""

    attempt: Attempt
    step: Count


class StartOrder(AttemptOrder):
    """Start the receiver's executors of an attempt; `goes_on` says from where, unless the job begins there itself."""

    goes_on: CommonStep | None = Field(default=None, exclude_if=lambda point: point is None)


class Stopped(Message):
    """The sender's executors of an attempt are over; what its addresses hold of this job's attempts of the task."""

    checkpoints: Annotated[tuple[KeptSteps, ...], Field(max_length=MAX_SIDES)] = Field(
        default=(), exclude_if=lambda kept: not kept
    )


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
    """Where every address of a task goes on from in its first attempt, by what the parties hold of earlier jobs."""
    kept = (
        kept
        for signed in manifest.answers
        for kept in signed.answer.checkpoints
        if kept.task == task.name and Address.parse(kept.address).party == signed.answer.party
    )
    return common_point(kept, map(str, task.addresses))


def common_point(kept: Iterable[KeptSteps], addresses: Iterable[str]) -> ResumePoint | None:
    """The furthest step that all addresses of a task share, of the newest job with one.

    A later attempt of a job may have started afresh and got less far than an earlier one. None if they share no step.
    """
    everybody = tuple(addresses)
    held: dict[tuple[str, int], dict[str, set[int]]] = {}
    for each in kept:
        held.setdefault((each.job, each.attempt), {})[each.address] = set(each.steps)
    shared = {
        (job, step, attempt)
        for (job, attempt), sides in held.items()
        for step in set.intersection(*(sides.get(address, set()) for address in everybody))
    }
    if not shared:
        return None
    job, step, attempt = max(shared)  # ids sort by time
    return ResumePoint(job=job, attempt=attempt, step=step)


def came_further(left: ResumePoint | None, began: ResumePoint | None) -> bool:
    """Whether an attempt left a further step in common than it began with."""
    return left is not None and (began is None or left.step > began.step)
