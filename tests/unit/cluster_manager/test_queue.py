"""Whose turn it is."""

from __future__ import annotations

import pytest

from cluster_manager.placement import Candidate
from cluster_manager.queue import BEFORE_ALL, Claim, Turn, Wait, decide, outcome, standings
from node_manager.client import Resources
from party.ids import AttemptId

GIB = 1 << 30


def cores(count, memory=1):
    return Resources(cores=count, memory_bytes=memory * GIB)


def node(name, count, used=0, *, silent=False):
    return Candidate(name, name, cores(count, 64), cores(used, used), silent)


def claim(job, *sizes, priority=5, since=0, owner="", most=0, task="t"):
    sizes = {f"{role}:a": cores(size) for role, size in zip(("guest", "host"), sizes, strict=False)}
    return Claim(AttemptId(job, task, 1), sizes, Turn(priority, since, owner, most))


TWO_FREE = [node("n", 4, 2)]


@pytest.mark.parametrize(
    ("wanted", "before", "nodes", "found"),
    [
        (claim("B", 2), [], TWO_FREE, "n"),
        (claim("B", 2), [claim("A", 2)], TWO_FREE, "kept for jobs that came first"),
        (claim("B", 1), [claim("A", 1)], TWO_FREE, "n"),  # beside it
        (claim("B", 1), [claim("A", 3)], TWO_FREE, "kept for jobs"),  # A waits for one core more
        (claim("B", 1), [claim("A", 4)], [node("n", 5, 2)], "kept for jobs"),
        (claim("B", 1), [claim("A", 4), claim("0", 4)], TWO_FREE, "kept for jobs"),
        (claim("A", 1), [claim("B", 4)], TWO_FREE, "n"),  # of those that came at the same time, by id
        (claim("B", 1, since=1), [claim("A", 4, since=2)], TWO_FREE, "n"),
        (claim("A", 1, since=2), [claim("B", 4, since=1)], TWO_FREE, "kept for jobs"),
        (claim("B", 1, priority=6), [claim("A", 4)], TWO_FREE, "n"),
        (claim("A", 1), [claim("B", 4, priority=6, since=9)], TWO_FREE, "kept for jobs"),
        (Claim(AttemptId("Z", "t", 1), {"guest:a": cores(1)}, BEFORE_ALL), [claim("A", 4, priority=9)], TWO_FREE, "n"),
        (claim("B", 1), [claim("A", 9)], TWO_FREE, "n"),  # that is never served
        (claim("B", 1), [claim("A", 4, 4)], TWO_FREE, "n"),  # neither is that, at once
        (claim("B", 1), [claim("A", 2, 2)], TWO_FREE, "kept for jobs"),
        (claim("B", 1), [claim("B", 4, task="s")], TWO_FREE, "kept for other tasks of this job"),
        (claim("B", 4), [claim("B", 4)], TWO_FREE, "2 of 4 cores free, 4 wanted"),  # its own earlier try
        (claim("B", 3), [claim("A", 3)], TWO_FREE, "2 of 4 cores free, 3 wanted; other jobs are before it"),
        (claim("B", 1), [claim("A", 4)], [node("n", 4, 2), node("o", 2, 1)], "o"),  # not where A waits
        (claim("B", 1), [claim("A", 2)], [node("n", 2, 1), node("o", 2, 1)], "o"),
        (claim("B", 1), [claim("A", 2)], [node("n", 2, 2), node("o", 2, 1)], "kept for jobs"),  # o is soonest
        (claim("B", 1), [claim("A", 2)], [node("n", 2, 1, silent=True), node("o", 1)], "o"),
        (claim("B", 2, 2), [], [node("n", 3), node("o", 2)], "n"),
        (claim("B", 1, 2), [], [node("n", 2), node("o", 1)], "o"),  # the larger first
        (claim("B", 2, 2), [], [node("n", 3)], "not for all of its executors at the same time"),
    ],
)
def test_who_gets_room_and_who_waits(wanted, before, nodes, found):
    choice = decide(wanted, before, {}, nodes)
    assert (choice["guest:a"] == found) if isinstance(choice, dict) else (len(found) > 1 and found in choice.why)


@pytest.mark.parametrize(
    ("wanted", "before", "at_work", "goes"),
    [
        (claim("C", 1, owner="b", most=2), [], {"b": {"A"}}, True),
        (claim("C", 1, owner="b", most=2), [], {"b": {"A", "B"}}, False),
        (claim("C", 1, owner="b", most=2), [], {"c": {"A", "B"}}, True),
        (claim("B", 1, owner="b", most=2), [], {"b": {"A", "B"}}, True),  # another task of a job that is at work
        (claim("C", 1, owner="b", most=2), [claim("B", 1, owner="b", most=2)], {"b": {"A"}}, False),  # B is the next
        (claim("C", 1, owner="b", most=0), [], {"b": {"A", "B"}}, True),
        (claim("C", 1), [claim("B", 4, owner="b", most=1)], {"b": {"A"}}, True),  # B may not have what it waits for
    ],
)
def test_an_owner_has_no_more_jobs_with_room_than_may_be(wanted, before, at_work, goes):
    choice = decide(wanted, before, at_work, TWO_FREE)
    assert isinstance(choice, Wait) is not goes
    assert goes or "b may have room for" in choice.why


def test_a_size_that_no_node_has_is_said_to_be_too_large():
    assert decide(claim("A", 9), [], {}, TWO_FREE).help == "No node of this party is ever that large: ask for less."
    assert decide(claim("A", 4), [], {}, TWO_FREE).help == ""
    assert decide(claim("A", 1), [], {}, []).why == "no node is known"


def test_the_queue_is_shown_in_its_order_with_what_each_is_behind():
    claims = [claim("C", 1, since=3), claim("B", 4, since=2), claim("A", 2, since=9, priority=7)]
    nodes = [node("n", 4, 3)]
    found = {each.claim.attempt.job: (each.behind, outcome(each, nodes)) for each in standings(claims, {}, nodes)}
    assert list(found) == ["A", "B", "C"]
    assert found["A"] == ((), Wait("n: 1 of 4 cores free, 2 wanted"))
    assert found["B"] == (("A",), Wait("n: 1 of 4 cores free, 4 wanted; other jobs are before it"))
    assert found["C"] == (("A", "B"), Wait("the room is kept for jobs that came first or count for more"))
