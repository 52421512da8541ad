"""What an executor says when its role function raised: a code, a sentence, what to do. Pure."""

from __future__ import annotations

from runtime.disk.faults import fault_of
from runtime.errors import PlatformError

CRASH_CODE = "executor.crashed"
CRASH_HINT = "The people of its own party see the traceback: flow job logs JOB."


def failure_body(error: BaseException, address: str) -> dict[str, object]:
    """The body of a FAILED event; of an error that has no name, the type alone: its words may quote data."""
    named = error if isinstance(error, PlatformError) else fault_of(error)
    if named is None:
        text = f"The executor of {address} crashed with {type(error).__name__}."
        return {"code": CRASH_CODE, "message": text, "hint": CRASH_HINT}
    body: dict[str, object] = {"code": named.code, "message": named.message, "hint": named.hint}
    return body | ({"alike": named.alike} if named.alike else {})
