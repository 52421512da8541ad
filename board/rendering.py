"""Templates and the few words and numbers they share. Everything is escaped, and made fit to be shown."""

from __future__ import annotations

import json
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from flow.client import ENDED_JOB, SAID, EventRow, JobSummary
from runtime.clock import Clock, SystemClock, moment, now_ms, span, when
from runtime.text import printable, size

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
    "elsewhere": "→",
    "not-run": "○",
    "ok": "✓",
    "up": "✓",
    "down": "✕",
}
_DIGITS = re.compile("[0-9]{1,15}")


class Renderer:
    """Renders the templates of one party's board."""

    def __init__(self, folder: Path, party: str, clock: Clock | None = None) -> None:
        self.party = party
        self._clock = clock or SystemClock()
        self._environment = Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=shown,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {"party": party, "ENDED": ENDED_JOB, "DECISION": SAID}
        self._environment.filters |= {
            "symbol": lambda state: SYMBOL.get(str(state), "○"),
            "iso": iso,
            "when": when,
            "span": span,
            "took": self._took,
            "number": number,
            "json": lambda value: json.dumps(value, ensure_ascii=False),
            "told": told,
            "at_ms": at_ms,
            "size": size,
        }

    def page(self, template: str, **values: object) -> str:
        """A template with its values."""
        return self._environment.get_template(template).render(**values)

    def _took(self, job: JobSummary) -> str:
        """How long a job took from submission, or has taken so far; empty where that is not known."""
        if job.ended_ms:
            return span(job.ended_ms - job.submitted_ms)
        if job.state in ENDED_JOB or not job.submitted_ms:
            return ""
        now = now_ms(self._clock)
        return f"{span(max(0, now - job.submitted_ms))} so far"  # who submitted may have a clock that is ahead


def shown(value: object) -> object:
    """What a template writes: text of others without what could turn a line around; our own markup as it is."""
    return printable(value, lines=True) if isinstance(value, str) and not isinstance(value, Markup) else value


def iso(ms: int) -> str:
    """For `<time datetime>`; empty where no calendar has the time."""
    found = moment(ms)
    return found.isoformat(timespec="milliseconds") if found else ""


def number(value: float) -> str:
    """A metric's value."""
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e6 or value == 0 else f"{value:.3g}"


def at_ms(event: EventRow) -> int:
    """When an event happened, from its hybrid clock."""
    head = event.hlc.partition(".")[0]
    return int(head) if _DIGITS.fullmatch(head) else 0


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
            "hindered": "cannot go on now",
            "back": "is back",
            "stalled": f"waits: {event.body.get('codes')}",
            "goes_on": "goes on",
        }
        by = f" ({event.body['user']})" if "user" in event.body else ""
        return f"{event.party or 'A party'} {said.get(what, words)}{by}"
    if event.kind == "executor.restarted":
        return f"{event.task}: {event.body.get('address', event.party)}: {event.body.get('text', words)}"
    if thing == "gateway":
        return "Our own gateway is back" if what == "back" else "Our own gateway does not answer"
    if thing == "task":
        return f"{event.task}: results are visible"
    if thing == "side":
        address = event.body.get("address") or event.party
        return f"{event.task}, attempt {event.attempt}: {address} {words}"
    return f"{event.task}: attempt {event.attempt} {words}" if event.task else f"{thing} {words}"
