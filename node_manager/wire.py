"""The only module that touches the generated code: RPC messages in and out of the Node Manager's own types."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from pydantic import ValidationError

from node_manager.errors import NodeUnavailable, OrderRefused, UnknownWireVersion
from node_manager.events import ExecutorEvent, read_event
from node_manager.folders import SAME_VERSION, check_schema
from node_manager.order import Order
from node_manager.proto import node_v1_pb2 as pb
from node_manager.proto import node_v1_pb2_grpc as rpc
from node_manager.status import NodeStatus
from runtime.metrics import metrics
from runtime.rpc import answering, asking, read_metrics, serve_metrics, unix_channel
from runtime.text import first_problem

if TYPE_CHECKING:
    from node_manager.supervisor.manager import NodeManager


CALL_S = 10.0
START_S = 160.0


class NodeServicer(rpc.NodeManagerServicer):
    """Answers with a NodeManager."""

    def __init__(self, manager: NodeManager) -> None:
        self._manager = manager

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

    def Watch(self, request: pb.WatchRequest, context: grpc.ServicerContext) -> Iterator[pb.WatchReply]:  # noqa: ARG002, N802
        """The host, again and again."""
        for status in self._manager.watch(context.is_active):
            yield pb.WatchReply(status=document(status))

    def Events(self, request: pb.EventsRequest, context: grpc.ServicerContext) -> Iterator[pb.Event]:  # noqa: N802
        """Executor events."""
        for event in self._manager.events(dict(request.since), context.is_active):
            yield pb.Event(document=event)

    def Acknowledge(self, request: pb.AcknowledgeRequest, context: grpc.ServicerContext) -> pb.AcknowledgeReply:  # noqa: N802
        """Logs that are recorded."""
        with answering(context):
            self._manager.acknowledge(request.logs)
            return pb.AcknowledgeReply()

    def Clean(self, request: pb.CleanRequest, context: grpc.ServicerContext) -> pb.CleanReply:  # noqa: N802
        """A job's folders."""
        with answering(context):
            self._manager.clean(request.job)
            return pb.CleanReply()


def serve_node(manager: NodeManager, server: grpc.Server) -> None:
    """Let the server answer with the manager."""
    rpc.add_NodeManagerServicer_to_server(NodeServicer(manager), server)
    serve_metrics(server, metrics("node_manager").text)


class NodeClient:
    """Asks one Node Manager.

    Args:
        address: `unix:PATH`, or the path of its socket.
    """

    def __init__(self, address: str | Path) -> None:
        self._who = f"the Node Manager at {address}"
        self._channel = unix_channel(address)
        self._stub = rpc.NodeManagerStub(self._channel)

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

    def watch(self) -> Iterator[NodeStatus]:
        """The host at once, then again and again, until this raises NodeUnavailable."""
        with asking(self._who, NodeUnavailable):
            for reply in self._stub.Watch(pb.WatchRequest()):
                yield parse_status(reply.status)
        raise NodeUnavailable(f"{self._who} has closed the stream.", hint="Watch again.")

    def events(self, since: Mapping[str, int]) -> EventStream:
        """Every event of each log after the sequence that `since` gives by the log's name. Raises NodeUnavailable."""
        with asking(self._who, NodeUnavailable):
            return EventStream(self._who, self._stub.Events(pb.EventsRequest(since=since)))

    def acknowledge(self, logs: Iterable[str]) -> None:
        """These event logs are recorded, up to their last event. Raises NodeUnavailable."""
        with asking(self._who, NodeUnavailable):
            self._stub.Acknowledge(pb.AcknowledgeRequest(logs=logs), timeout=CALL_S)

    def clean(self, job: str) -> None:
        """End what runs of a job and remove its working folders. Raises NodeUnavailable."""
        with asking(self._who, NodeUnavailable):
            self._stub.Clean(pb.CleanRequest(job=job), timeout=CALL_S * 3)

    def metrics(self) -> bytes:
        """What it counts of itself, as Prometheus reads it."""
        with asking(self._who, NodeUnavailable):
            return read_metrics(self._channel)

    def close(self) -> None:
        """Let the connection go; what waits in a stream ends."""
        self._channel.close()


class EventStream:
    """The events of a node as documents, for as long as the Node Manager is there.

    It ends by raising NodeUnavailable; ask again from the last sequence that was seen of each log.
    """

    def __init__(self, who: str, call: Iterator[pb.Event]) -> None:
        self._who = who
        self._call = call

    def __iter__(self) -> Iterator[bytes]:
        """The documents as they come."""
        with asking(self._who, NodeUnavailable):
            for event in self._call:
                yield event.document
        raise NodeUnavailable(f"{self._who} has closed the stream of events.", hint="Ask again.")

    def close(self) -> None:
        """End it, whoever waits in it."""
        if isinstance(self._call, grpc.RpcContext):
            self._call.cancel()


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
    """An event from its document. Raises UnknownWireVersion."""
    try:
        return read_event(text)
    except ValueError as problem:
        raise UnknownWireVersion("An event is not as this version reads them.", hint=SAME_VERSION) from problem


def parse_status(text: bytes) -> NodeStatus:
    """A node's status from JSON. Raises UnknownWireVersion."""
    body = json.loads(text)
    check_schema(body.get("schema"), "node status")
    return NodeStatus.model_validate(body)


def document(thing: Order | NodeStatus) -> bytes:
    """The JSON document that is sent."""
    return thing.model_dump_json(by_alias=True).encode()
