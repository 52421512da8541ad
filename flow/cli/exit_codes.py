"""The exit codes of `flow`: every command ends with one of these, and scripts may rely on them.

Ranges: 0 success; 1 a defect of Archipelago; 2-9 what was asked for; 10-19 how a watched job ended; 20-29 the
state of a party; 130 the user interrupted.
"""

from __future__ import annotations

from enum import IntEnum

from runtime.error_kinds import KINDS, exit_code
from runtime.errors import Conflict, Denied, InvalidInput, NotFound, PlatformError, Unavailable


class Exit(IntEnum):
    """How a command ended."""

    OK = 0
    DEFECT = KINDS[PlatformError].exit
    BAD_INPUT = KINDS[InvalidInput].exit
    NOT_FOUND = KINDS[NotFound].exit
    DENIED = KINDS[Denied].exit
    CONFLICT = KINDS[Conflict].exit
    UNAVAILABLE = KINDS[Unavailable].exit
    JOB_FAILED = 10
    JOB_CANCELLED = 11
    JOB_REFUSED = 12
    UNHEALTHY = 20
    INTERRUPTED = 130


MEANING: dict[Exit, str] = {
    Exit.OK: "done",
    Exit.DEFECT: "a defect of Archipelago itself; please report it",
    Exit.BAD_INPUT: "bad input: a file, option or parameter is wrong",
    Exit.NOT_FOUND: "not found: no such job, table, party or file",
    Exit.DENIED: "denied: no valid token, or your role may not do this",
    Exit.CONFLICT: "conflict: it exists already or has moved on",
    Exit.UNAVAILABLE: "unavailable: the party's services cannot be reached now; try again",
    Exit.JOB_FAILED: "the job that was watched failed",
    Exit.JOB_CANCELLED: "the job that was watched was cancelled",
    Exit.JOB_REFUSED: "the job that was watched was refused by a party, or that of a dry run would be",
    Exit.UNHEALTHY: "the party runs, but a part of it is not healthy",
    Exit.INTERRUPTED: "interrupted by Ctrl-C",
}

_BY_END: dict[str, Exit] = {
    "succeeded": Exit.OK,
    "failed": Exit.JOB_FAILED,
    "cancelled": Exit.JOB_CANCELLED,
    "refused": Exit.JOB_REFUSED,
}


def exit_for(error: PlatformError) -> Exit:
    """The exit code of an error: that of its kind."""
    return Exit(exit_code(error))


def exit_for_end(state: str) -> Exit:
    """The exit code of a job that was watched to its end."""
    return _BY_END.get(state, Exit.DEFECT)


def epilog() -> str:
    r"""The table for `flow --help`; the backspace keeps its lines as they are."""
    rows = [f"  {code.value:3}  {text}" for code, text in MEANING.items()]
    return "\n".join(["\b", "Exit codes:", *rows])
