"""Reading the whole new lines of an event log. A torn last line is left for later; a wrong line is passed over.

The log is written by code that handles other people's data, so nothing in it is believed: lines and logs have a
greatest size, what they say is checked by kind, and of each kind so much is taken and no more. Of a log that has grown
too large only its last word is read. What is left out is counted, and told with the last word.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from node_manager.allowance import Purse, left_out_text
from node_manager.bodies import checked
from node_manager.events import EventKind, ExecutorEvent
from node_manager.folders import EVENTS, ExecutorKey
from node_manager.news import Place
from runtime.bounds import MAX_COUNT
from runtime.log import get_logger

MAX_READ_BYTES = 256 << 10  # one turn of a log among others
MAX_LINE_BYTES = 64 << 10
MAX_SEQUENCE = MAX_COUNT - 1_000  # what comes after is the Node Manager's own
MAX_LOG_BYTES = 64 << 20  # of news in one event log
FINAL = frozenset({EventKind.SUCCEEDED, EventKind.FAILED, EventKind.LOST})
_log = get_logger("node_manager")


def read_new(folder: Path, key: ExecutorKey, place: Place) -> tuple[list[ExecutorEvent], Place]:
    """The events after `place`, of one turn at most, and the place after them.

    A line that is no event of this executor, is too long, repeats a sequence or comes after the last word, is passed
    over; how many there were is logged once a reading. Of progress only the last of a turn counts.
    """
    try:
        block, start = _block(folder / EVENTS, place.offset)
    except FileNotFoundError:
        return [], place
    end = block.rfind(b"\n") + 1
    if not end and len(block) > MAX_LINE_BYTES:
        end = len(block)  # a line without end is passed over as it comes
    lines = [line for line in block[:end].splitlines() if line]
    told = _in_order([_parse(line, key) for line in lines], place)
    unusable = len(lines) - len(told) + int(start > place.offset)
    if unusable:
        _log.warning("Lines of an event log passed over", executor=key.folder, lines=unusable)
    taken, purse = _within_bounds(told, Purse(place.spent), too_large=start + end > MAX_LOG_BYTES)
    own, final = told[-1].sequence if told else place.own, place.final or bool(told and told[-1].kind in FINAL)
    if taken and taken[-1].kind in FINAL and (text := left_out_text(purse.spent)):
        last = taken.pop()
        taken += [notice(last, text), last.model_copy(update={"sequence": last.sequence + 1})]
        own = last.sequence + 1
    return taken, Place(start + end, own, final, place.ended, purse.spent)


def has_more(folder: Path, place: Place, after: Place) -> bool:
    """Whether a log that was read from `place` up to `after` may hold more; one too large was read to its end."""
    if after == place or place.offset > MAX_LOG_BYTES:
        return False
    return (folder / EVENTS).stat().st_size > after.offset


def notice(event: ExecutorEvent, text: str) -> ExecutorEvent:
    """A line for people in the place of an event."""
    return event.model_copy(update={"kind": EventKind.LOG, "body": {"level": "warning", "text": text}})


def _in_order(events: Sequence[ExecutorEvent | None], place: Place) -> list[ExecutorEvent]:
    """Those with a new sequence, up to a last word."""
    found: list[ExecutorEvent] = []
    own, final = place.own, place.final
    for event in events:
        if event is not None and not final and own < event.sequence <= MAX_SEQUENCE:
            own, final = event.sequence, event.kind in FINAL
            found.append(event)
    return found


def _within_bounds(
    told: Sequence[ExecutorEvent], purse: Purse, *, too_large: bool
) -> tuple[list[ExecutorEvent], Purse]:
    """What is taken of new events; the first of a kind that is left out is replaced by a line that says so."""
    newest = max((event.sequence for event in told if event.kind is EventKind.PROGRESS), default=0)
    taken: list[ExecutorEvent] = []
    for event in told:
        kind = event.kind
        if kind is EventKind.PROGRESS and event.sequence < newest:
            continue
        if kind in FINAL:
            taken.append(event)
        elif too_large:
            purse.leave_out(kind)
        elif purse.take(kind, sum(len(str(value).encode()) for value in event.body.values())):
            taken.append(event)
        elif purse.spent[kind].left_out == 1:
            taken.append(notice(event, f"Too many events of kind '{kind}': from here on they are left out"))
    return taken, purse


def _block(path: Path, offset: int) -> tuple[bytes, int]:
    """The next bytes of the file and where they start: later than `offset` only in a log that is too large."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = max(offset, size - MAX_LINE_BYTES) if offset > MAX_LOG_BYTES else offset
        file.seek(start)
        return file.read(MAX_READ_BYTES), start


def _parse(line: bytes, key: ExecutorKey) -> ExecutorEvent | None:
    try:
        event = ExecutorEvent.model_validate_json(line)
    except ValidationError:
        return None
    theirs = ExecutorKey(event.job, event.task, event.attempt, event.address, event.incarnation)
    body = checked(event.kind, event.body)
    if theirs != key or event.schema_version != 1 or body is None:
        return None
    return event.model_copy(update={"body": body})
