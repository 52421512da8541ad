from __future__ import annotations

from typing import Any

import pytest

from flow.coordinator.history import believed
from flow.protocol.messages import PastEvent
from flow.views.history import HistoryView, Past, history, line_text
from flow.views.jobs import EventRow
from runtime.clock import HybridTime

NOW = 1_800_000_000_000
JOB = "01M84NKVCS9025W7T6P1XBY3P8"


def event(number: int, at: int, kind: str = "job.running", counter: int = 0, **more: Any) -> EventRow:
    return EventRow(id=number, hlc=str(HybridTime(NOW - 1000 + at, counter)), kind=kind, job=JOB, **more)


def order(view: HistoryView) -> list[str]:
    return [f"{line.teller}{int(line.key.rsplit('/', 1)[1])}" for line in view.lines]


def test_what_parties_tell_is_in_the_order_of_their_clocks_and_then_of_who_tells_it() -> None:
    past = {
        "a": Past((event(1, 10), event(2, 20), event(3, 20, counter=1))),
        "b": Past((event(1, 20), event(2, 15 + 6))),
    }
    assert order(history(past, NOW)) == ["a1", "a2", "b1", "a3", "b2"]


def test_what_a_party_tells_later_is_never_before_what_it_told_earlier() -> None:
    """Its clock was set back between the two."""
    view = history({"a": Past((event(1, 50), event(2, 10))), "b": Past((event(7, 40),))}, NOW)
    assert order(view) == ["b7", "a1", "a2"]


@pytest.mark.parametrize(("ahead_ms", "shifted"), [(3_600_000, True), (-3_600_000, True), (59_000, False)])
def test_what_a_clock_far_from_ours_dates_is_shifted_by_as_much(ahead_ms: int, shifted: bool) -> None:
    past = {"a": Past((event(1, 10), event(2, 30))), "b": Past((event(1, 20 + ahead_ms),), ahead_ms)}
    view = history(past, NOW + 100_000)
    assert order(view) == (["a1", "b1", "a2"] if shifted else ["a1", "a2", "b1"])


def test_nothing_is_later_than_now_whatever_a_party_says() -> None:
    view = history({"b": Past((event(1, 10**9),))}, NOW)
    assert [line.at_ms for line in view.lines] == [NOW]


def test_pages_follow_each_other_without_a_gap_and_each_party_can_be_asked_for() -> None:
    past = {"a": Past(tuple(event(i, i, party="b" if i == 4 else "") for i in range(1, 8))), "b": Past((event(1, 3),))}
    whole, found, after = order(history(past, NOW)), list[str](), ""
    while True:
        page = history(past, NOW, after=after, limit=3)
        found += order(page)
        if not page.more:
            break
        after = page.lines[-1].key
    assert found == whole
    assert order(history(past, NOW, party="b")) == ["b1", "a4"]


@pytest.mark.parametrize(
    ("kind", "more", "said"),
    [
        ("job.waiting", {"body": {"user": "ann"}}, "a: the job was submitted (by ann)"),
        ("job.failed", {"body": {"error": {"code": "x.y", "message": "No."}}}, "a: the job failed (No. [x.y])"),
        ("party.agree", {"party": "b", "body": {"user": "eve", "note": "Fine."}}, "b agrees (by eve; noting: Fine.)"),
        ("party.refuse", {"party": "b", "body": {"reasons": ["No.", "Never."]}}, "b refuses (No.; Never.)"),
        ("party.absent", {"party": "b", "body": {"code": "gateway.x"}}, "b cannot be reached ([gateway.x])"),
        ("attempt.pending", {"task": "t", "attempt": 2}, "a t/2: the attempt wants room"),
        ("attempt.waits", {"task": "t", "attempt": 1, "body": {"for": "2 cores"}}, "waits for room (2 cores)"),
        ("side.lost", {"task": "t", "attempt": 1, "body": {"address": "host:b"}}, "host:b lost, as its party told"),
        ("task.published", {"task": "t", "attempt": 1, "party": "b"}, "a t/1: b made its outputs of the task visible"),
        ("something.new", {}, "a: the something new"),
    ],
)
def test_each_event_is_told_in_words_with_its_cause(kind: str, more: dict[str, Any], said: str) -> None:
    (line,) = history({"a": Past((event(1, 1, kind, **more),))}, NOW).lines
    assert said in line_text(line)


def test_an_executor_is_named_with_its_incarnation() -> None:
    place = {"task": "t", "attempt": 1}
    body = {"address": "host:b"}
    past = Past(
        (
            event(1, 1, "executor.running", **place, body=body),
            event(2, 2, "executor.restarted", **place, body=body | {"incarnation": 2, "cause": "signal 9"}),
            event(3, 3, "executor.running", **place, body=body),
            event(4, 4, "executor.running", **place, body={"address": "guest:b"}),
        )
    )
    lines = history({"b": past}, NOW).lines
    assert [line.incarnation for line in lines] == [1, 2, 2, 1]
    assert line_text(lines[1]).endswith("b t/1: the executor of host:b starts again, incarnation 2 (signal 9)")


@pytest.mark.parametrize(
    ("kind", "address", "is_so"),
    [
        ("executor.lost", "host:b", True),
        ("executor.lost", "host:c", False),
        ("executor.lost", "", False),
        ("job.closed", "", True),
        ("job.succeeded", "", False),
        ("party.agree", "", False),
    ],
)
def test_a_party_tells_of_itself_and_of_nothing_that_is_not_its_own_to_say(
    kind: str, address: str, is_so: bool
) -> None:
    assert believed(PastEvent(id=1, hlc="", kind=kind, address=address), "b") is is_so
