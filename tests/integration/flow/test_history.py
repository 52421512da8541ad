"""The history of a job, of all its parties in one order."""

from __future__ import annotations

import pytest

from flow.coordinator.history import Histories
from flow.errors import UnknownJob, UnknownMethod
from flow.protocol.messages import History, HistoryOrder, Method, PastEvent, decode, encode
from runtime.clock import HybridTime
from tests.fakes.flow_world import World, fails, nothing_job


def told(world: World, job: str, caller: str, since: int = 0) -> History:
    """What `b` tells another party of its part."""
    order = encode(HistoryOrder(job=job, since=since), HybridTime(1, 1))
    return decode(History, world.hub.call(caller, "b", Method.HISTORY, order))[0]


def test_every_party_tells_what_became_of_its_executors_in_one_order(world: World) -> None:
    job = world.submit(nothing_job())
    world.wait_closed(job)
    view = world.a.history(job)
    assert not view.untold
    place = {(line.teller, line.kind, line.address): i for i, line in reversed(list(enumerate(view.lines)))}
    for party, address in (("a", "guest:a"), ("b", "host:b"), ("c", "arbiter:c")):
        life = [place[party, f"executor.{state}", address] for state in ("reserved", "running", "succeeded")]
        assert life == sorted(life)
        assert place["a", "job.agreed", ""] < life[0]
        assert life[2] < place["a", "side.succeeded", address] < place["a", "job.succeeded", ""]
    assert [line.key for line in view.lines] == sorted({line.key for line in view.lines})


def test_a_participant_sees_its_own_and_asks_nobody(world: World) -> None:
    job = world.submit(nothing_job())
    world.wait_closed(job)
    world.hub.calls.clear()
    view = world["b"].flow.history(job)  # type: ignore[union-attr]
    assert {line.teller for line in view.lines} == {"b"}
    assert "the job was submitted" in view.lines[0].what
    assert not world.hub.calls


def test_the_words_of_an_error_stay_where_it_happened(world: World) -> None:
    world["b"].cluster.script = fails(message="row 7 is 3.14")
    job = world.submit(nothing_job(retries=0))
    world.wait_closed(job)
    assert "algorithms.bad_labels" in [line.code for line in world.a.history(job).lines if line.teller == "b"]
    assert "3.14" not in world.a.history(job).model_dump_json()
    assert "3.14" not in told(world, job, "a").model_dump_json()


def test_only_who_leads_a_job_is_told_and_in_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = world.submit(nothing_job())
    world.wait_closed(job)
    with pytest.raises(UnknownJob):
        told(world, job, "c")
    whole = told(world, job, "a")
    monkeypatch.setattr("flow.coordinator.history.MAX_PAST_EVENTS", 2)
    first = told(world, job, "a")
    assert (first.events, first.more) == (whole.events[:2], True)
    assert told(world, job, "a", since=first.events[-1].id).events[0] == whole.events[2]
    of_b = [line.kind for line in world.a.history(job, "b").lines if line.teller == "b"]
    assert of_b == [event.kind for event in whole.events]


def test_a_party_that_says_that_there_is_more_without_a_full_page_is_asked_no_further(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = world.submit(nothing_job())
    world.wait_closed(job)
    asked: list[int] = []

    def drip(_histories: Histories, order: HistoryOrder, _caller: str) -> History:
        asked.append(order.since)
        past = PastEvent(id=order.since + 1, hlc="0000000000000.000000", kind="job.closed")
        return History(events=(past,), more=len(asked) < 50)

    monkeypatch.setattr(Histories, "tell", drip)
    for party in ("b", "c"):
        world[party].down()
        world[party].up()
    world.a.history(job, "b")
    assert asked == [0, 0]


def test_a_party_that_does_not_tell_its_history_is_named(world: World) -> None:
    job = world.submit(nothing_job())
    world.wait_closed(job)

    def old(_frm: str, to: str, method: str) -> None:
        if (to, method) == ("b", Method.HISTORY):
            raise UnknownMethod(f"Flow answers no method '{method}'.")

    world.hub.before = old
    world["c"].down()
    view = world.a.history(job)
    assert view.untold == ("b: its release does not tell it; what it reported is here.", "c: Nobody answers at c.")
    assert {line.teller for line in view.lines} == {"a"}
