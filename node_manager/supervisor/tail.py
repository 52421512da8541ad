"""Reading the whole new lines of an event log. A torn last line is left for later; a wrong line is passed over.

The log is written by code that handles other people's data, so nothing in it is believed: lines and logs have a
greatest size, what they say is checked by kind, and of each kind so much is taken and no more. Of a log that has grown
too large only its last word is read. What is left out is counted, and told with the last word. An executor cannot say
that it was lost; only its Node Manager can.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from node_manager.allowance import BOUNDS, EventCount, LogBounds, Purse, left_out_text
from node_manager.events import FINAL, EventKind, ExecutorEvent, read_event
from node_manager.folders import END, EVENTS, read_json
from runtime.bounds import MAX_COUNT
from runtime.log import get_logger

MAX_SEQUENCE = MAX_COUNT - 1_000  # what comes after is the Node Manager's own
_log = get_logger("node_manager")


@dataclass(frozen=True)
class Position:
    """How far one event log was read.

    Attributes:
        offset: Bytes of whole lines read.
        own: The highest sequence seen, 0 before the first.
        final: Whether a last word (succeeded, failed or lost) was among them.
        spent: By kind, what was taken of it and how much was left out.
    """

    offset: int = 0
    own: int = 0
    final: bool = False
    spent: Mapping[str, EventCount] = field(default_factory=dict)


class Told(NamedTuple):
    """An event as it was checked, and the document that tells it, as it was written."""

    event: ExecutorEvent
    document: bytes


def read_new(folder: Path, name: str, position: Position, bounds: LogBounds = BOUNDS) -> tuple[list[Told], Position]:
    """The events of the log called `name` after `position`, of one turn at most, and the position after them.

    A line that is no event of this executor, is too long, repeats a sequence or comes after the last word, is passed
    over; how many there were is logged once a reading. Of progress only the last of a turn counts.
    """
    try:
        block, start = _block(folder / EVENTS, position.offset, bounds)
    except FileNotFoundError:
        return [], position
    end = block.rfind(b"\n") + 1
    if not end and len(block) > bounds.line_bytes:
        end = len(block)  # a line without end is passed over as it comes
    lines = [line for line in block[:end].splitlines() if line]
    told = _in_order([_parse(line, name) for line in lines], position)
    unusable = len(lines) - len(told) + int(start > position.offset)
    if unusable:
        _log.warning("Lines of an event log passed over", executor=name, lines=unusable)
    taken, purse = _within_bounds(told, Purse(position.spent, bounds), too_large=start + end > bounds.log_bytes)
    own = told[-1].event.sequence if told else position.own
    final = position.final or bool(told and told[-1].event.kind in FINAL)
    if taken and taken[-1].event.kind in FINAL and (text := left_out_text(purse.spent, bounds)):
        last = taken.pop().event
        own = last.sequence + 1
        taken += [_notice(last, text), _told(last.model_copy(update={"sequence": own}))]
    return taken, Position(start + end, own, final, purse.spent)


def read_end(folder: Path, position: Position, bounds: LogBounds = BOUNDS) -> tuple[list[Told], Position]:
    """What a log without a last word ends with, once its Node Manager has written what is told of the end."""
    found = (read_json(folder / END) or {}).get("events")
    last = [ExecutorEvent.model_validate(event) for event in found] if isinstance(found, list) else []
    text = left_out_text(position.spent, bounds)
    told = [*([_notice(last[-1], text).event] if text and last else []), *last]
    numbered = [event.model_copy(update={"sequence": position.own + i}) for i, event in enumerate(told, start=1)]
    return [_told(event) for event in numbered], replace(position, own=position.own + len(told), final=True)


def has_more(folder: Path, position: Position, after: Position, bounds: LogBounds = BOUNDS) -> bool:
    """Whether a log that was read from `position` up to `after` may hold more; one too large was read to its end."""
    if after == position or position.offset > bounds.log_bytes:
        return False
    return (folder / EVENTS).stat().st_size > after.offset


def _told(event: ExecutorEvent) -> Told:
    return Told(event, event.document())


def _notice(event: ExecutorEvent, text: str) -> Told:
    """A line for people in the place of an event."""
    return _told(event.model_copy(update={"kind": EventKind.LOG, "body": {"level": "warning", "text": text}}))


def _in_order(lines: Sequence[Told | None], position: Position) -> list[Told]:
    """Those with a new sequence, up to a last word."""
    found: list[Told] = []
    own, final = position.own, position.final
    for told in lines:
        if told is not None and not final and own < told.event.sequence <= MAX_SEQUENCE:
            own, final = told.event.sequence, told.event.kind in FINAL
            found.append(told)
    return found


def _within_bounds(lines: Sequence[Told], purse: Purse, *, too_large: bool) -> tuple[list[Told], Purse]:
    """What is taken of new events; the first of a kind that is left out is replaced by a line that says so."""
    newest = max((told.event.sequence for told in lines if told.event.kind is EventKind.PROGRESS), default=0)
    taken: list[Told] = []
    for told in lines:
        event, kind = told.event, told.event.kind
        if kind is EventKind.PROGRESS and event.sequence < newest:
            continue
        if kind in FINAL:
            taken.append(told)
        elif too_large:
            purse.leave_out(kind)
        elif purse.take(kind, sum(len(str(value).encode()) for value in event.body.values())):
            taken.append(told)
        elif purse.spent[kind].left_out == 1:
            taken.append(_notice(event, f"Too many events of kind '{kind}': from here on they are left out"))
    return taken, purse


def _block(path: Path, offset: int, bounds: LogBounds) -> tuple[bytes, int]:
    """The next bytes of the file and where they start: later than `offset` only in a log that is too large."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = max(offset, size - bounds.line_bytes) if offset > bounds.log_bytes else offset
        file.seek(start)
        return file.read(bounds.turn_bytes), start


def _parse(line: bytes, name: str) -> Told | None:
    try:
        event = read_event(line)
    except ValueError:
        return None
    return Told(event, line) if event.log == name and event.kind is not EventKind.LOST else None
