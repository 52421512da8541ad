"""What a job would cost: bytes that leave a party, as its lines declare; seconds, as earlier attempts took. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from graphlib import TopologicalSorter
from statistics import median
from typing import NamedTuple

from flow.job.binding import BoundSide, BoundTask
from flow.views.dry_run import Estimate


class Took(NamedTuple):
    """How long a side of an earlier attempt took.

    Attributes:
        component, party: Of what, where.
        alike: What it ran with, as `alike` tells it.
        steps: How many rounds it had, if its component has a last one.
    """

    component: str
    party: str
    alike: str
    steps: int | None
    seconds: float


def estimates(tasks: Iterable[BoundTask], took: Iterable[Took]) -> tuple[Estimate, ...]:
    """Of each task at each of its parties."""
    earlier = tuple(took)
    return tuple(
        _estimate(task, party, earlier)
        for task in tasks
        for party in dict.fromkeys(address.party for address in task.addresses)
    )


def whole_seconds(tasks: Mapping[str, BoundTask], each: Iterable[Estimate]) -> float | None:
    """Of a job: tasks wait for those that they need, and each takes as long as its slowest party."""
    longest: dict[str, float] = {}
    for one in each:
        if one.seconds is None:
            return None
        longest[one.task] = max(longest.get(one.task, 0.0), one.seconds)
    done: dict[str, float] = {}
    for name in TopologicalSorter({name: task.needs for name, task in tasks.items()}).static_order():
        done[name] = longest[name] + max((done[need] for need in tasks[name].needs), default=0.0)
    return max(done.values(), default=0.0)


def steps_of(task: BoundTask, side: BoundSide) -> int | None:
    """How many rounds a side has, as far as its component has a last one."""
    last = task.component.last_step
    return last(task.terms_of(side).parameters) if last is not None else None


def alike(side: BoundSide) -> str:
    """What two sides have alike that take as long as each other, if nothing is known of rounds."""
    return json.dumps(side.parameters, sort_keys=True)


def _estimate(task: BoundTask, party: str, earlier: tuple[Took, ...]) -> Estimate:
    most, unsaid = _leaving(task, party)
    steps, counted, each = None, 0, list[float]()
    for side in (side for address, side in task.sides.items() if address.party == party):
        steps = steps_of(task, side)
        those = [one for one in earlier if (one.component, one.party) == (task.component.reference, party)]
        if steps:
            found = [one.seconds / one.steps * steps for one in those if one.steps]
        else:
            found = [one.seconds for one in those if one.alike == alike(side)]
        if not found:
            return Estimate(task=task.name, party=party, most_bytes=most, unsaid=unsaid, steps=steps)
        counted = max(counted, len(found))
        each.append(median(found))
    return Estimate(
        task=task.name,
        party=party,
        most_bytes=most,
        unsaid=unsaid,
        seconds=max(each),
        steps=steps,
        measured=counted,
    )


def _leaving(task: BoundTask, party: str) -> tuple[int | None, tuple[str, ...]]:
    """The most bytes of messages of a task that leave a party; if that is not known, the tags for which it is not."""
    total, unsaid = 0, list[str]()
    ours = [address for address in task.addresses if address.party == party]
    others = [address for address in task.addresses if address.party != party]
    for line in task.lines:
        pairs = sum(a.role in line.frm for a in ours) * sum(a.role in line.to for a in others)
        most = task.most_bytes(line)
        if pairs and (most is None or line.times is None):
            unsaid.append(line.tag)
        elif pairs and most is not None and line.times is not None:
            total += pairs * most * line.times
    return (None if unsaid else total), tuple(dict.fromkeys(unsaid))
