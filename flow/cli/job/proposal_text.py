"""A proposed job as text for the person who decides about it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from flow.cli.job.text import decided_text
from flow.client import ProposalView, ProposedInput, ProposedLine
from flow.errors import ProposalChanged
from flow.views.times import clock_text
from runtime.errors import InvalidInput
from runtime.text import size

LEAST_DIGEST = 12  # characters of a digest that name a proposal
_TOLD = " (all parties are told how many)"


def proposal_lines(view: ProposalView, asked: str = "") -> Iterator[str]:
    """What would be used, how, what would leave, who would learn what; `asked` are the options that name the party."""
    who = f"proposed by {view.user} of {view.initiator}"
    yield f"Job {view.job} ({view.name}), {who} at {clock_text(view.submitted_ms)}"
    yield from (f"  {role}: {', '.join(parties)}" for role, parties in view.roles.items())
    if view.resumes:
        yield f"  It goes on from job {view.resumes}."
    yield from part("It would use of ours", (_input(item) for item in view.inputs), "nothing")
    yield from part(
        "Parameters that are not what they are by default",
        (
            f"{p.task}: {p.name} = {_value(p.value)} (default {_value(p.default)})"
            + (f" at {p.address}" if p.address else "")
            for p in view.parameters
        ),
        "none",
    )
    yield from part(
        "What would be said",
        (line_text(line) for line in view.conversation),
        "nothing: no message leaves any party",
    )
    yield from part(
        "Who would learn what",
        (f"{item.task}: {item.role} ({', '.join(item.parties)}): {item.says}" for item in view.learns),
        "nobody anything",
    )
    if view.warnings:
        yield from part("Warnings", view.warnings, "")
    if view.reasons:
        yield from part("It would be refused even if approved", view.reasons, "")
    if view.by:
        yield f"Here it was {decided_text(view.by, view.note)}"
    yield f"Digest of all this: {view.digest}"
    if view.waits:
        where = f" {asked}" if asked else ""
        yield f"It waits for you. To refuse: flow job refuse {view.job}{where} --reason TEXT. To agree to it as shown:"
        yield f"flow job approve {view.job}{where} --digest {view.digest[:LEAST_DIGEST]}"


def approval_lines(view: ProposalView) -> Iterator[str]:
    """The few lines that a person needs who approves without a look at all of it."""
    yield f"Job {view.job} ({view.name}), proposed by {view.user} of {view.initiator}"
    yield f"Digest of all that is shown of it: {view.digest[:LEAST_DIGEST]}"
    yield from (f"  {task}: {component}" for task, component in view.components.items())
    yield from part("It uses of ours", (_input(item) for item in view.inputs), "nothing")
    yield from part("Warnings", view.warnings, "none")


def require_digest(view: ProposalView, prefix: str) -> None:
    """Refuse a digest typed by a person that is not of this; an empty one names nothing.

    Raises:
        InvalidInput: It is no digest, or too little of one.
        ProposalChanged: It is of something else.
    """
    given = prefix.strip().lower()
    if given and not re.fullmatch(rf"[0-9a-f]{{{LEAST_DIGEST},64}}", given):
        raise InvalidInput(
            f"--digest '{prefix[:80]}' is not {LEAST_DIGEST} to 64 characters of a digest.",
            hint=f"'flow job proposal {view.job}' prints it.",
        )
    if not view.digest.startswith(given):
        raise ProposalChanged(
            view.job, f"Digest {given} is not of what is asked: it is mistyped, or that has changed since it was shown."
        )


def part(title: str, lines: Iterable[str], empty: str) -> Iterator[str]:
    """A heading and its lines, or that there is nothing."""
    found = list(lines)
    yield f"{title}:" if found else f"{title}: {empty}."
    yield from (f"  {line}" for line in found)


def _input(item: ProposedInput) -> str:
    place = f"{item.task}.{item.input} ({item.address}): {item.kind} {item.name}"
    if item.problem:
        return f"{place}: {item.problem}"
    rows = f", {item.rows} rows{_TOLD if item.tells_rows else ''}" if item.rows is not None else ""
    roles = "".join(f", {role} {column}" for role, column in item.roles.spoken.items())
    held = f", held by {', '.join(item.holders)}" if item.holders else ""
    made = f", made of {', '.join(item.made_of)}" if item.made_of else ""
    owned = f", of user {item.owner}" if item.owner else ""
    return f"{place} = {item.reference}{rows}{roles}{held}{owned}{made}"


def line_text(line: ProposedLine) -> str:
    """One line of a conversation."""
    who = f"{line.task}: {', '.join(line.senders)} → {', '.join(line.receivers)}"
    bound = "as large as follows from how many rows the tables have"
    room = bound if line.max_bytes is None else f"at most {size(line.max_bytes)}"
    we = f" (we {line.we})" if line.we in ("send", "receive") else ""
    return f"{who}: {line.purpose} [{line.protection}: {line.means}; {room}]{we}"


def _value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
