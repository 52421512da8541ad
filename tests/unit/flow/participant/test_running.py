"""What became of our executors, in words."""

from __future__ import annotations

import pytest

from flow.participant.running import end_columns
from node_manager.client import Cause, EventKind, ExecutorEvent


def lost(**body: object) -> dict[str, object]:
    event = ExecutorEvent(
        schema=1, job="01J", task="train", attempt=1, address="host:b", incarnation=1, sequence=1, at_ms=1,
        kind=EventKind.LOST, body=body,
    )  # fmt: skip
    return end_columns(event, "b")


@pytest.mark.parametrize("cause", list(Cause))
def test_only_an_executor_that_may_have_been_killed_for_memory_is_said_to_need_more(cause: Cause) -> None:
    found = lost(cause=cause.value)
    assert found["retryable"] == (cause is not Cause.MEMORY)
    assert found["error_message"] == f"host:b: the executor went away: {cause.value}."
    assert ("memory" in str(found["error_hint"])) == (cause in {Cause.MEMORY, Cause.SIGNAL})


def test_an_executor_that_was_stopped_with_its_party_says_so() -> None:
    assert lost(cause="stopped")["error_hint"] == "The services of b were stopped, and the executor with them."
    assert lost(cause="signal 15")["error_hint"] == lost()["error_hint"] == "`flow job logs` may show its last words."
