"""Reading the whole new lines of an event log. A torn last line is left for later; a wrong line is passed over.

The log is written by code that handles other people's data, so nothing in it is believed: lines and logs have a
greatest size, and what they say is checked by kind. Of a log that has grown too large only its last word is read.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

from node_manager.bodies import checked
from node_manager.events import EventKind, ExecutorEvent
from node_manager.folders import EVENTS, ExecutorKey
from node_manager.news import Place
from party.bounds import MAX_COUNT
from party.log import get_logger

MAX_READ_BYTES = 4 << 20
MAX_LINE_BYTES = 64 << 10
MAX_SEQUENCE = MAX_COUNT - 1_000  # what comes after is the Node Manager's own
MAX_LOG_BYTES = 256 << 20  # of news in one event log; about a million events
FINAL = frozenset({EventKind.SUCCEEDED, EventKind.FAILED, EventKind.LOST})
_log = get_logger("node_manager")


def read_new(folder: Path, key: ExecutorKey, place: Place) -> tuple[list[ExecutorEvent], Place]:
    """The events after `place` and the place after them.

    A line that is no event of this executor, is too long, or repeats a sequence, is passed over; how many there were
    is logged once a reading.
    """
    try:
        block, start = _block(folder / EVENTS, place.offset)
    except FileNotFoundError:
        return [], place
    end = block.rfind(b"\n") + 1
    if not end and len(block) > MAX_LINE_BYTES:
        end = len(block)  # a line without end is passed over as it comes
    events: list[ExecutorEvent] = []
    own, final, unusable = place.own, place.final, int(start > place.offset)
    for line in block[:end].splitlines():
        event = _parse(line, key) if len(line) <= MAX_LINE_BYTES else None
        if event is None or not own < event.sequence <= MAX_SEQUENCE:
            unusable += bool(line)
            continue
        if start + end > MAX_LOG_BYTES and event.kind not in FINAL:
            unusable += 1
            continue
        own, final = event.sequence, final or event.kind in FINAL
        events.append(event)
    if unusable:
        _log.warning("Lines of an event log passed over", executor=key.folder, lines=unusable)
    return events, Place(start + end, own, final, place.ended)


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
