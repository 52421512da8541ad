"""The files of a report about a job that may be given to strangers: what happened, without data. Pure.

Words that people wrote (notes) and words of errors that may quote a value stay out; so do log lines, but for the steps
that the platform itself tells of every executor.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flow.views.history import HistoryLine, HistoryView, line_text
from flow.views.jobs import AttemptView, ErrorView, JobView, LogRow, OutputRow, PolicyView, ProposalView, TaskView, View
from flow.views.party import PartyStatus
from flow.views.times import clock_text
from runtime.errors import public_sentence

STEP = re.compile(
    r"[a-z0-9_]+@\d+ (begins as [a-z]+:[a-z0-9-]+, attempt \d+|ended after [\d.]+ s)"
    r"|input \w+: [a-z0-9-]+/[\w.-]+@\d+, \d+ rows, \d+ columns|input \w+: \w+/[\w.-]+, of kind [\w-]+"
    r"|output \w+: (table|model|report) [\w-]+/[\w.@-]+",
    re.ASCII,
)
"""A whole line that says what the platform says; a component that prints another says it with data, perhaps."""
_PATH = re.compile(r"(?<![\w:/.~-])/[\w.+@-]+(?:/[\w.+@-]+)+")
_KEPT_SETTINGS = {
    "flow": ("database", "keep_checkpoints_s"),
    "gateway": ("durability",),
    "node": ("cores", "memory", "gpus", "preload"),
    "board": ("https",),
}
_README = """\
A report about job {job} of {party}, made to be given to who looks into a fault.

{files}
Left out: tables, models, reports, metrics, keys, tokens, addresses of databases, paths of this party's home, notes of
people, and words of errors of algorithms, which may quote a value (their codes are here).
{logs}
Names are here as the job and its parties use them: of parties, users, tables, columns and hosts. Read it before you
give it away.
"""
_LOGS = {
    False: "Log lines are left out but for each executor's main steps: those of algorithms may hold data (--logs).\n",
    True: "Log lines are here in full, tracebacks too, as was asked for (--logs): THEY MAY HOLD DATA.\n",
}


@dataclass(frozen=True)
class Found:
    """What a party knows of a job and of itself; what its user may not read, or what is not there, is None or empty."""

    job: JobView
    why: tuple[str, ...]
    history: HistoryView
    outputs: tuple[OutputRow, ...] = ()
    logs: tuple[LogRow, ...] = ()
    proposal: ProposalView | None = None
    status: PartyStatus | None = None
    policy: PolicyView | None = None
    settings: Mapping[str, Any] | None = None


def bundle(found: Found, hidden: Mapping[str, str], *, with_logs: bool) -> dict[str, str]:
    """The files by name, README.txt first. `hidden` are texts that stand nowhere in them, with what stands instead."""
    files = {
        "job.json": ("the job as it was submitted", _json(found.job.spec)),
        "show.json": ("its parties, tasks and attempts (flow job show)", _json(_plain(found.job))),
        "why.txt": ("what it waits for, or how it ended (flow job why)", _lines(found.why)),
        "history.txt": ("what happened, in one order (flow job history)", _lines(map(line_text, _told(found.history)))),
        "history.json": ("the same for programs", _records(_told(found.history))),
        "outputs.json": ("names and digests of what it made", _records(found.outputs)),
        "log.txt": (
            "log lines of its executors, all" if with_logs else "main steps of its executors",
            _lines(_log_line(row) for row in found.logs if with_logs or STEP.fullmatch(row.text)),
        ),
    }
    if found.proposal is not None:
        files["agreement.json"] = ("what was agreed: parameters, every line, who learns what", _json(_agreed(found)))
    if found.status is not None:
        files["status.json"] = ("services, hosts, links and versions now", _json(found.status.model_dump(mode="json")))
    if found.policy is not None:
        files["policy.json"] = ("the party's policy now", _json(found.policy.model_dump(mode="json")))
    if found.settings is not None:
        files["settings.json"] = ("settings of the party that name no place", _json(_settings(found.settings)))
    listed = "".join(f"{name:16}{what}\n" for name, (what, _) in files.items())
    party = found.status.party if found.status else found.proposal.party if found.proposal else "a party"
    told = _README.format(files=listed, logs=_LOGS[with_logs], job=found.job.id, party=party)
    return {"README.txt": told, **{name: _without(text, hidden) for name, (_, text) in files.items()}}


def without_words(view: JobView) -> JobView:
    """A job without notes, and without words of errors that may quote a value."""
    parties = tuple(party.model_copy(update={"by": "", "note": ""}) for party in view.parties)
    tasks = tuple(map(_task, view.tasks))
    own = {"error": _error(view.error), "own_error": _error(view.own_error)}
    return view.model_copy(update={**own, "parties": parties, "tasks": tasks, "notes": ()})


def _plain(view: JobView) -> dict[str, Any]:
    return {name: value for name, value in without_words(view).model_dump(mode="json").items() if name != "spec"}


def _task(task: TaskView) -> TaskView:
    return task.model_copy(update={"attempts": tuple(map(_attempt, task.attempts))})


def _attempt(attempt: AttemptView) -> AttemptView:
    sides = tuple(side.model_copy(update={"error": _error(side.error)}) for side in attempt.sides)
    return attempt.model_copy(update={"error": _error(attempt.error), "sides": sides})


def _error(error: ErrorView | None) -> ErrorView | None:
    """With the sentence of its code alone, unless it is Flow's own, which quotes no data."""
    if error is None or error.code.startswith("flow."):
        return error
    return ErrorView(code=error.code, message=public_sentence(error.code), party=error.party)


def _told(found: HistoryView) -> list[HistoryLine]:
    return [line.model_copy(update={"note": "", "cause": _cause(line)}) for line in found.lines]


def _cause(line: HistoryLine) -> str:
    own = not line.code or line.code.startswith("flow.")
    return line.cause if own or not line.cause else public_sentence(line.code)


def _agreed(found: Found) -> dict[str, Any]:
    """The proposal as our people were shown it, without how large our tables are and without notes."""
    assert found.proposal is not None  # noqa: S101 - asked for only then
    view = found.proposal.model_dump(mode="json", exclude={"by", "note"})
    view["inputs"] = [{**item, "rows": None, "problem": ""} for item in view["inputs"]]
    return {"manifest_digest": found.job.manifest_digest, **view}


def _settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        section: {name: settings[section][name] for name in names if name in settings[section]}
        for section, names in _KEPT_SETTINGS.items()
        if section in settings
    }


def _log_line(row: LogRow) -> str:
    place = f"{row.task}/{row.attempt} {row.role}:{row.party} incarnation {row.incarnation}"
    return f"{clock_text(row.at_ms)} {row.level.upper()} {place}  {row.text}"


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _records(views: Iterable[View]) -> str:
    return _json([view.model_dump(mode="json") for view in views])


def _lines(texts: Iterable[str]) -> str:
    return "".join(f"{text}\n" for text in texts)


def _without(text: str, hidden: Mapping[str, str]) -> str:
    for what in sorted(hidden, key=len, reverse=True):
        text = text.replace(what, hidden[what])
    return _PATH.sub("(a path)", text)
