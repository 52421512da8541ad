"""What became of our executors, in words."""

from __future__ import annotations

import pytest

from flow.participant.running import end_columns, restart_text, unsaved_after
from node_manager.client import OVERRUNS, Cause, EventKind, ExecutorEvent


def lost(**body: object) -> dict[str, object]:
    event = ExecutorEvent(
        schema=1, job="01J", task="train", attempt=1, address="host:b", incarnation=1, sequence=1, at_ms=1,
        kind=EventKind.LOST, body=body,
    )  # fmt: skip
    return end_columns(event, "b")


@pytest.mark.parametrize("cause", list(Cause))
def test_only_an_executor_that_may_have_been_killed_for_memory_is_said_to_need_more(cause: Cause) -> None:
    found = lost(cause=cause.value)
    assert found["retryable"] == (cause not in OVERRUNS)
    assert found["error_message"] == f"host:b: the executor went away: {cause.value}."
    assert ("memory" in str(found["error_hint"])) == (cause in {Cause.MEMORY, Cause.SIGNAL})


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"cause": "memory", "used": 1288490189, "limit": 1 << 30}, "memory (used 1.2 GiB of 1.0 GiB)."),
        ({"cause": "disk", "used": 3 << 30, "limit": 2 << 30}, "disk (used 3.0 GiB of 2.0 GiB)."),
        ({"cause": "processes", "used": 65, "limit": 64}, "processes (65 of 64 processes)."),
        ({"cause": "signal", "used": 2, "limit": 1}, "signal."),
    ],
)
def test_an_executor_that_used_too_much_is_told_with_how_much_of_how_much(body, says) -> None:
    assert lost(**body)["error_message"] == f"host:b: the executor went away: {says}"


def test_an_executor_that_was_stopped_with_its_party_says_so() -> None:
    assert lost(cause="stopped")["error_hint"] == "The services of b were stopped, and the executor with them."
    assert lost(cause="signal 15")["error_hint"] == lost()["error_hint"] == "`flow job logs` may show its last words."


@pytest.mark.parametrize(
    ("kind", "body", "step", "what"),
    [
        (EventKind.LOST, {"cause": "signal", "signal": 9}, 69, "killed (signal 9)"),
        (EventKind.LOST, {"cause": "stopped", "signal": 15}, None, "stopped with its party's services"),
        (EventKind.LOST, {"cause": "exit"}, None, "lost (exit)"),
        (EventKind.FAILED, {"code": "x.y"}, 3, "failed (x.y)"),
    ],
)
def test_people_read_why_an_executor_starts_again_and_from_where(
    kind: EventKind, body: dict[str, object], step: int | None, what: str
) -> None:
    event = ExecutorEvent(
        schema=1, job="01J", task="train", attempt=1, address="host:b", incarnation=1, sequence=1, at_ms=1,
        kind=kind, body=body,
    )  # fmt: skip
    again = f"executor {what}, starts again as incarnation 2"
    assert restart_text(event, 2, step) == (f"{again} from step {step}" if step else again)


@pytest.mark.parametrize(
    ("code", "again_in_attempt", "retryable"),
    [
        ("storage.full", True, True),
        ("gateway.token_refused", True, True),
        ("node.state_lost", False, True),  # only another attempt helps
        ("gateway.message_gone", False, True),
        ("storage.damaged", False, False),
    ],
)
def test_what_an_executor_failed_of_says_who_tries_again(code: str, again_in_attempt: bool, retryable: bool) -> None:
    event = ExecutorEvent(
        schema=1, job="01J", task="train", attempt=1, address="host:b", incarnation=1, sequence=1, at_ms=1,
        kind=EventKind.FAILED, body={"code": code},
    )  # fmt: skip
    assert (unsaved_after(event, 0) is not None) == again_in_attempt
    assert end_columns(event, "b")["retryable"] is retryable
