"""What became of our executors: events walked into their rows, and what the initiator has to hear of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from flow.job.states import AttemptState
from flow.protocol.messages import SideReport
from flow.store.transitions import error_columns, error_of, for_another_party
from flow.views.jobs import ErrorView
from gateway.client import MessageGone, TokenRefused
from node_manager.client import OVERRUNS, Cause, EventKind, ExecutorEvent, StateLost, overrun_text
from runtime.errors import all_codes
from runtime.limits.pauses import doubled_s

_LAST_WORDS = "`flow job logs` may show its last words."
MOST_UNSAVED = 3
LAST_PAUSE_S = 60.0
REPORTED = (AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.LOST)
_LOST_STATE = frozenset({StateLost.code, MessageGone.code})  # only another attempt helps
_STATE = {
    EventKind.STARTED: AttemptState.RUNNING,
    EventKind.SUCCEEDED: AttemptState.SUCCEEDED,
    EventKind.FAILED: AttemptState.FAILED,
    EventKind.LOST: AttemptState.LOST,
}


_ENDED = {
    str(Cause.MEMORY): "killed (it used more memory than its order allows)",
    str(Cause.PROCESSES): "killed (it had started more processes than it may)",
    str(Cause.DISK): "killed (its working folder had become larger than it may)",
    str(Cause.SIGNAL): "killed",
    str(Cause.STOPPED): "stopped with its party's services",
    str(Cause.NOT_STARTED): "not started",
    str(Cause.UNKNOWN): "ended while nobody watched",
}


def state_in(event: ExecutorEvent) -> AttemptState | None:
    """The state that an event tells of, if it does."""
    return _STATE.get(event.kind)


def unsaved_after(event: ExecutorEvent, unsaved: int) -> int | None:
    """How many incarnations of an executor began since its last checkpoint, once it starts again after this event.

    None if it does not start again: it goes on, succeeded, failed for a reason that another try does not change, came
    no further too often, outgrew its limits without a checkpoint, or lost what the attempt stands on. One that its own
    party stopped is not counted.
    """
    if event.body.get("code") in _LOST_STATE:
        return None
    cause = event.body.get("cause")
    if event.kind is EventKind.LOST and cause == Cause.STOPPED:
        return max(unsaved, 1)
    if event.kind is EventKind.LOST or (event.kind is EventKind.FAILED and _may_pass(event)):
        return unsaved + 1 if unsaved <= (0 if cause in OVERRUNS else MOST_UNSAVED) else None
    return None


def restart_pause_s(unsaved: int, first_s: float) -> float:
    """How long to wait before an incarnation: not at all, unless the two before it came no further either."""
    return doubled_s(first_s, unsaved - 3, LAST_PAUSE_S) if unsaved > 2 else 0.0


def told_cause(event: ExecutorEvent) -> str:
    """Why an executor ended that starts again: the cause of its loss, or the code of its error."""
    return str(event.body.get("cause") or event.body.get("code") or Cause.UNKNOWN)


def restart_text(event: ExecutorEvent, incarnation: int, step: int | None) -> str:
    """What people are told of an executor that starts again: `step` is that of its last checkpoint, where it is known.

    Example: `executor killed (signal 9), starts again as incarnation 2 from step 69`.
    """
    if event.kind is EventKind.FAILED:
        what = f"failed ({told_cause(event)})"
    elif "signal" in event.body and event.body.get("cause") == Cause.SIGNAL:
        what = f"killed (signal {event.body['signal']})"
    else:
        what = _ENDED.get(told_cause(event), f"lost ({told_cause(event)})")
    return f"executor {what}, starts again as incarnation {incarnation}" + (f" from step {step}" if step else "")


def end_columns(event: ExecutorEvent, party: str) -> dict[str, object]:
    """What to remember of an executor that ended."""
    if event.kind is EventKind.FAILED:
        code = str(event.body.get("code", "executor.failed"))
        message = str(event.body.get("message", ""))
        hint = str(event.body.get("hint", ""))
        view = ErrorView(code=code, message=f"{event.address}: {message}", hint=hint, party=party)
        return {**error_columns(view), "retryable": _may_pass(event)}
    if event.kind is EventKind.LOST:
        cause = str(event.body.get("cause", Cause.UNKNOWN))
        message = f"{event.address}: the executor went away: {cause}{_numbers(event, cause)}."
        view = ErrorView(code="flow.executor_lost", message=message, hint=_lost_hint(cause, party), party=party)
        return {**error_columns(view), "retryable": cause not in OVERRUNS}  # another try may use no more
    return {}


def _numbers(event: ExecutorEvent, cause: str) -> str:
    """How much of what it had used too much, where its Node Manager has measured it."""
    used, limit = event.body.get("used"), event.body.get("limit")
    if cause in OVERRUNS and isinstance(used, int) and isinstance(limit, int):
        return f" ({overrun_text(cause, used, limit)})"
    return ""


def _may_pass(event: ExecutorEvent) -> bool:
    """Whether the error of an executor that failed is of those that another try may not meet.

    The token of an incarnation that is not outdated is refused only by a gateway that lost its store; what was released
    is asked for again only where the checkpoint is lost that covered it.
    """
    code = str(event.body.get("code"))
    known = all_codes().get(code)
    return code in {TokenRefused.code, *_LOST_STATE} or bool(known and known.retry)


def _lost_hint(cause: str, party: str) -> str:
    """What helps against the loss of an executor, by its cause."""
    hints = {
        Cause.STOPPED: f"The services of {party} were stopped, and the executor with them.",
        Cause.MEMORY: f"Ask for more memory under resources. {_LAST_WORDS}",
        Cause.PROCESSES: f"It starts too many; executor_processes under [node] of {party} is the limit. {_LAST_WORDS}",
        Cause.DISK: f"It writes too much; executor_disk under [node] of {party} is the limit. {_LAST_WORDS}",
        Cause.SIGNAL: f"{_LAST_WORDS} If the host killed it for memory, ask for more under resources.",
        Cause.NOT_STARTED: f"The log of the Node Manager of {party} says why.",
    }
    return next((hint for known, hint in hints.items() if known == cause), _LAST_WORDS)


def differing(event: ExecutorEvent, parties: Collection[str]) -> str:
    """Which parties of a job differ, by an executor that failed of that: `a with c, unlike b`.

    Empty if it says nothing of the kind: groups of parties of the job, each named once. Their order says nothing.
    """
    groups = event.body.get("alike")
    if not isinstance(groups, list) or len(groups) < 2:
        return ""
    found = [sorted(map(str, group)) for group in groups if isinstance(group, list) and group]
    named = [party for group in found for party in group]
    if len(set(named)) != len(named) or not set(named) <= set(parties):
        return ""
    return ", unlike ".join(" with ".join(group) for group in sorted(found, key=lambda group: (-len(group), group)))


def side_report(row: Any, shared: bool) -> SideReport:
    """What the initiator hears of one of our executors; `shared` says whether it may read our log text."""
    return SideReport(
        task=row.task,
        attempt=row.attempt,
        address=row.address,
        state=AttemptState(row.state),
        retryable=bool(row.retryable),
        error=for_another_party(error_of(row), shared, row.differing or ""),
    )
