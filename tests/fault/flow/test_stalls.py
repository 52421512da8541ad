"""What keeps a party's executors from going on is named, at that party and where the job is led, within seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster_manager.client import NodeStatus
from flow.coordinator.plan import AttemptSnapshot, JobSnapshot, PartySnapshot, phase_now
from flow.job.states import AttemptState, JobState
from flow.protocol.messages import Report
from flow.rooms.signs import Pace, Signs, facts_of
from flow.views.stalls import Fact, stall_waits
from gateway.client import PeerStatus
from node_manager.client import log_name
from runtime.errors import DiskFull
from tests.fakes.flow_world import World, hangs, nothing_job

NODE = NodeStatus(node="node-1", cores=4, memory_bytes=1 << 40, gpus=0, warm=True)
FOLDER = log_name("01J", "train", 1, "host:b", 1)


class Row:
    job, task, attempt, address, incarnation, node = "01J", "train", 1, "host:b", 1, "node-1"

    def __init__(self, state: AttemptState = AttemptState.RUNNING, *, restart_due: bool = False) -> None:
        self.state, self.restart_due = state, restart_due


@pytest.mark.parametrize(
    ("row", "signs", "codes"),
    [
        (Row(), Signs(nodes=[NODE]), []),
        (Row(), Signs(nodes=[NODE.model_copy(update={"stopped": (FOLDER,)})]), ["executor-stopped"]),
        (Row(), Signs(nodes=[NODE.model_copy(update={"state": "silent"})]), ["node-silent"]),
        (Row(), Signs(nodes=[NODE.model_copy(update={"state": "gone"})]), ["node-silent"]),
        (Row(), Signs(nodes=[NODE.model_copy(update={"state": "gone"}), NODE]), ["node-silent"]),  # of the same name
        (Row(), Signs(nodes=[NODE.model_copy(update={"parent_stopped": True})]), []),  # it runs without
        (Row(restart_due=True), Signs(nodes=[NODE.model_copy(update={"parent_stopped": True})]), ["starter-stopped"]),
        (Row(restart_due=True), Signs(nodes=[NODE.model_copy(update={"warm": False})]), ["starting"]),
        (Row(AttemptState.RESERVED), Signs(nodes=[NODE.model_copy(update={"warm": False})]), ["starting"]),
        (Row(restart_due=True), Signs(nodes=[NODE]), ["restart-waits"]),
        (Row(), Signs(nodes=[NODE.model_copy(update={"disk_full": True})]), ["disk-full"]),
        (Row(), Signs(nodes=[NODE, NODE.model_copy(update={"node": "other", "disk_full": True})]), []),
        (Row(), Signs(nodes=None), ["cluster-down"]),
        (
            Row(),
            Signs(nodes=[NODE], down=["a", "x"], card=True, full=True),
            ["card-not-valid", "disk-full", "link-down"],
        ),
    ],
)
def test_the_signs_of_a_party_say_what_its_executors_wait_for(row: Row, signs: Signs, codes: list[str]) -> None:
    assert [fact.code for fact in facts_of("01J", [row], {"a", "c"}, signs)] == codes


def test_silence_is_a_stall_only_where_it_is_longer_than_a_step() -> None:
    assert not Pace(0).quiet(29)
    assert Pace(0).quiet(30)
    slow = Pace(0).heard(20)
    assert not slow.quiet(79)
    assert slow.quiet(80)
    assert slow.heard(500).longest_s == 20  # a stall is no pace


@pytest.mark.parametrize(("stalled", "absent", "phase"), [
    (False, False, "running"), (True, False, "waiting"), (False, True, "waiting"),
])  # fmt: skip
def test_time_in_which_a_job_is_stalled_is_waiting(stalled: bool, absent: bool, phase: str) -> None:
    running = {"train": AttemptSnapshot("train", 1, AttemptState.RUNNING)}
    parties = (PartySnapshot("b", absent=absent),)
    assert phase_now(JobSnapshot("01J", JobState.RUNNING, parties, {}, running, stalled=stalled)) == phase


def test_people_read_what_is_waited_for_and_those_of_the_party_what_to_do() -> None:
    facts = {"b": [Fact(code="link-down", peer="c", since_ms=5)], "c": [Fact(code="of-tomorrow")]}
    link, other = stall_waits(facts, own="b")
    assert (link.who, link.what, link.since_ms) == ("b", "link-down", 5)
    assert link.text == "the link from b to c, which is down"
    assert link.do == "'flow party status' says why"
    assert other.text == "c (of-tomorrow)"
    assert [waiting.do for waiting in stall_waits(facts, own="a")] == ["", ""]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path).up()
    yield made
    made.down()


def said_within(world: World, job: str, party: str, match: Callable[[str], bool], seconds: float = 5.0) -> str:
    deadline = time.monotonic() + seconds
    while True:
        flow = world[party].flow
        found = [said for said in flow.why(job) if match(said)] if flow is not None else []
        if found:
            return found[0]
        assert time.monotonic() < deadline, flow.why(job) if flow is not None else ""
        time.sleep(0.05)


def running_job(world: World) -> str:
    for party in world.parties.values():
        party.cluster.script = hangs
    job = world.submit(nothing_job())
    world.until(lambda view: all(len(p.cluster.orders) == 1 for p in world.parties.values()), job)
    return job


def test_a_stopped_executor_is_named_where_it_is_and_where_the_job_is_led(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = running_job(world)
    (order,) = world["b"].cluster.orders
    stopped = (log_name(job, order.task, order.attempt, order.address, order.incarnation),)
    monkeypatch.setattr(world["b"].cluster, "nodes", lambda: [NODE.model_copy(update={"stopped": stopped})])
    text = f"It waits for {order.address} (task {order.task}), which is stopped by a signal (since "
    for party in "ab":
        said = said_within(world, job, party, lambda said: said.startswith(text))
        assert ("kill -CONT" in said) == (party == "b")  # what helps there is for its own people
    monkeypatch.undo()
    world.until(lambda view: not view.waiting_for, job)
    kinds = [event.kind for event in world.a.events(job) if event.party == "b"]
    assert kinds.index("party.stalled") < kinds.index("party.goes_on")


def test_a_link_between_two_others_is_named_where_the_job_is_led(world: World) -> None:
    job = running_job(world)
    world["b"].gateway.links["c"] = PeerStatus("c", ("127.0.0.1:9",), "down", 0.0, 1)
    said_within(
        world, job, "a", lambda said: said.startswith("It waits for the link from b to c, which is down (since ")
    )


def test_a_party_tells_of_its_own_executors_only(world: World) -> None:
    job = running_job(world)
    foreign = Fact(code="executor-stopped", task="one", address="host:c")
    incoming: Any = world.a._coordinator.incoming
    incoming.report(Report(job=job, facts=(foreign,)), "b")
    assert not world.a.job(job).waiting_for


def test_a_disk_without_room_for_flow_itself_is_named_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = running_job(world)
    for party in "ab":
        service = world[party].flow
        assert service is not None
        monkeypatch.setattr(service._looks._stalls, "_tell", refuses_for_want_of_room)
    rooms = world["b"].flow._looks._rooms  # type: ignore[union-attr]
    monkeypatch.setattr(world["b"].flow._looks, "_rooms", replace(rooms, full=lambda: True))  # type: ignore[union-attr]
    assert world["b"].flow._looks._stalls.note("01J", "b", [Fact(code="disk-full")])  # type: ignore[union-attr]
    for party in "ab":
        said_within(world, job, party, lambda said: "room on a disk of b, which is full" in said)


def refuses_for_want_of_room(*_: object) -> None:
    raise DiskFull("No room left on /srv for /srv/flow.sqlite.")
