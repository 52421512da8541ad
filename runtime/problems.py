"""Errors on their way to another process: as text that fits into a gRPC status, and raised again as what they were.

A class with that code there is raised again; of a code that is unknown there its root of the five kinds, with the code.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from runtime.error_kinds import KINDS, root_of
from runtime.errors import PlatformError, all_codes

MAX_TEXT_CHARS = 2000  # of an error, as encoded for the status details; gRPC's limit for all metadata is 8 KiB
MAX_HINT_CHARS = 1000
MAX_CODE_CHARS = 200
_ROOTS = {root.code: root for root in KINDS}


@dataclass(frozen=True)
class Problem:
    """A PlatformError on its way: its code, text and hint, and the code of the root kind."""

    code: str
    message: str
    hint: str
    kind: str


def problem_of(error: PlatformError) -> Problem:
    """The error as it travels, its texts cut to what a status bears."""
    code, hint = _cut(error.code, MAX_CODE_CHARS), _cut(error.hint, MAX_HINT_CHARS)
    return Problem(code, _cut(error.message, MAX_TEXT_CHARS), hint, root_of(error).code)


def raised(problem: Problem) -> PlatformError:
    """The error that travelled, ready to be raised here."""
    known = all_codes().get(problem.code)
    kind = known or _ROOTS.get(problem.kind, PlatformError)
    error = kind.__new__(kind)
    PlatformError.__init__(error, problem.message, hint=problem.hint)
    if known is None:
        vars(error)["code"] = problem.code
    return error


def packed(error: PlatformError) -> str:
    """The error as the details of a status."""
    return json.dumps(asdict(problem_of(error)))


def carried(details: str | None) -> PlatformError | None:
    """The error in the details of a status; None if they hold none, because the call itself failed."""
    try:
        fields = json.loads(details or "")
        problem = Problem(**{name: str(fields[name]) for name in ("code", "message", "hint", "kind")})
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return raised(problem)


def _cut(text: str, limit: int) -> str:
    """As much of the text as takes `limit` characters in the status details."""
    if len(text) * 12 <= limit:  # no character takes more: two escapes for one outside the first plane
        return text
    taken = 0
    for at, char in enumerate(text):
        taken += 3 if char == "%" else len(json.dumps(char)) - 2  # gRPC itself escapes "%" as %25
        if taken > limit:
            return text[:at]
    return text
