"""The only module that touches the generated code: RPC messages in and out of the room's own types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from pydantic import ValidationError

from node_manager.errors import NodeUnavailable, OrderRefused
from node_manager.events import ExecutorEvent
from node_manager.folders import check_schema
from node_manager.order import Order
from node_manager.proto import node_v1_pb2 as pb
from node_manager.proto import node_v1_pb2_grpc as rpc
from node_manager.status import NodeNews, NodeStatus
from runtime.rpc import answering, asking, unix_channel
from runtime.text import first_problem

if TYPE_CHECKING:
    from node_manager.manager import NodeManager

CALL_S = 10.0
START_S = 160.0


class NodeServicer(rpc.NodeManagerServicer):
    """Answers with a NodeManager."""

    def __init__(self, manager: NodeManager) -> None:
        self._manager = manager

    def Describe(self, request: pb.DescribeRequest, context: grpc.ServicerContext) -> pb.DescribeReply:  # noqa: ARG002, N802
        """The host now."""
        with answering(context):
            return pb.DescribeReply(status=document(self._manager.describe()))

    def Start(self, request: pb.StartRequest, context: grpc.ServicerContext) -> pb.StartReply:  # noqa: N802
        """One executor."""
        with answering(context):
            return pb.StartReply(pid=self._manager.start(parse_order(request.order)))

    def Stop(self, request: pb.StopRequest, context: grpc.ServicerContext) -> pb.StopReply:  # noqa: N802
        """The matching executors."""
        task = request.task if request.HasField("task") else None
        attempt = request.attempt if request.HasField("attempt") else None
        stop = self._manager.stop
        with answering(context):
            return pb.StopReply(stopped=stop(request.job, task, attempt, request.grace_s))

    def Watch(self, request: pb.WatchRequest, context: grpc.ServicerContext) -> Iterator[pb.News]:  # noqa: N802
        """Heartbeats and events."""
        for news in self._manager.watch(request.since, context.is_active):
            if news.event is not None:
                yield pb.News(sequence=news.sequence, event=document(news.event))
            elif news.status is not None:
                yield pb.News(sequence=news.sequence, status=document(news.status))

    def Clean(self, request: pb.CleanRequest, context: grpc.ServicerContext) -> pb.CleanReply:  # noqa: N802
        """A job's folders."""
        with answering(context):
            self._manager.clean(request.job)
            return pb.CleanReply()


def serve_node(manager: NodeManager, server: grpc.Server) -> None:
    """Let the server answer with the manager."""
    rpc.add_NodeManagerServicer_to_server(NodeServicer(manager), server)


class NodeClient:
    """Asks one Node Manager.

    Args:
        address: `unix:PATH`, or the path of its socket.
    """

    def __init__(self, address: str | Path) -> None:
        self._who = f"the Node Manager at {address}"
        self._channel = unix_channel(address)
        self._stub = rpc.NodeManagerStub(self._channel)

    def describe(self, timeout_s: float = CALL_S) -> NodeStatus:
        """The host now. Raises NodeUnavailable."""
        with asking(self._who, NodeUnavailable):
            return parse_status(self._stub.Describe(pb.DescribeRequest(), timeout=timeout_s).status)

    def start(self, order: Order) -> int:
        """The pid of the order's executor; the same order again gives the same pid.

        Raises StaleIncarnation, ForkFailed, NoGpuLeft, NodeStopping, OrderRefused, NodeUnavailable.
        """
        with asking(self._who, NodeUnavailable):
            reply: pb.StartReply = self._stub.Start(pb.StartRequest(order=document(order)), timeout=START_S)
            return reply.pid

    def stop(self, job: str, task: str | None = None, attempt: int | None = None, grace_s: float = 5) -> int:
        """End the matching executors and all they started; returns how many there were. Raises NodeUnavailable."""
        request = pb.StopRequest(job=job, task=task, attempt=attempt, grace_s=grace_s)
        with asking(self._who, NodeUnavailable):
            reply: pb.StopReply = self._stub.Stop(request, timeout=CALL_S + 2 * grace_s)
            return reply.stopped

    def watch(self, since: int) -> Iterator[NodeNews]:
        """A heartbeat, then every event after `since` once, with heartbeats between. Raises NodeUnavailable.

        It ends by raising NodeUnavailable when the Node Manager goes away; go on from the last sequence seen.
        """
        with asking(self._who, NodeUnavailable):
            for news in self._stub.Watch(pb.WatchRequest(since=since)):
                if news.HasField("event"):
                    yield NodeNews(news.sequence, event=parse_event(news.event))
                else:
                    yield NodeNews(news.sequence, status=parse_status(news.status))
        raise NodeUnavailable(f"{self._who} has closed the stream of news.", hint="Subscribe again.")

    def clean(self, job: str) -> None:
        """End what runs of a job and remove its working folders. Raises NodeUnavailable."""
        with asking(self._who, NodeUnavailable):
            self._stub.Clean(pb.CleanRequest(job=job), timeout=CALL_S * 3)

    def close(self) -> None:
        """Let the connection go; a waiting `watch` ends."""
        self._channel.close()


def parse_order(text: bytes) -> Order:
    """An order from JSON. Raises OrderRefused or UnknownWireVersion."""
    try:
        body = json.loads(text)
        check_schema(body.get("schema") if isinstance(body, dict) else None, "order")
        return Order.model_validate(body)
    except ValueError as problem:
        why = first_problem(problem) if isinstance(problem, ValidationError) else str(problem)
        raise OrderRefused(f"The order is malformed: {why}.") from problem


def parse_event(text: bytes) -> ExecutorEvent:
    """An event from JSON. Raises UnknownWireVersion."""
    body = json.loads(text)
    check_schema(body.get("schema"), "event")
    return ExecutorEvent.model_validate(body)


def parse_status(text: bytes) -> NodeStatus:
    """A node's status from JSON. Raises UnknownWireVersion."""
    body = json.loads(text)
    check_schema(body.get("schema"), "node status")
    return NodeStatus.model_validate(body)


def document(thing: Order | ExecutorEvent | NodeStatus) -> bytes:
    """The JSON document that is sent."""
    return thing.model_dump_json(by_alias=True).encode()
