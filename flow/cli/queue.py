"""`flow queue`: what has room at the party, what waits for it, and behind what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow.cli.options import CommandContext, asks_a_party
from runtime.text import size

if TYPE_CHECKING:
    from flow.client import QueueEntry

_COLUMNS = ("state", "job", "name", "task", "of", "priority", "wants or has", "since")


@asks_a_party
def queue(context: CommandContext) -> None:
    """What has room at the party and what waits for it, in the order in which it gets it."""
    with context.client() as flow:
        entries = flow.queue()
    if context.screen.as_json:
        context.screen.document([entry.model_dump(mode="json") for entry in entries])
        return
    context.screen.table(_COLUMNS, [_row(entry) for entry in entries], empty="Nothing has room, nothing waits for it.")
    for entry in entries:
        if entry.state == "waiting":
            context.screen.line(_why(entry))


def _row(entry: QueueEntry) -> tuple[object, ...]:
    from flow.views.times import clock_text

    of = f"{entry.user} of {entry.initiator}" if entry.initiator else "?"
    place = (entry.state, entry.job, entry.name or "?", entry.task, of, entry.priority)
    return (*place, _room(entry), clock_text(entry.since_ms))


def _room(entry: QueueEntry) -> str:
    cores, gpus = (sum(getattr(each, what) for each in entry.executors) for what in ("cores", "gpus"))
    also = f", {gpus} GPUs" if gpus else ""
    nodes = " ".join(sorted({each.node for each in entry.executors if each.node}))
    return f"{cores} cores, {size(sum(each.memory_bytes for each in entry.executors))}{also} {nodes}".rstrip()


def _why(entry: QueueEntry) -> str:
    behind = f" It is behind {len(entry.behind)}: {', '.join(entry.behind[:3])}" if entry.behind else ""
    more = ", …" if len(entry.behind) > 3 else ""
    why = f"waits: {entry.why}." if entry.why else "gets room when it asks next."
    return f"{entry.job} {entry.task} {why}{behind}{more}{'.' if behind else ''} {entry.do}".rstrip()
