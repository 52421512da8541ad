"""Events of several nodes to one reader."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from cluster_manager.manager import ClusterManager
from cluster_manager.relay import Relay
from node_manager.client import NodeUnavailable


class Stream:
    """What one call of a node brings: documents, then nothing until it breaks or is closed."""

    def __init__(self, *documents: bytes) -> None:
        self._documents = documents
        self.broken = threading.Event()
        self.close = self.broken.set

    def __iter__(self):
        yield from self._documents
        self.broken.wait(60)
        raise NodeUnavailable("gone")


class Node:
    """Gives out its streams one after the other; none of its calls is answered once there are no more."""

    def __init__(self, name: str, *streams: Stream) -> None:
        self.address = name
        self.asked: list[dict[str, int]] = []
        self.client = SimpleNamespace(events=self._events)
        self._streams = list(streams)

    def _events(self, since):
        self.asked.append(since)
        if not self._streams:
            raise NodeUnavailable("away")
        return self._streams.pop(0)


def begun(*nodes, since=None):
    relay = Relay(since or {})
    relay.begin(nodes)
    return relay


def test_what_every_node_tells_is_passed_on_in_its_order():
    one, other = Stream(b"1", b"2"), Stream(b"a", b"b")
    nodes = Node("one", one), Node("other", other)
    relay = begun(*nodes, since={"log": 7})
    passed = relay.documents(lambda: True)
    found = [next(passed) for _ in range(4)]
    assert [each for each in found if each.isdigit()] == [b"1", b"2"]
    assert [each for each in found if each.isalpha()] == [b"a", b"b"]
    assert [node.asked for node in nodes] == [[{"log": 7}], [{"log": 7}]]
    relay.end()
    assert one.broken.is_set()
    assert list(passed) == []


def test_a_stream_that_breaks_after_it_told_something_ends_the_whole():
    one, other = Stream(b"1"), Stream()
    relay = begun(Node("one", one), Node("other", other))
    passed = relay.documents(lambda: True)
    assert next(passed) == b"1"
    one.broken.set()
    assert list(passed) == []
    assert other.broken.wait(60)


def test_a_node_that_is_away_is_asked_again_and_the_others_go_on():
    silent = Stream()
    silent.broken.set()
    late = Node("late", silent, Stream(b"9"))
    relay = begun(late, Node("here", Stream(b"1")))
    passed = relay.documents(lambda: True)
    assert {next(passed), next(passed)} == {b"1", b"9"}
    assert len(late.asked) == 2
    relay.end()


@pytest.mark.parametrize("ended", [True, False])
def test_nothing_is_passed_on_once_it_is_over_or_nobody_listens(ended):
    relay = begun(Node("one", Stream(b"1")))
    if ended:
        relay.end()
    assert list(relay.documents(lambda: ended)) == []
    relay.end()


def test_a_stream_ends_when_the_manager_does(tmp_path):
    manager = ClusterManager(tmp_path / "c.sqlite", ["unix:/nowhere/one"])
    begun, passed = threading.Event(), []
    reader = threading.Thread(target=lambda: passed.extend(manager.events({}, lambda: begun.set() or True)))
    reader.start()
    assert begun.wait(60)
    manager.go_quiet()
    reader.join(60)
    assert not reader.is_alive()
    assert passed == []
    manager.close()
