"""Moments for people at this party."""

from __future__ import annotations

from runtime.clock import moment


def clock_text(at_ms: int | None) -> str:
    """Local wall time, to the second; `?` for one that no calendar has."""
    if not at_ms:
        return "-"
    found = moment(at_ms)
    try:
        return found.astimezone().strftime("%Y-%m-%d %H:%M:%S") if found else "?"
    except (OverflowError, ValueError):  # the last day of the calendar, in a zone where it is over
        return "?"
