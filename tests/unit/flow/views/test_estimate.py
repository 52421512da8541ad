from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from algorithms.api.conversation import Line, Protection
from flow.job.binding import BoundTask, bind
from flow.job.spec import parse_job
from flow.views.estimate import Took, alike, estimates, whole_seconds
from party.ids import Role
from storage.client import Kind
from tests.fakes.flow_world import TRAIN, TRAINERS, component

ARBITER = frozenset({Role.ARBITER})
PLAIN = Protection.PLAIN


def tasks(*lines: Line, last: bool = True, **more: Any) -> dict[str, BoundTask]:
    """Trainings of `a` and `b`, added up by `c`, whose component has these lines."""
    document = {
        "schema": 1, "name": "n", "initiator": "a",
        "roles": {"guest": ["a"], "host": ["b"], "arbiter": ["c"]},
        "tasks": {"one": {"component": "train@1", "inputs": {"train": "breast/train"}, "parameters": {"rounds": 10}}}
        | more,
    }  # fmt: skip
    made = replace(TRAIN, conversation=lambda _: lines, last_step=(lambda own: own.rounds) if last else None)
    found, problems = bind(
        parse_job(json.dumps(document).encode()), lambda name: made if "train" in name else component(name)
    )
    assert not problems
    return found


def line(tag: str, frm: frozenset[Role], to: frozenset[Role], most: Any = 100, times: int | None = 3) -> Line:
    return Line(tag, frm, to, Kind.ARRAY, most, PLAIN, "It is said.", times=times)


UP, DOWN = line("up", TRAINERS, ARBITER), line("down", ARBITER, TRAINERS, times=2)
ROUND = line("round", TRAINERS, TRAINERS, times=1)


@pytest.mark.parametrize(
    ("lines", "leaves"),
    [
        ((), {"a": 0, "b": 0, "c": 0}),
        ((UP,), {"a": 300, "b": 300, "c": 0}),
        ((UP, DOWN), {"a": 300, "b": 300, "c": 400}),
        ((ROUND,), {"a": 100, "b": 100, "c": 0}),  # what a party says to itself does not leave
        ((UP, line("often", TRAINERS, ARBITER, times=None)), {"a": ("often",), "b": ("often",), "c": 0}),
        ((line("rows", ARBITER, TRAINERS, most=lambda _: 5), UP), {"a": 300, "b": 300, "c": ("rows",)}),
    ],
)
def test_what_leaves_a_party_follows_from_its_lines_or_is_not_known(
    lines: tuple[Line, ...], leaves: dict[str, Any]
) -> None:
    found = estimates(tasks(*lines).values(), ())
    assert {one.party: one.unsaid or one.most_bytes for one in found} == leaves
    assert all((one.most_bytes is None) == bool(one.unsaid) for one in found)


def test_a_size_that_follows_from_rows_is_known_once_they_are() -> None:
    (task,) = tasks(line("rows", ARBITER, TRAINERS, most=lambda rows: 7, times=1)).values()
    found = estimates([replace(task, rows={})], ())
    assert {one.party: one.most_bytes for one in found} == {"a": 0, "b": 0, "c": 14}


def test_seconds_are_those_of_earlier_rounds_of_the_same_component_at_the_same_party() -> None:
    took = [
        Took("train@1", "a", "other", 5, 1.0), Took("train@1", "a", "other", 1, 0.6), Took("train@1", "a", "x", 2, 1.8),
        Took("train@1", "b", "other", None, 3.0), Took("score@1", "b", "other", 5, 3.0),
    ]  # fmt: skip
    found = {one.party: one for one in estimates(tasks().values(), took)}
    assert (found["a"].seconds, found["a"].steps, found["a"].measured) == (6.0, 10, 3)
    assert (found["b"].seconds, found["b"].measured) == (None, 0)
    assert found["c"].seconds is None


def test_without_rounds_only_the_same_parameters_tell_how_long_it_takes() -> None:
    made = tasks(last=False)
    same = alike(next(iter(made["one"].sides.values())))
    took = [Took("train@1", "a", same, None, 4.0), Took("train@1", "b", "other", None, 3.0)]
    assert [one.seconds for one in estimates(made.values(), took)] == [4.0, None, None]


def test_a_job_takes_as_long_as_its_longest_way_and_is_not_known_if_a_part_is_not() -> None:
    more = {
        "component": "train@1",
        "inputs": {"train": "breast/train", "model": {"guest": "one.model", "host": "one.model"}},
    }
    made = tasks(two=more, beside={"component": "train@1", "inputs": {"train": "breast/train"}})
    took = [Took("train@1", party, "", 10, seconds) for party, seconds in (("a", 1.0), ("b", 20.0), ("c", 2.0))]
    found = estimates(made.values(), took)
    assert whole_seconds(made, found) == pytest.approx(20 + 6)  # `two` and `beside` have three rounds
    assert whole_seconds(made, estimates(made.values(), took[:2])) is None
