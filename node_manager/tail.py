"""Reading the whole new lines of an event log. A torn last line is left for later; a wrong line is passed over."""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import ValidationError

from node_manager.events import EventKind, ExecutorEvent
from node_manager.folders import EVENTS, ExecutorKey
from node_manager.news import Place

MAX_READ_BYTES = 4 << 20
FINAL = frozenset({EventKind.SUCCEEDED, EventKind.FAILED, EventKind.LOST})
_log = logging.getLogger("node_manager.tail")


def read_new(folder: Path, key: ExecutorKey, place: Place) -> tuple[list[ExecutorEvent], Place]:
    """The events after `place` and the place after them.

    A line that is no event of this executor, or repeats a sequence, is logged and passed over: the log is written by
    code that handles other people's data, so nothing in it is believed.
    """
    try:
        with (folder / EVENTS).open("rb") as file:
            file.seek(place.offset)
            block = file.read(MAX_READ_BYTES)
    except FileNotFoundError:
        return [], place
    whole = block[: block.rfind(b"\n") + 1]
    events: list[ExecutorEvent] = []
    own, final = place.own, place.final
    for line in whole.splitlines():
        event = _parse(line, key)
        if event is None or event.sequence <= own:
            _log.warning("an event line of %s is not usable", key.folder)
            continue
        own, final = event.sequence, final or event.kind in FINAL
        events.append(event)
    return events, Place(place.offset + len(whole), own, final, place.ended)


def _parse(line: bytes, key: ExecutorKey) -> ExecutorEvent | None:
    try:
        event = ExecutorEvent.model_validate_json(line)
    except ValidationError:
        return None
    theirs = ExecutorKey(event.job, event.task, event.attempt, event.address, event.incarnation)
    return event if theirs == key and event.schema_version == 1 else None
