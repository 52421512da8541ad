"""Templates and the few words and numbers they share. Everything is escaped."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from flow.client import ENDED_JOB, EventRow, JobSummary

SYMBOL = {
    "waiting": "◌",
    "pending": "◌",
    "reserved": "◔",
    "agreed": "◔",
    "running": "●",
    "paused": "‖",
    "succeeded": "✓",
    "failed": "✕",
    "lost": "✕",
    "cancelled": "⊘",
    "refused": "⊘",
    "ok": "✓",
    "up": "✓",
    "down": "✕",
}
DECISION = {"": "not asked yet", "agree": "agrees", "ask": "asks a person", "refuse": "refuses"}


class Renderer:
    """Renders the templates of one party's board."""

    def __init__(self, folder: Path, party: str) -> None:
        self.party = party
        self._environment = Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {"party": party, "ENDED": ENDED_JOB, "DECISION": DECISION}
        self._environment.filters |= {
            "symbol": lambda state: SYMBOL.get(str(state), "○"),
            "iso": iso,
            "when": when,
            "span": span,
            "took": took,
            "number": number,
            "told": told,
            "at_ms": at_ms,
        }

    def page(self, template: str, **values: object) -> str:
        """A template with its values."""
        return self._environment.get_template(template).render(**values)


def iso(ms: int) -> str:
    """For `<time datetime>`."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def when(ms: int) -> str:
    """For people without scripts: UTC, to the second."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def span(ms: int | float) -> str:
    """A duration: `3.2 s`, `4 min 05 s`, `2 h 10 min`."""
    seconds = ms / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def took(job: JobSummary) -> str:
    """How long an ended job took, from submission."""
    return span(job.ended_ms - job.submitted_ms) if job.ended_ms else ""


def number(value: float) -> str:
    """A metric's value."""
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e6 or value == 0 else f"{value:.3g}"


def at_ms(event: EventRow) -> int:
    """When an event happened, from its hybrid clock."""
    head = event.hlc.partition(".")[0]
    return int(head) if head.isdigit() else 0


def told(event: EventRow) -> str:
    """An event as a short sentence."""
    thing, _, what = event.kind.partition(".")
    words = what.replace("_", " ")
    if thing == "job":
        return f"Job {words}"
    if thing == "party":
        said = {
            "agree": "agrees",
            "ask": "asks a person",
            "refuse": "refuses",
            "absent": "is absent",
            "back": "is back",
        }
        return f"{event.party or 'A party'} {said.get(what, words)}"
    if thing == "task":
        return f"{event.task}: results are visible"
    if thing == "side":
        address = event.body.get("address") or event.party
        return f"{event.task}, attempt {event.attempt}: {address} {words}"
    return f"{event.task}: attempt {event.attempt} {words}" if event.task else f"{thing} {words}"
